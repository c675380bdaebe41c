"""Reading a file that may have bad blocks."""

from __future__ import annotations

import errno
import logging
import os

logger = logging.getLogger("roost.storage")

_BLOCK = 4096
_WINDOW = 1024 * 1024


class Blocks:
    """The bytes of an open file, for any thread. What the disk cannot read reads as zeros, which no checksum takes for
    data."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self._window = 0, b""
        """Where the bytes begin that were read last, and these: replaced as one."""

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes; fewer at the end of the file."""
        start, window = self._window
        if offset < start or offset + length > start + len(window):
            if length > _WINDOW // 2:
                return self._load(offset, length)
            start, window = self._window = offset, self._load(offset, _WINDOW)
        return window[offset - start : offset - start + length]

    def find(self, mark: bytes, start: int) -> int:
        """Where `mark` occurs first at or behind `start`; -1 where it does not."""
        while start < self.size:
            found = self._load(start, _WINDOW + len(mark) - 1).find(mark)
            if found >= 0:
                return start + found
            start += _WINDOW
        return -1

    def _load(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        length = min(length, self.size - offset)
        while length > 0 and (piece := self._piece(offset, length)):
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        within = min(length, _BLOCK - offset % _BLOCK)
        try:
            return os.pread(self._fd, within, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            logger.error("bytes %d to %d of file %d cannot be read: %s", offset, offset + within, self._fd, error)
            return bytes(within)
