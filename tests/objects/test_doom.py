from __future__ import annotations

import pytest

from roost.errors import ConstructionError
from roost.objects.doom import Doom
from roost.objects.lifecycle import Happening


def test_each_caller_gets_an_equal_error_of_its_own_with_the_same_cause() -> None:
    error = ConstructionError("it failed")
    error.__cause__ = LookupError("x")
    doom = Doom("constructor", error, Happening.FAILURE)
    one, two = doom.for_caller(), doom.for_caller()
    assert one is not two
    assert (type(one), str(one), one.__cause__) == (ConstructionError, "it failed", error.__cause__)


def test_an_error_that_cannot_be_made_anew_is_passed_on_itself() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one + two)

    for error in (Odd(1, 2), KeyboardInterrupt("x")):
        assert Doom("stop", error, Happening.STOP).for_caller() is error


def test_only_a_lost_write_breaks_the_output() -> None:
    causes = ("abort", "constructor", "critical section", "storage", "timeout", "stop")
    assert [cause for cause in causes if Doom(cause, ValueError(), Happening.FAILURE).breaks_output] == ["storage"]


def test_hibernation_fails_nobody() -> None:
    with pytest.raises(AssertionError, match="hibernation fails nobody"):
        Doom("hibernation", None, Happening.SLEEP).for_caller()
