"""A WebSocket message in several frames, while it comes in."""

from __future__ import annotations

import codecs
from typing import Any

from roost.link.frames import Message


class Fragments:
    """A message whose last frame has not come."""

    __slots__ = ("_decoder", "_pieces", "size")

    def __init__(self, is_text: bool) -> None:
        self.size = 0
        self._pieces: list[Any] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None

    def add(self, payload: bytes, final: bool) -> None:
        """Raises UnicodeDecodeError as soon as a text cannot become valid any more."""
        self.size += len(payload)
        self._pieces.append(self._decoder.decode(payload, final) if self._decoder is not None else payload)

    def joined(self) -> Message:
        return "".join(self._pieces) if self._decoder is not None else b"".join(self._pieces)
