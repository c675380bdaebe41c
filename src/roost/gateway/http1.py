"""HTTP/1.1 requests out of bytes (RFC 9112), and nothing of sockets.

(1) What could be read in two ways is refused: both Content-Length and Transfer-Encoding, two Content-Lengths, a line
    that ends without CR, a folded header, a bad Host. After a refusal nothing of the connection is read.
(2) Requests are read one at a time: the bytes of the next wait until `next_head` is called for it.
(3) A head is parsed once it is whole, and is at most `head_bytes_max` long; a body is never kept.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NoReturn

import httptools
import msgspec

from roost.gateway.bodies import ChunkedBody, SizedBody
from roost.gateway.refusal import Refusal, bad_request
from roost.limits import Limits

_HEAD_END = b"\r\n\r\n"
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?")
_METHOD_BYTES = 32  # more than any method has; what a request line may have apart from its target


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """The request line and headers of one request, checked."""

    method: str
    target: str
    """As it was sent: a path with its query, or an absolute URL."""
    minor: int
    """Of the version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
    headers: list[tuple[str, str]]
    known: dict[str, list[str]]
    """The values of all lines of each name, in lower case."""
    host: str
    keep_alive: bool
    content_length: int
    chunked: bool
    expects_continue: bool

    def values(self, name: str) -> list[str]:
        """The values of all lines of that name, given in lower case."""
        return self.known.get(name, [])

    def tokens(self, name: str) -> list[str]:
        """The comma-separated parts of all lines of that name, in lower case."""
        values = self.known.get(name)
        if values is None:
            return []
        parts = (part.strip(" \t") for part in ",".join(values).lower().split(","))
        return [part for part in parts if part]


class RequestReader:
    """Bytes in, heads and pieces of bodies out."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._scanned = 0
        self._body: SizedBody | ChunkedBody = SizedBody(0)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not yet taken."""
        return len(self._buffer)

    def take_rest(self) -> bytes:
        """All that was fed and not yet taken, for whoever reads the connection from here on."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    # -- heads ---------------------------------------------------------------------------------------------------------

    def next_head(self) -> RequestHead | None:
        """The head of the next request, or None until it is whole. Raises Refusal."""
        assert self._body.ended, "the body of the request before must be read first"
        self._skip_empty_lines()
        end = self._buffer.find(_HEAD_END, max(0, self._scanned - 3))
        if end < 0:
            self._check_unfinished_head()
            self._scanned = len(self._buffer)
            return None
        self._scanned = 0
        if end + 4 > self._limits.head_bytes_max:
            self._refuse_long_head()
        raw = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        head = parse_head(raw, self._limits)
        most = self._limits.body_bytes_max
        self._body = ChunkedBody(most, self._limits.head_bytes_max) if head.chunked else SizedBody(head.content_length)
        return head

    def _skip_empty_lines(self) -> None:
        while self._buffer.startswith(b"\r\n"):  # RFC 9112, section 2.2
            del self._buffer[:2]
            self._scanned = 0

    def _check_unfinished_head(self) -> None:
        seen = self._scanned
        if self._buffer.count(b"\n", seen) != self._buffer.count(b"\r\n", max(0, seen - 1)):
            raise bad_request("a line of the request's head ends with LF alone; CR LF was expected")
        line_max = self._limits.url_bytes_max + _METHOD_BYTES
        if len(self._buffer) > line_max and self._buffer.find(b"\r\n", 0, line_max) < 0:
            raise url_too_long(self._limits)
        if len(self._buffer) > self._limits.head_bytes_max:
            self._refuse_long_head()

    def _refuse_long_head(self) -> NoReturn:
        raise Refusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "HeadTooLarge",
            f"the request's head is longer than {self._limits.head_bytes_max} bytes",
            close=True,
        )

    # -- bodies --------------------------------------------------------------------------------------------------------

    def take_body(self, most: int) -> bytes:
        """The next bytes of the body, at most so many; empty when none have come. Raises Refusal."""
        return self._body.take(self._buffer, most)

    @property
    def body_ended(self) -> bool:
        return self._body.ended


class _Lines:
    """What httptools calls back with."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[str, str]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii"), value.decode("latin-1").strip(" \t")))


def parse_head(raw: bytes, limits: Limits) -> RequestHead:
    """A whole head, with its empty line, checked. Raises Refusal."""
    minor = _check_request_line(raw[: raw.index(b"\r\n")], limits)
    lines = _Lines()
    parser = httptools.HttpRequestParser(lines)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # whether to switch protocols is decided by whoever asked for the head
    except httptools.HttpParserInvalidMethodError:
        raise _not_implemented("the method of the request is not known") from None
    except httptools.HttpParserError as error:
        raise bad_request(f"the request's head cannot be read: {error}") from error
    return _checked(parser.get_method().decode("ascii"), minor, lines, limits)


def _check_request_line(line: bytes, limits: Limits) -> int:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise bad_request("the request line must be a method, a target and a version with one space between them")
    version = parts[2]
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if re.fullmatch(rb"HTTP/\d\.\d", version):
            message = "this server speaks HTTP/1.1"
            raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "VersionNotSupported", message, close=True)
        raise bad_request("the request line must end with an HTTP version")
    if len(parts[1]) > limits.url_bytes_max:
        raise url_too_long(limits)
    return version[-1] - ord("0")


def _checked(method: str, minor: int, lines: _Lines, limits: Limits) -> RequestHead:
    known: dict[str, list[str]] = {}
    for name, value in lines.headers:
        known.setdefault(name.lower(), []).append(value)
    if method == "CONNECT":
        raise _not_implemented("this server is no proxy: CONNECT is not supported")
    target = lines.target.decode("ascii")
    host = _check_target(target, _check_host(known.get("host", []), minor))
    connection = ",".join(known["connection"]).lower().replace(" ", "").split(",") if "connection" in known else []
    chunked = _check_transfer_encoding(known, minor)
    return RequestHead(
        method=method,
        target=target,
        minor=minor,
        headers=lines.headers,
        known=known,
        host=host,
        keep_alive="close" not in connection and (minor == 1 or "keep-alive" in connection),
        content_length=_check_content_length(known.get("content-length", []), limits),
        chunked=chunked,
        expects_continue=_check_expect(known.get("expect", []), minor),
    )


def _check_host(values: list[str], minor: int) -> str:
    if len(values) > 1:
        raise bad_request("the request has more than one Host header")
    if not values:
        if minor == 1:
            raise bad_request("an HTTP/1.1 request must have a Host header")
        return ""
    if values[0] and not _HOST.fullmatch(values[0]):
        raise bad_request("the Host header must be a name or address with an optional port")
    return values[0]


def _check_target(target: str, host: str) -> str:
    """The host that the request is for: an absolute target names it itself (RFC 9112, section 3.2.2)."""
    if "#" in target:
        raise bad_request("the request's target has a fragment (#)")
    if target.startswith("/"):
        return host
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        raise bad_request("the request's target must be a path or an http URL")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if not _HOST.fullmatch(authority):
        raise bad_request("the URL of the request must name a host, with an optional port")
    return authority


def _check_transfer_encoding(known: dict[str, list[str]], minor: int) -> bool:
    values = known.get("transfer-encoding")
    if values is None:
        return False
    if "content-length" in known:
        raise bad_request("the request has both Content-Length and Transfer-Encoding")
    if minor == 0:
        raise bad_request("an HTTP/1.0 request cannot have Transfer-Encoding")
    if len(values) != 1 or values[0].lower() != "chunked":
        raise _not_implemented("the only Transfer-Encoding supported is chunked")
    return True


def _check_content_length(values: list[str], limits: Limits) -> int:
    if not values:
        return 0
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,19}", values[0]):
        raise bad_request("Content-Length must be one decimal number")
    if int(values[0]) > limits.body_bytes_max:
        raise body_too_large(limits.body_bytes_max)
    return int(values[0])


def _check_expect(values: list[str], minor: int) -> bool:
    if not values or minor == 0:
        return False
    if values != ["100-continue"] and [value.lower() for value in values] != ["100-continue"]:
        message = "the only expectation supported is 100-continue"
        raise Refusal(HTTPStatus.EXPECTATION_FAILED, "ExpectationFailed", message, close=True)
    return True


def body_too_large(most: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BodyTooLarge", f"the body is larger than {most} bytes", close=True
    )


def url_too_long(limits: Limits) -> Refusal:
    message = f"the request's target is longer than {limits.url_bytes_max} bytes"
    return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "UrlTooLong", message, close=True)


def _not_implemented(message: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message, close=True)
