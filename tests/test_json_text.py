from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, UnserialisableError
from roost.json_text import decode_json, encode_json


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_integers_of_any_size_stay_exact() -> None:
    for number in (2**53 + 1, 2**64, -(2**200)):
        assert decode_json(encode_json(number)) == number


def test_dataclasses_and_times_are_written() -> None:
    assert encode_json(Point(1, 2)) == b'{"x":1,"y":2}'
    assert encode_json(dt.datetime(2026, 1, 2, tzinfo=dt.UTC)) == b'"2026-01-02T00:00:00Z"'


def test_a_value_is_checked_against_a_type() -> None:
    assert decode_json(b'{"x":1,"y":2}', Point) == Point(1, 2)
    with pytest.raises(InvalidArgumentError, match=r"the text does not have the expected shape: .*\$\.y"):
        decode_json(b'{"x":1,"y":"2"}', Point)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode_json(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "truncated"),
        (b'{"a": tru}', "byte 10"),
        (b"NaN", "invalid character"),
        (b'"\xff"', "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        ("{'a': 1}", "begins \"{'a': 1}\""),
    ],
)
def test_what_is_no_json_says_where(text: bytes | str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said.replace("{", r"\{")) as raised:
        decode_json(text, what="the body")
    assert str(raised.value).startswith("the body is")


def recursive() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), {"a": object()}, {(1, 2): 3}, "\ud800", recursive()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(UnserialisableError, match="cannot be written as JSON"):
        encode_json(value)
