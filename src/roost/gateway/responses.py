"""The bytes of HTTP/1.1 responses.

The application says what it answers; how the body is delimited and whether the connection goes on is said here alone,
so header lines about those are dropped from what the application gave.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_OURS = frozenset(("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class DateLine:
    """The Date header, written once a second."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self._line = ""

    def __call__(self) -> str:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = formatdate(second, usegmt=True)
        return self._line


def find_bad_header(headers: Iterable[tuple[str, str]]) -> str | None:
    """The name of the first line that cannot be sent: a name that is no token, a value with a control character."""
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _NOT_IN_VALUE.search(value):
            return name
    return None


def encode_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"]
    lines.extend(f"{name}: {value}" for name, value in headers)
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def without_ours(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The lines that are the application's to say."""
    return [(name, value) for name, value in headers if name.lower() not in _OURS]


def has_no_body(method: str, status: int) -> bool:
    """Whether the response ends with its head whatever its headers say (RFC 9112, section 6.3)."""
    return method == "HEAD" or status in (204, 304) or status < 200
