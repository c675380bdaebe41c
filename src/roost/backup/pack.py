# A pack: copies of object files, one behind the other, as one thing in the target.
#
#  (1) A copy is a row of frames, each of at most a megabyte of the file, compressed, with its length and checksum; a
#      frame of no bytes ends it. It is written as it is read: neither a pack nor a copy is ever held in memory.
#  (2) Behind the copies stands their index, in the order in which they were added, and a footer that leads to it.
#  (3) What a file held when it was copied need be no state that it ever had: its host may have been writing to it. What
#      mends it are the records of the journal since the backup began.
#
#     magic | copies: frames: raw bytes, packed bytes, crc32 | index | offset of the index, its bytes, its crc32, magic
"""Packs of object files: how they are written and read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
import zstandard

from roost.backup.target import Sink, Target, read_bytes
from roost.errors import BackupError

FRAME_BYTES = 1024 * 1024
_MAGIC = b"ROOSTPK1"
_FRAME = struct.Struct("<III")
_FOOTER = struct.Struct("<QQI8s")
_LEVEL = 1  # as the journal: the higher ones take several times as long for a few per cent


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """A copy of an object's file, and where it is."""

    binding: str
    key: bytes
    stamp: int
    """The file's time of change, in nanoseconds, before it was copied; 0 where that could not tell a later change."""
    size: int
    """The file's size then."""
    pack: str
    """The name of the pack in the target."""
    offset: int
    length: int
    """Bytes that the copy takes in the pack; 0, and no name of a pack, where nothing is known of the object."""
    frozen: int | None = None
    """Of an object that was damaged: the last commit in the copy, 0 where that is not known. What was committed behind
    a hole does not fit onto it."""

    @property
    def place(self) -> tuple[str, bytes]:
        """What copies are ordered by."""
        return self.binding, self.key


class Readable(Protocol):
    """What is copied: a file, or something like one."""

    def read(self, size: int, /) -> bytes: ...


class PackWriter:
    """Writes a pack into what a target gave for it; it is whole once `finish` was called and the target's block ended.

    `pause` is called before each frame.
    """

    def __init__(self, name: str, sink: Sink, pause: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.copies: list[Copy] = []
        self.bytes = 0
        """Written so far."""
        self._sink = sink
        self._pause = pause
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._write(_MAGIC)

    def add(self, binding: str, key: bytes, stamp: int, size: int, file: Readable, frozen: int | None = None) -> Copy:
        """Copy a file from where it stands to its end."""
        start = self.bytes
        while True:
            self._pause()
            raw = file.read(FRAME_BYTES)
            self._write_frame(raw)
            if not raw:
                break
        copy = Copy(binding, key, stamp, size, self.name, start, self.bytes - start, frozen)
        self.copies.append(copy)
        return copy

    def drop(self, copy: Copy) -> None:
        """Leave the last copy out of the index: it is not what it should be."""
        assert self.copies[-1] is copy, "only the last one can be dropped"
        self.copies.pop()

    def doubt(self, copy: Copy) -> Copy:
        """The last copy, as one that is not relied on another time."""
        assert self.copies[-1] is copy, "only the last one can be doubted"
        self.copies[-1] = msgspec.structs.replace(copy, stamp=0)
        return self.copies[-1]

    def finish(self) -> None:
        """Write the index."""
        start = self.bytes
        index = self._compress(msgspec.msgpack.encode(self.copies))
        self._write(index)
        self._write(_FOOTER.pack(start, len(index), zlib.crc32(index), _MAGIC))

    def _write_frame(self, raw: bytes) -> None:
        packed = self._compress(raw) if raw else b""
        self._write(_FRAME.pack(len(raw), len(packed), zlib.crc32(packed)) + packed)

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self.bytes += len(data)


def read_index(target: Target, name: str) -> list[Copy]:
    """The copies in a pack. Raises BackupError when it does not check out."""
    size = target.size(name)
    raw = read_bytes(target, name, max(size - _FOOTER.size, 0), _FOOTER.size)
    if len(raw) != _FOOTER.size:
        raise _damaged(target, name, "it is too short")
    start, length, crc, magic = _FOOTER.unpack(raw)
    if magic != _MAGIC or start + length + _FOOTER.size != size:
        raise _damaged(target, name, "it does not end like a pack")
    index = read_bytes(target, name, start, length)
    if zlib.crc32(index) != crc:
        raise _damaged(target, name, "its index does not match its checksum")
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(index), type=list[Copy])


class PackReader:
    """Reads copies out of packs, those that lie behind each other by one request. `above` is where the packs are."""

    def __init__(self, target: Target, above: str) -> None:
        self._target = target
        self._above = above
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._pack = ""
        self._at = 0
        self._pieces: Iterator[bytes] = iter(())
        self._held = bytearray()

    def read(self, copy: Copy) -> Iterator[bytes]:
        """The bytes of the file that was copied, in pieces. Raises BackupError when they do not check out."""
        if not copy.pack:
            return
        self._seek(copy)
        end = copy.offset + copy.length
        while True:
            raw_bytes, packed_bytes, crc = _FRAME.unpack(self._take(_FRAME.size, end))
            if not raw_bytes:
                break
            packed = self._take(packed_bytes, end)
            if zlib.crc32(packed) != crc or raw_bytes > FRAME_BYTES:
                raise self._damaged("a frame does not match its checksum")
            raw = self._unpacked(packed)
            if len(raw) != raw_bytes:
                raise self._damaged("a frame has another length than it says")
            yield raw
        if self._at != end:
            raise self._damaged("a copy ends too early")

    def _unpacked(self, packed: bytes) -> bytes:
        try:
            return self._decompress(packed)
        except zstandard.ZstdError as error:
            raise self._damaged(f"a frame cannot be unpacked: {error}") from error

    def _seek(self, copy: Copy) -> None:
        if (self._pack, self._at) != (copy.pack, copy.offset):
            self._pack, self._at = copy.pack, copy.offset
            self._pieces = self._target.stream(f"{self._above}/{copy.pack}", copy.offset)
            self._held.clear()

    def _take(self, count: int, end: int) -> bytes:
        if self._at + count > end:
            raise self._damaged("a copy has no end")
        while len(self._held) < count:
            piece = next(self._pieces, None)
            if piece is None:
                raise self._damaged("it is too short")
            self._held += piece
        taken = bytes(self._held[:count])
        del self._held[:count]
        self._at += count
        return taken

    def _damaged(self, how: str) -> BackupError:
        return _damaged(self._target, self._pack, f"{how}, near byte {self._at}")


def _damaged(target: Target, name: str, how: str) -> BackupError:
    return BackupError(f"{name} in {target.title} is damaged: {how}; other backups there may be whole")
