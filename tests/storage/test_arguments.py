"""What callers hand in, checked."""

from __future__ import annotations

from typing import Any

import pytest

from roost import codec
from roost.errors import InvalidArgumentError, LimitExceededError, UnserialisableError, WrongTypeError
from roost.limits import Limits
from roost.storage.arguments import check_count, checked_key, checked_keys, checked_range, encoded
from roost.storage.kv import KeyRange

LIMITS = Limits(key_bytes_max=10, value_bytes_max=20, keys_per_call_max=2)


def test_a_key_is_a_str_of_utf_8_within_its_bytes() -> None:
    assert checked_key("äöü", LIMITS) == "äöü"
    with pytest.raises(LimitExceededError, match="may have 10 bytes of UTF-8, 'ääääää'… has 12") as caught:
        checked_key("ä" * 6, LIMITS)
    assert (caught.value.limit, caught.value.actual) == (10, 12)
    with pytest.raises(WrongTypeError, match="prefix must be a str, got bytes"):
        checked_key(b"a", LIMITS, "prefix")
    with pytest.raises(InvalidArgumentError, match="lone surrogate"):
        checked_key("\ud800", LIMITS)


def test_a_value_is_encoded_at_once_within_its_bytes() -> None:
    assert encoded("a", [1], LIMITS) == ("a", codec.encode([1]))
    with pytest.raises(LimitExceededError, match="a stored value may have 20 bytes, that of 'a' has 31"):
        encoded("a", "x" * 30, LIMITS)
    with pytest.raises(UnserialisableError):
        encoded("a", object(), LIMITS)


def test_the_keys_of_a_call_are_a_list_of_a_bounded_length() -> None:
    assert checked_keys(("a", "b"), LIMITS) == ["a", "b"]
    with pytest.raises(LimitExceededError, match="one call may have 2 keys, this one has 3"):
        checked_keys(["a", "b", "c"], LIMITS)
    with pytest.raises(WrongTypeError, match="a str or a list of str is needed, got int"):
        checked_keys(1, LIMITS)
    with pytest.raises(WrongTypeError, match="a key must be a str, got int"):
        checked_keys(["a", 1], LIMITS)
    check_count(2, LIMITS)


def test_a_range_has_one_beginning_and_a_limit_of_at_least_one() -> None:
    def of(**options: Any) -> KeyRange:
        every: dict[str, Any] = dict.fromkeys(("start", "start_after", "end", "prefix", "limit")) | {"reverse": False}
        return checked_range(**every | options, limits=LIMITS)

    assert of(start="a", reverse=True, limit=3) == KeyRange(start="a", reverse=True, limit=3)
    with pytest.raises(InvalidArgumentError, match="start or start_after, not both"):
        of(start="a", start_after="b")
    with pytest.raises(InvalidArgumentError, match="limit must be at least 1, got 0"):
        of(limit=0)
    for wrong in (True, "1", 1.0):
        with pytest.raises(WrongTypeError, match="limit must be an int"):
            of(limit=wrong)
    with pytest.raises(WrongTypeError, match="end must be a str, got int"):
        of(end=1)
