"""What may be sent on a WebSocket: messages, and the code and reason of a Close."""

from __future__ import annotations

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import Limits

REASON_BYTES_MAX = 123
"""RFC 6455 section 5.5: a control frame has 125 bytes, two of them are the code."""
_NEVER_SENT = frozenset({1004, 1005, 1006, 1015})
"""RFC 6455 section 7.4.1: codes that are reserved, or only ever reported."""


def checked_message(data: object, limits: Limits) -> str | bytes:
    """The message, if it can be sent; a bytearray or memoryview is copied."""
    if isinstance(data, bytearray | memoryview):
        data = bytes(data)
    if not isinstance(data, str | bytes):
        raise WrongTypeError(f"a message must be str or bytes, got {type(data).__name__}; send_json() sends a value")
    if isinstance(data, str) and not data.isascii():
        _check_utf8(data, "a text message")
    if len(data) > limits.message_bytes_max:
        raise LimitExceededError(
            f"a message may have {limits.message_bytes_max} bytes, this one has {len(data)}",
            limit=limits.message_bytes_max,
            actual=len(data),
        )
    return data


def check_close(code: object, reason: object) -> None:
    """Raises when a Close cannot have this code and reason."""
    _check_code(code)
    if reason is None:
        return
    if not isinstance(reason, str):
        raise WrongTypeError(f"the reason of a Close must be a str, got {type(reason).__name__}")
    _check_utf8(reason, "a reason")
    size = len(reason.encode())
    if size > REASON_BYTES_MAX:
        raise LimitExceededError(
            f"the reason of a Close may have {REASON_BYTES_MAX} bytes of UTF-8, this one has {size}",
            limit=REASON_BYTES_MAX,
            actual=size,
        )
    if code is None and reason:
        raise InvalidArgumentError("a reason needs a code: close(1000, reason)")


def _check_code(code: object) -> None:
    if code is None:
        return
    if not isinstance(code, int) or isinstance(code, bool):
        raise WrongTypeError(f"the code of a Close must be an int, got {type(code).__name__}")
    if not 1000 <= code <= 4999 or code in _NEVER_SENT:
        raise InvalidArgumentError(
            f"the code of a Close must be 1000-4999 and not 1004, 1005, 1006 or 1015, got {code}"
        )


def _check_utf8(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{what} with a lone surrogate at {error.start} cannot be sent: UTF-8 does not hold it"
        ) from error
