"""A WebSocket message in several frames, or compressed, while it comes in."""

from __future__ import annotations

import codecs
import zlib
from typing import Any

from roost.gateway.inflating import Inflater, TooMuchError
from roost.link.frames import Message

PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG, TRY_AGAIN_LATER = 1002, 1007, 1009, 1013

_new_decoder = codecs.getincrementaldecoder("utf-8")


class UnreadableError(Exception):
    """A message that cannot be read: the code to close with, and what was wrong."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Allowance:
    """How much may wait, inflated, for the rest of its message, over all connections of a gateway."""

    __slots__ = ("bytes_max", "bytes_used")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_used = 0


class Fragments:
    """A message whose last frame has not come."""

    __slots__ = ("_allowance", "_bytes_max", "_decoder", "_inflater", "_pieces", "_taken", "size")

    def __init__(self, is_text: bool, bytes_max: int, inflater: Inflater | None, allowance: Allowance) -> None:
        self.size = 0
        """Of what has come, inflated."""
        self._bytes_max = bytes_max
        self._pieces: list[Any] = []
        self._decoder = _new_decoder() if is_text else None
        self._inflater = inflater
        self._allowance = allowance
        self._taken = 0

    def add(self, payload: bytes, final: bool) -> None:
        """Raises UnreadableError as soon as the message cannot become one that is allowed."""
        if self._inflater is not None:
            payload = self._inflate(self._inflater, payload, final)
        self.size += len(payload)
        if self.size > self._bytes_max:
            raise too_big(self._bytes_max)
        try:
            self._pieces.append(self._decoder.decode(payload, final) if self._decoder is not None else payload)
        except UnicodeDecodeError:
            raise invalid_text() from None

    def _inflate(self, inflater: Inflater, payload: bytes, final: bool) -> bytes:
        try:
            plain = inflater.inflate(payload, self._bytes_max - self.size, final=final)
        except TooMuchError:
            raise too_big(self._bytes_max) from None
        except zlib.error:
            raise UnreadableError(INVALID_TEXT, "a compressed message is not deflated data") from None
        if not final:
            self._take(len(plain))
        return plain

    def _take(self, size: int) -> None:
        if self._allowance.bytes_used + size > self._allowance.bytes_max:
            raise UnreadableError(TRY_AGAIN_LATER, "too many compressed messages are under way")
        self._allowance.bytes_used += size
        self._taken += size

    def close(self) -> None:
        """It is whole, or will never be."""
        self._allowance.bytes_used -= self._taken
        self._taken = 0

    def joined(self) -> Message:
        return "".join(self._pieces) if self._decoder is not None else b"".join(self._pieces)

    def check(self, size: int) -> codecs.IncrementalDecoder | None:
        """A frame of so many bytes begins: what its payload may be checked with while it comes, if it is a plain text.

        Raises UnreadableError when the message becomes too large with it.
        """
        if self._inflater is not None:
            return None
        if self.size + size > self._bytes_max:
            raise too_big(self._bytes_max)
        if self._decoder is None:
            return None
        decoder = _new_decoder()
        decoder.setstate(self._decoder.getstate())
        return decoder


def too_big(bytes_max: int) -> UnreadableError:
    return UnreadableError(TOO_BIG, f"a message is larger than {bytes_max} bytes")


def invalid_text() -> UnreadableError:
    return UnreadableError(INVALID_TEXT, "a text message is not valid UTF-8")
