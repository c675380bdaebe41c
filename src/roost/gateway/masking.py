"""The masking of what clients send (RFC 6455, section 5.3), undone for a part of a frame.

picows unmasks whole frames with vector instructions, 64 KiB in some 10 µs; by Python's means they take 150. So a large
part is given to picows as a frame of its own; a small one is not worth the making of a reader.
"""

from __future__ import annotations

import asyncio
from typing import Any

from picows import WSFrame, WSListener

from roost.gateway.picows_reader import feed, make_reader

_SMALL_BYTES = 4_096
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
        size = len(data)
        if size < _SMALL_BYTES:
            return _unmask_small(data, mask)
        if self._reader is None:
            self._reader = make_reader(self._frames, 1 << 62)
        kind, length = (126, size.to_bytes(2, "big")) if size < 1 << 16 else (127, size.to_bytes(8, "big"))
        feed(self._reader, b"".join((bytes((_BINARY, _MASKED | kind)), length, mask, data)))
        return self._frames.last


def _unmask_small(data: bytes, mask: bytes) -> bytes:
    plain = bytearray(data)
    for at in range(4):
        plain[at::4] = plain[at::4].translate(_TABLES[mask[at]])
    return bytes(plain)


class _Frames(WSListener):
    """What picows makes of frames that were made up for it."""

    def __init__(self) -> None:
        self.last = b""
        self.tail_bytes = 0
        self.passing_bytes = 1 << 62  # nobody looks at what is half read
        self.breach: tuple[int, str] | None = None

    def on_ws_frame(self, _: Any, frame: WSFrame) -> None:
        self.tail_bytes = frame.tail_size
        self.last = frame.get_payload_as_bytes()

    def on_read(self, before: int, data: bytes) -> None:
        assert self.breach is None, "the frames made up here are good"

    def on_passed(self) -> None:
        pass
