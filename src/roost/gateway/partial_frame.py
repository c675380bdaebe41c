"""A frame of which not everything has come: what can be said of it already.

picows hands over whole frames. A frame may take its time, so what cannot become right any more is found while it comes:
its head as soon as that is whole, and a text that is not UTF-8 at its first wrong byte.
"""

from __future__ import annotations

import codecs
from typing import Protocol

from roost.gateway.masking import Unmasker

HEAD_BYTES_MAX = 14


class FrameHead:
    """The head of a client's frame (RFC 6455, section 5.2)."""

    __slots__ = ("fin", "length", "mask", "opcode", "rsv", "size")

    def __init__(self, data: bytes) -> None:
        self.fin = bool(data[0] & 0x80)
        self.rsv = data[0] >> 4 & 7
        self.opcode = data[0] & 0x0F
        self.size = head_size(data)
        """Of the head itself."""
        extended = self.size - 6
        self.length = int.from_bytes(data[2 : 2 + extended], "big") if extended else data[1] & 0x7F
        """Of the payload."""
        self.mask = data[self.size - 4 : self.size]


def head_size(data: bytes) -> int:
    """How many bytes the head has that begins like this; 2 while that is not known."""
    if len(data) < 2:
        return 2
    short = data[1] & 0x7F
    return 6 + (8 if short == 127 else 2 if short == 126 else 0)


class Judge(Protocol):
    """Whoever knows what may come."""

    def on_head(self, head: FrameHead) -> codecs.IncrementalDecoder | None:
        """A frame has begun. What its payload is to be decoded with while it comes; None where nothing is to be seen.

        The decoder may be used up.
        """

    def on_invalid_text(self) -> None:
        """The payload cannot be part of a text any more."""


class PartialFrame:
    """One frame, from its first byte on."""

    __slots__ = ("_come", "_decoder", "_head", "_head_bytes", "_judge", "_unmasker")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._head_bytes = b""
        self._head: FrameHead | None = None
        self._come = 0
        """Of the payload."""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._unmasker: Unmasker | None = None

    def add(self, data: bytes) -> int:
        """More of it has come, never its end; how many bytes of it are left that nobody needs to see."""
        if self._head is None:
            data = self._add_to_head(data)
        if self._head is None:
            return 0
        if self._decoder is not None and data:
            self._look(data, self._head.mask)
        self._come += len(data)
        return self._head.length - self._come if self._decoder is None else 0

    def _add_to_head(self, data: bytes) -> bytes:
        """Take what belongs to the head; the rest."""
        came = self._head_bytes + data
        size = head_size(came)
        if len(came) < size or size == 2:
            self._head_bytes = came
            return b""
        self._head = FrameHead(came)
        self._decoder = self._judge.on_head(self._head)
        return came[size:]

    def _look(self, data: bytes, mask: bytes) -> None:
        if self._unmasker is None:
            self._unmasker = Unmasker()
        at = self._come % 4
        assert self._decoder is not None, "only texts are looked at"
        try:
            self._decoder.decode(self._unmasker.unmask(data, mask[at:] + mask[:at]))
        except UnicodeDecodeError:
            self._decoder = None
            self._judge.on_invalid_text()
