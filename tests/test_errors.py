from __future__ import annotations

import inspect
import re

import pytest

from roost import errors
from roost.errors import LimitExceededError, RoostError


def every_error() -> list[type[RoostError]]:
    return [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, RoostError)]


@pytest.mark.parametrize("error", every_error())
def test_every_error_explains_itself_and_stands_in_the_tree(error: type[RoostError]) -> None:
    assert error.__doc__
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__ or "")


def test_the_tree_names_no_error_that_does_not_exist() -> None:
    named = set(re.findall(r"\b[A-Z]\w+Error\b", (errors.__doc__ or "").split("`retryable` says")[0]))
    builtin = {"ValueError", "TypeError", "AttributeError", "OverflowError"}
    assert named - builtin == {one.__name__ for one in every_error()}


def test_what_is_overloaded_is_not_to_be_tried_again() -> None:
    assert [one.__name__ for one in every_error() if one.overloaded and one.retryable] == []
    assert errors.OverloadedError.overloaded


def test_what_may_have_been_applied_is_not_called_retryable() -> None:
    assert errors.UnavailableError.retryable
    assert not errors.HostLostError.retryable
    assert not errors.ObjectResetError.retryable


def test_a_limit_error_carries_both_numbers() -> None:
    error = LimitExceededError("too long", limit=3, actual=4)
    assert (str(error), error.limit, error.actual) == ("too long", 3, 4)
    assert isinstance(error, ValueError)
