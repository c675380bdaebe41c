# One file of the journal: a header block, then entries, each holding a batch of records, one behind the other.
#
#  (1) A segment is preallocated and used again. Its header names the sequence number of its present use, which no
#      other use of any segment of this journal ever had; an entry that does not carry that number, its own offset and
#      the checksum chained from the entry before it is not part of it.
#      So neither what an earlier use left behind nor what a failed write left behind is ever read.
#  (2) The header of a new use is durable before the first entry of that use is written.
#  (3) An entry says up to where the journal was durable when it was written. After a crash the first entry that does
#      not check out is the end, unless something says that the end was durable further on: then the file is damaged,
#      and that is an error, because confirmed commits are missing.
"""A segment of the journal, and how it is read back."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.files import Files, write_all

HEADER_BYTES = 4096
_VERSION = 1
_MAGIC = b"ROOSTJNL"
_HEADER = struct.Struct("<8sIQQI")  # magic, version, sequence, epoch, crc of what is before it
_ENTRY = struct.Struct("<4sQQQQQI")  # magic; sequence, offset; those that were durable; content bytes, chained crc
_ENTRY_MAGIC = b"RENT"
_CRC = struct.Struct("<I")
ENTRY_BYTES = _ENTRY.size + _CRC.size
"""What an entry takes beside its content: the fields, and their checksum."""

_OFFSET_BITS = 40


def position(sequence: int, offset: int) -> int:
    """A point of the journal as one number that grows along it."""
    return sequence << _OFFSET_BITS | offset


def split_position(point: int) -> tuple[int, int]:
    """The sequence number and the offset of a point of the journal."""
    return divmod(point, 1 << _OFFSET_BITS)


class Segment:
    """A segment that is written to. `end` is where the next entry goes."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.sequence = 0
        self.end = HEADER_BYTES
        self.chain = 0
        self.last: dict[bytes, int] = {}
        """The last commit of each object that is here and was not let go."""

    @property
    def room(self) -> int:
        """Bytes left for entries."""
        return self.size - self.end

    def start(self, files: Files, sequence: int, epoch: int) -> None:
        """Begin a new use, durably."""
        write_all(files, self.fd, _pack_header(sequence, epoch), 0)
        files.sync(self.fd)
        self.sequence = sequence
        self.end = HEADER_BYTES
        self.chain = _first_chain(sequence)
        self.last.clear()

    def pack(self, content: bytes, durable: int) -> tuple[bytes, int]:
        """The bytes of the next entry, and the chain after it; `durable` is the position up to which all is durable."""
        chain = zlib.crc32(content, self.chain)
        was_durable = split_position(durable)
        fields = _ENTRY.pack(_ENTRY_MAGIC, self.sequence, self.end, *was_durable, len(content), chain)
        return fields + _CRC.pack(zlib.crc32(fields)) + content, chain

    def close(self) -> None:
        os.close(self.fd)


def _first_chain(sequence: int) -> int:
    return zlib.crc32(sequence.to_bytes(8, "little"))


def _pack_header(sequence: int, epoch: int) -> bytes:
    fields = _HEADER.pack(_MAGIC, _VERSION, sequence, epoch, 0)[: -_CRC.size]
    return fields + _CRC.pack(zlib.crc32(fields))


class Entry(msgspec.Struct, frozen=True):
    """Where the content of an entry stands in a segment, and what was durable when it was written."""

    offset: int
    length: int
    durable: int


class SegmentReader:
    """A segment as a crash left it. `sequence` is 0 when it is not in use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sequence = 0
        self.epoch = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(self._fd).st_size
        self._map = mmap.mmap(self._fd, size, access=mmap.ACCESS_READ) if size else None
        if self._map is not None and size >= HEADER_BYTES:
            self._read_header(self._map)

    def _read_header(self, data: mmap.mmap) -> None:
        if not any(data[: _HEADER.size]):
            return  # preallocated, and never used
        magic, version, sequence, epoch, crc = _HEADER.unpack_from(data)
        if magic != _MAGIC or zlib.crc32(data[: _HEADER.size - _CRC.size]) != crc:
            raise StorageCorruptError(
                f"{self.path} does not begin like a segment of the journal; restore it from a copy"
            )
        if version != _VERSION:
            raise StorageCorruptError(f"{self.path} has format {version}; this roost reads format {_VERSION}")
        self.sequence, self.epoch = sequence, epoch

    def entries(self) -> Iterator[Entry]:
        """The entries in order, up to the first that does not check out."""
        offset, chain = HEADER_BYTES, _first_chain(self.sequence)
        while (found := self._entry_at(offset)) is not None:
            entry, crc = found
            chain = zlib.crc32(self._slice(entry), chain)
            if chain != crc:
                return
            yield entry
            offset = entry.offset + entry.length

    def durable_beyond(self, end: int) -> int:
        """The furthest durable position that any entry behind `end` speaks of; 0 when none does."""
        furthest, data = 0, self._map
        at = -1 if data is None else data.find(_ENTRY_MAGIC, end)
        while data is not None and at >= 0:
            found = self._entry_at(at)
            if found is not None:
                furthest = max(furthest, found[0].durable)
            at = data.find(_ENTRY_MAGIC, at + 1)
        return furthest

    def read(self, entry: Entry) -> bytes:
        """The content of an entry."""
        return os.pread(self._fd, entry.length, entry.offset)

    def clear(self, files: Files) -> None:
        """Mark the segment as not in use, durably."""
        write_all(files, self._fd, _pack_header(0, self.epoch), 0)
        files.sync(self._fd)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
        os.close(self._fd)

    def _slice(self, entry: Entry) -> bytes:
        assert self._map is not None, "an entry was found, so there is something to read"
        return self._map[entry.offset : entry.offset + entry.length]

    def _entry_at(self, at: int) -> tuple[Entry, int] | None:
        """The entry that begins at `at`, if its own fields check out, and the chained checksum of its content."""
        data = self._map
        if data is None or at + ENTRY_BYTES > len(data) or data[at : at + 4] != _ENTRY_MAGIC:
            return None
        _, sequence, offset, durable_sequence, durable_offset, length, crc = _ENTRY.unpack_from(data, at)
        if zlib.crc32(data[at : at + _ENTRY.size]) != _CRC.unpack_from(data, at + _ENTRY.size)[0]:
            return None
        if sequence != self.sequence or offset != at or at + ENTRY_BYTES + length > len(data):
            return None
        return Entry(at + ENTRY_BYTES, length, position(durable_sequence, durable_offset)), crc
