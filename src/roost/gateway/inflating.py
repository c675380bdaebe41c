"""Compressed messages of a client, inflated (RFC 7692, section 7.2.2).

(1) Never more comes out than there is room for: a few bytes that stand for gigabytes cost the room and no more.
(2) A message may have a block that says it is the last of all; what follows it is read all the same, with the window
    as it was (section 7.2.3.4).
"""

from __future__ import annotations

import zlib

_FLUSHED = b"\x00\x00\xff\xff"
"""What the sender has left out at the end of a message."""


class TooMuchError(Exception):
    """More would come out than there is room for."""


class Inflater:
    """Inflates one message; one that `keeps` its window, all messages of a client."""

    __slots__ = ("_bits", "_inflate", "_keeps", "_recent")

    def __init__(self, bits: int = zlib.MAX_WBITS, *, keeps: bool = False) -> None:
        self._bits = bits
        self._keeps = keeps
        self._inflate = zlib.decompressobj(wbits=-bits)
        self._recent = b""
        """What came out last, as much as the window holds: for (2)."""

    def inflate(self, data: bytes, room: int, *, final: bool) -> bytes:
        """A part of a message, `final` with its last one.

        Raises TooMuchError when more than `room` bytes come out, zlib.error when it is not deflated data.
        """
        pieces: list[bytes] = []
        for part in (data, _FLUSHED) if final else (data,):
            room = self._add(part, room, pieces)
        whole = b"".join(pieces)
        if self._keeps or not final:
            self._recent = (self._recent + whole)[-(1 << self._bits) :]
        return whole

    def _add(self, data: bytes, room: int, pieces: list[bytes]) -> int:
        """The room that is left."""
        while data:
            piece = self._inflate.decompress(data, room + 1)
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise TooMuchError
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = self._inflate.unused_data
                window = (self._recent + b"".join(pieces))[-(1 << self._bits) :]
                self._inflate = zlib.decompressobj(wbits=-self._bits, zdict=window)
        return room
