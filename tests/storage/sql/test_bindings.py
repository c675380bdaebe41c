"""The values that a statement is given."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import pytest

from roost.errors import IntegerRangeError, InvalidArgumentError, UsageError, WrongTypeError
from roost.storage.sql.bindings import checked
from roost.storage.sql.plan import Plan


def plan(*names: str | None) -> Plan:
    return Plan(text="", rest="", count=len(names), names=names, columns=(), writes=False, reads=False)


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize("value", [None, True, 1, -(2**63), 2**63 - 1, 1.5, "ä", b"x", bytearray(b"x"), Level.HIGH])
def test_what_sqlite_has_is_taken(value: Any) -> None:
    assert checked(plan(None), (value,)) == (value,)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (dt.datetime(2026, 1, 1), "a datetime cannot be bound.*isoformat"),
        ({"a": 1}, "the values were given by name"),
        ([1], "a list cannot be bound.*json.dumps"),
        ((1, 2), "a tuple cannot be bound"),
        (decimal.Decimal(1), "a Decimal cannot be bound.*str"),
        (uuid.UUID(int=1), "a UUID cannot be bound"),
        (object(), "a object cannot be bound, only None, bool, int, float, str and bytes"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        checked(plan(None), (value,))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_an_int_beyond_64_bits_is_an_overflow_error_with_its_value(value: int) -> None:
    with pytest.raises(OverflowError, match=f"parameter 2: {value} does not fit"):
        checked(plan(None, None), (0, value))
    with pytest.raises(IntegerRangeError):
        checked(plan("n"), ({"n": value},))


def test_the_number_of_values_is_that_of_the_parameters() -> None:
    with pytest.raises(InvalidArgumentError, match="has 2 parameters, and 1 values were given"):
        checked(plan(None, None), (1,))
    with pytest.raises(InvalidArgumentError, match="has 0 parameters, and 1 values were given"):
        checked(plan(), (1,))


def test_a_dict_gives_the_values_by_name() -> None:
    assert checked(plan("a", "b"), ({"a": 1, "b": 2, "not asked for": object()},)) == {"a": 1, "b": 2}
    with pytest.raises(InvalidArgumentError, match="no value was given for the parameters 'b'"):
        checked(plan("a", "b"), ({"a": 1},))
    with pytest.raises(WrongTypeError, match="parameter 'a': a set cannot be bound"):
        checked(plan("a"), ({"a": {1}},))


@pytest.mark.parametrize("nameless", [None, "1"])
def test_a_dict_needs_names(nameless: str | None) -> None:
    with pytest.raises(InvalidArgumentError, match="parameter 2 of the statement has no name"):
        checked(plan("a", nameless), ({"a": 1},))


def test_named_parameters_may_be_given_in_order() -> None:
    assert checked(plan("a", "b"), (1, 2)) == (1, 2)
