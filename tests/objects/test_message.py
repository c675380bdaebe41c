from __future__ import annotations

from typing import Any

import pytest

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import Limits
from roost.objects.message import check_close, checked_message

LIMITS = Limits(message_bytes_max=8)


@pytest.mark.parametrize("data", ["text", "häl", "", b"bytes", b""])
def test_text_and_bytes_can_be_sent(data: str | bytes) -> None:
    assert checked_message(data, LIMITS) is data


def test_a_buffer_is_copied_at_the_call() -> None:
    buffer = bytearray(b"abc")
    message = checked_message(buffer, LIMITS)
    buffer[0] = 0
    assert message == b"abc"
    assert checked_message(memoryview(b"xyz"), LIMITS) == b"xyz"


@pytest.mark.parametrize("data", [None, 5, {"a": 1}, ["a"]])
def test_anything_else_is_refused_with_a_hint(data: Any) -> None:
    with pytest.raises(
        WrongTypeError, match=rf"must be str or bytes, got {type(data).__name__}; send_json\(\) sends a value"
    ):
        checked_message(data, LIMITS)


def test_text_that_utf8_cannot_hold_is_refused_where_it_is_sent() -> None:
    with pytest.raises(InvalidArgumentError, match="lone surrogate at 2"):
        checked_message("ab\ud800", LIMITS)


def test_a_message_above_the_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(LimitExceededError, match="may have 8 bytes, this one has 9") as caught:
        checked_message(b"123456789", LIMITS)
    assert (caught.value.limit, caught.value.actual) == (8, 9)


@pytest.mark.parametrize(
    ("code", "reason"), [(None, None), (1000, None), (4999, "x" * 123), (3000, ""), (1001, "ä" * 61)]
)
def test_what_a_close_may_have(code: int | None, reason: str | None) -> None:
    check_close(code, reason)


@pytest.mark.parametrize("code", [0, 999, 5000, 1004, 1005, 1006, 1015, -1])
def test_codes_that_a_close_cannot_have(code: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"got {code}$"):
        check_close(code, None)


@pytest.mark.parametrize("code", ["1000", 1000.0, True])
def test_a_code_is_an_int(code: Any) -> None:
    with pytest.raises(WrongTypeError, match="code of a Close must be an int"):
        check_close(code, None)


def test_reasons_that_a_close_cannot_have() -> None:
    with pytest.raises(LimitExceededError, match="may have 123 bytes of UTF-8, this one has 124"):
        check_close(1000, "ä" * 62)
    with pytest.raises(InvalidArgumentError, match=r"a reason needs a code: close\(1000, reason\)"):
        check_close(None, "bye")
    with pytest.raises(WrongTypeError, match="reason of a Close must be a str, got bytes"):
        check_close(1000, b"bye")
    with pytest.raises(InvalidArgumentError, match="lone surrogate"):
        check_close(1000, "\ud800")
