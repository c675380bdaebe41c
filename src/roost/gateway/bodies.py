"""How far a request's body goes: by a length, or in chunks (RFC 9112, sections 6.2 and 7.1).

A body takes its bytes from the front of the connection's buffer and never more than were asked for.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from roost.gateway.refusal import Refusal, bad_request

_CHUNK_LINE_BYTES_MAX = 1_024  # size and extensions
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class SizedBody:
    """A body of so many bytes; 0 for a request without one."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    @property
    def ended(self) -> bool:
        return self._left == 0

    def take(self, buffer: bytearray, most: int) -> bytes:
        taken = bytes(buffer[: min(self._left, most)])
        del buffer[: len(taken)]
        self._left -= len(taken)
        return taken


class ChunkedBody:
    """A body in chunks, whose trailers are dropped. `take` raises Refusal where it is malformed or too large."""

    __slots__ = ("_left", "_room", "_step", "_trailer_room")

    def __init__(self, body_bytes_max: int, trailer_bytes_max: int) -> None:
        self._room = body_bytes_max
        self._trailer_room = trailer_bytes_max
        self._left = 0
        self._step = "size"

    @property
    def ended(self) -> bool:
        return self._step == "ended"

    def take(self, buffer: bytearray, most: int) -> bytes:
        pieces: list[bytes] = []
        while most > 0 and self._advance(buffer):
            if self._step == "data":
                piece = bytes(buffer[: min(self._left, most)])
                del buffer[: len(piece)]
                self._left -= len(piece)
                most -= len(piece)
                pieces.append(piece)
                if self._left or not piece:
                    break
                self._step = "data end"
        return b"".join(pieces)

    def _advance(self, buffer: bytearray) -> bool:
        """One step towards more data; False when bytes are missing, or nothing is left to come."""
        if self._step == "data":
            return True
        if self._step == "ended":
            return False
        line = self._line(buffer)
        if line is None:
            return False
        if self._step == "data end":
            if line:
                raise bad_request("a chunk of the body is longer than it said")
            self._step = "size"
        elif self._step == "size":
            self._begin_chunk(line)
        elif not line:
            self._step = "ended"
        return True

    def _line(self, buffer: bytearray) -> bytes | None:
        most = _CHUNK_LINE_BYTES_MAX if self._step == "size" else 0 if self._step == "data end" else self._trailer_room
        end = buffer.find(b"\n", 0, most + 2)
        if end < 0:
            if len(buffer) >= most + 2:
                raise bad_request("a line of the chunked body is too long, or a chunk longer than it said")
            return None
        if end == 0 or buffer[end - 1] != 0x0D:
            raise bad_request("a line of the chunked body ends with LF alone; CR LF was expected")
        line = bytes(buffer[: end - 1])
        del buffer[: end + 1]
        if self._step == "trailer":
            self._trailer_room -= len(line)
        return line

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise bad_request("a chunk of the body must begin with its size in hexadecimal digits")
        self._left = int(match[1], 16)
        self._step = "data" if self._left else "trailer"
        self._room -= self._left
        if self._room < 0:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BodyTooLarge", "the chunked body is too large", close=True
            )
