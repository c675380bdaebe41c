# A catalog: which copy of every object belongs to a backup, in the order of bindings and keys.
#
#  (1) It is read and written as a stream, some thousand copies at a time: a million objects need no more memory than
#      ten thousand. Each block carries its checksum.
#  (2) `merged` walks two ordered streams side by side: that is how what lies on the disk is compared to what was backed
#      up before, and copies are brought together with what was committed after them.
"""Catalogs of copies: how they are written, read, and compared."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from roost.backup.pack import Copy
from roost.backup.target import Sink, Target
from roost.errors import BackupError

_MAGIC = b"ROOSTCA1"
_BLOCK = struct.Struct("<IIH")  # bytes, crc32, copies
_COPIES = 2048
_decode = msgspec.msgpack.Decoder(list[Copy]).decode


class CatalogWriter:
    """Writes a catalog of the copies that are added, in order."""

    def __init__(self, sink: Sink) -> None:
        self.count = 0
        self._sink = sink
        self._block: list[Copy] = []
        sink.write(_MAGIC)

    def add(self, copy: Copy) -> None:
        """The next copy; each comes behind the one before."""
        self.count += 1
        self._block.append(copy)
        if len(self._block) == _COPIES:
            self._flush()

    def finish(self) -> None:
        if self._block:
            self._flush()
        self._flush()  # a block of nothing says that this is the end

    def _flush(self) -> None:
        raw = zlib.compress(msgspec.msgpack.encode(self._block), 1)
        self._sink.write(_BLOCK.pack(len(raw), zlib.crc32(raw), len(self._block)) + raw)
        self._block = []


def read_catalog(target: Target, name: str) -> Iterator[Copy]:
    """The copies of a catalog, in order. Raises BackupError when it does not check out."""
    held, pieces = bytearray(), target.stream(name)

    def take(count: int) -> bytes:
        while len(held) < count:
            piece = next(pieces, None)
            if piece is None:
                raise BackupError(f"{name} in {target.title} is damaged: it is too short")
            held.extend(piece)
        taken = bytes(held[:count])
        del held[:count]
        return taken

    if take(len(_MAGIC)) != _MAGIC:
        raise BackupError(f"{name} in {target.title} is damaged: it does not begin like a catalog")
    while True:
        length, crc, count = _BLOCK.unpack(take(_BLOCK.size))
        raw = take(length)
        if zlib.crc32(raw) != crc:
            raise BackupError(f"{name} in {target.title} is damaged: a block does not match its checksum")
        if not count:
            return
        yield from _decode(zlib.decompress(raw))


Left = TypeVar("Left")
Right = TypeVar("Right")
Place = tuple[str, bytes]


def merged(
    left: Iterable[tuple[Place, Left]], right: Iterable[tuple[Place, Right]]
) -> Iterator[tuple[Place, Left | None, Right | None]]:
    """Two ordered streams side by side: every place, with what each of them has there."""
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        place = min(found[0] for found in (one, other) if found is not None)
        here = one if one is not None and one[0] == place else None
        there = other if other is not None and other[0] == place else None
        yield place, here and here[1], there and there[1]
        one = next(lefts, None) if here is not None else one
        other = next(rights, None) if there is not None else other
