"""The masking of what clients send (RFC 6455, section 5.3), undone for a part of a frame.

picows unmasks whole frames with vector instructions, 64 KiB in some 10 µs; by Python's means they take 150. So a large
part is given to picows as a frame of its own; a small one is not worth the making of a reader.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from picows import WSFrame, WSListener

from roost.gateway.picows_reader import feed, make_reader

_SMALL_BYTES = 2_048
_PIECE_BYTES = 32_768
"""A multiple of four, so that the mask begins anew with each piece; picows has room for two."""
_TABLES = [bytes(byte ^ key for byte in range(256)) for key in range(256)]
_BINARY, _MASKED = 0x82, 0x80


class Unmasker:
    """Unmasks the parts of one frame."""

    __slots__ = ("_frames", "_reader")

    def __init__(self) -> None:
        self._frames = _Frames()
        self._reader: asyncio.BufferedProtocol | None = None

    def unmask(self, data: bytes, mask: bytes) -> bytes:
        """What was masked with the four bytes of `mask`, the first of them at the first byte."""
        if len(data) < _SMALL_BYTES:
            return _unmask_small(data, mask)
        if self._reader is None:
            self._reader = make_reader(self._frames, _PIECE_BYTES, 2 * _PIECE_BYTES)
        for at in range(0, len(data), _PIECE_BYTES):
            feed(self._reader, _frame(data[at : at + _PIECE_BYTES], mask))
        return self._frames.take()


def _frame(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    length = bytes((_BINARY, _MASKED | size)) if size < 126 else struct.pack("!BBH", _BINARY, _MASKED | 126, size)
    return b"".join((length, mask, payload))


def _unmask_small(data: bytes, mask: bytes) -> bytes:
    plain = bytearray(data)
    for at in range(4):
        plain[at::4] = plain[at::4].translate(_TABLES[mask[at]])
    return bytes(plain)


class _Frames(WSListener):
    """What picows makes of frames that were made up for it."""

    def __init__(self) -> None:
        self._plain: list[bytes] = []
        self.tail_bytes = 0
        self.passing_bytes = 1 << 62  # nobody looks at what is half read
        self.breach: tuple[int, str] | None = None

    def on_ws_frame(self, _: Any, frame: WSFrame) -> None:
        self.tail_bytes = frame.tail_size
        self._plain.append(frame.get_payload_as_bytes())

    def take(self) -> bytes:
        """All payloads since the last call, joined."""
        plain = b"".join(self._plain)
        self._plain.clear()
        return plain

    def on_read(self, before: int, data: bytes) -> None:
        assert self.breach is None, "the frames made up here are good"

    def on_passed(self) -> None:
        pass
