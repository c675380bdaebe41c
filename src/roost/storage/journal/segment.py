# One file of the journal: a header block, then entries, each holding a batch of records, one behind the other.
#
#  (1) A segment is preallocated and used again. Its header names the sequence number of its present use, which no
#      other use of any segment of this journal ever had; an entry that does not carry that number, its own offset and
#      the checksum chained from the entry before it is not part of it.
#      So neither what an earlier use left behind nor what a failed write left behind is ever read.
#  (2) The header of a new use is durable before the first entry of that use is written. A segment that recovery needs
#      no more is *settled*, which its header says; it may still be wanted for history. One with the number 0 is free.
#  (3) An entry says up to where the journal was durable when it was written, and that is up to itself: nothing is
#      written before everything before it is durable. So an entry that checks out behind one that does not proves
#      damage: what is between them was confirmed once.
#  (4) Beside its batch an entry has its table of contents, which can be read without unpacking the batch; and the
#      tables of the entries just before it, so that what a bad block of the disk takes away can be named.
#
#     header:  magic version sequence epoch state crc32, twice, so that a bad sector costs nothing
#     entry:   magic | sequence offset | durable sequence, offset | bytes of batch, contents, echo |
#              crc32 of contents and echo | crc32 of the batch, chained | crc32 of these | contents | echo | batch
#     version 1 has no state, no contents and no echo
"""A segment of the journal, and how it is read back."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.files import Files, write_all
from roost.storage.journal.batch import unpack
from roost.storage.journal.blocks import Blocks
from roost.storage.journal.contents import NO_TABLES, Content, Echo, Tables, decode_contents, decode_echo

HEADER_BYTES = 4096
_COPY_AT = HEADER_BYTES // 2
_VERSION = 2
_MAGIC = b"ROOSTJNL"
_FRONT = struct.Struct("<8sIQQ")  # magic, version, sequence, epoch
_STATE = struct.Struct("<B")
_IN_USE, _SETTLED = 0, 1
_ENTRY = struct.Struct("<4sQQQQQIIII")  # magic; sequence, offset; those durable; sizes; checksums
_ENTRY_1 = struct.Struct("<4sQQQQQI")
_ENTRY_MAGIC = b"RENT"
_CRC = struct.Struct("<I")
ENTRY_BYTES = _ENTRY.size + _CRC.size
"""What an entry takes beside its content and its tables: the fields, and their checksum."""
_ENTRY_1_BYTES = _ENTRY_1.size + _CRC.size

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
        self.epoch = 0
        self.end = HEADER_BYTES
        self.chain = 0
        self.last: dict[bytes, int] = {}
        """The last commit of each object that is here and was not let go."""

    @property
    def room(self) -> int:
        """Bytes left for entries."""
        return self.size - self.end

    def start(self, files: Files, sequence: int, epoch: int) -> None:
        """Begin a new use, durably; with the number 0 none, which makes it free."""
        self._write_header(files, sequence, epoch, _IN_USE)
        self.sequence, self.epoch = sequence, epoch
        self.end = HEADER_BYTES
        self.chain = first_chain(sequence)
        self.last.clear()

    def settle(self, files: Files) -> None:
        """Say durably that recovery needs nothing in here."""
        self._write_header(files, self.sequence, self.epoch, _SETTLED)

    def _write_header(self, files: Files, sequence: int, epoch: int, state: int) -> None:
        write_all(files, self.fd, _pack_header(sequence, epoch, state), 0)
        files.sync(self.fd)

    def pack(self, batch: bytes, durable: int, tables: Tables = NO_TABLES) -> tuple[bytes, int]:
        """The bytes of the next entry, and the chain after it; `durable` is the position up to which all is durable."""
        chain = zlib.crc32(batch, self.chain)
        fields = _ENTRY.pack(
            _ENTRY_MAGIC,
            self.sequence,
            self.end,
            *split_position(durable),
            len(batch),
            len(tables.contents),
            len(tables.echo),
            zlib.crc32(tables.echo, zlib.crc32(tables.contents)),
            chain,
        )
        return b"".join((fields, _CRC.pack(zlib.crc32(fields)), tables.contents, tables.echo, batch)), chain

    def close(self) -> None:
        os.close(self.fd)


def first_chain(sequence: int) -> int:
    return zlib.crc32(sequence.to_bytes(8, "little"))


def _pack_header(sequence: int, epoch: int, state: int) -> bytes:
    fields = _FRONT.pack(_MAGIC, _VERSION, sequence, epoch) + _STATE.pack(state)
    return (fields + _CRC.pack(zlib.crc32(fields))).ljust(_COPY_AT, b"\0") * 2


class Entry(msgspec.Struct, frozen=True):
    """Where an entry and its content stand in a segment, and what was durable when it was written."""

    offset: int
    """Of its batch."""
    length: int
    durable: int
    start: int
    contents_bytes: int
    tables_bytes: int
    tables_crc: int
    chain: int

    @property
    def end(self) -> int:
        """Where it ends, and the next one begins."""
        return self.offset + self.length


class Gap(msgspec.Struct, frozen=True):
    """A part of a segment that was durable once and cannot be read."""

    sequence: int
    start: int
    end: int
    entry: Entry | None = None
    """The entry at its start, when that is all that is damaged of it: its batch, or its tables."""


class SegmentReader:
    """A segment as it lies on the disk. `sequence` is 0 when it is not in use. Opened for reading only, unless told."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self.sequence = 0
        self.epoch = 0
        self.settled = False
        """Whether recovery needs nothing in here any more."""
        self.version = _VERSION
        self._fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            self._blocks = Blocks(self._fd)
            self._read_header(self._blocks.read(0, HEADER_BYTES))
        except BaseException:
            self.close()
            raise

    def _read_header(self, header: bytes) -> None:
        if len(header) < HEADER_BYTES or not any(header):
            return  # preallocated, and never used
        if not self._read_copy(header, 0) and not self._read_copy(header, _COPY_AT):
            raise StorageCorruptError(
                f"{self.path} does not begin like a segment of the journal; restore it from a copy"
            )
        if self.version > _VERSION:
            raise StorageCorruptError(f"{self.path} has format {self.version}; this roost reads up to {_VERSION}")

    def _read_copy(self, header: bytes, at: int) -> bool:
        fields: tuple[bytes, int, int, int] = _FRONT.unpack_from(header, at)
        magic, version, sequence, epoch = fields
        size = _FRONT.size + (_STATE.size if version > 1 else 0)
        if magic != _MAGIC or zlib.crc32(header[at : at + size]) != _CRC.unpack_from(header, at + size)[0]:
            return False
        self.version, self.sequence, self.epoch = version, sequence, epoch
        self.settled = version > 1 and header[at + _FRONT.size] == _SETTLED
        return True

    def entries(self, at: int = HEADER_BYTES, chain: int | None = None) -> Iterator[Entry]:
        """The entries in order, up to the first that does not check out. A segment at rest is read by `walk`.

        With the end of an entry that was read, and its chain, those behind it.
        """
        chain = first_chain(self.sequence) if chain is None else chain
        while (entry := self.entry_at(at)) is not None and self._matches(entry, chain):
            yield entry
            at, chain = entry.end, entry.chain

    def walk(self) -> Iterator[Entry | Gap]:
        """The entries in order, and the gaps between them; see (3)."""
        at = HEADER_BYTES
        chain: int | None = first_chain(self.sequence)
        while True:
            entry = self.entry_at(at)
            if entry is not None and self._matches(entry, chain):
                yield entry
                at, chain = entry.end, entry.chain
                continue
            behind = self._entry_behind(at)
            if behind is None:
                return
            yield Gap(self.sequence, at, behind.start, entry)
            chain = entry.chain if entry is not None and entry.end == behind.start else None
            at = behind.start

    def _entry_behind(self, at: int) -> Entry | None:
        """The first entry behind `at` whose own fields check out."""
        mark = _ENTRY_MAGIC + self.sequence.to_bytes(8, "little")
        while (at := self._blocks.find(mark, at + 1)) >= 0:
            entry = self.entry_at(at)
            if entry is not None:
                return entry
        return None

    def entry_at(self, at: int) -> Entry | None:
        """The entry that begins at `at`, if its own fields check out."""
        raw = self._blocks.read(at, ENTRY_BYTES)
        if len(raw) < ENTRY_BYTES or raw[:4] != _ENTRY_MAGIC:
            return None
        entry = self._entry_1(raw, at) if self.version == 1 else self._entry_2(raw, at)
        return None if entry is None or entry.end > self._blocks.size else entry

    def _entry_2(self, raw: bytes, at: int) -> Entry | None:
        _, sequence, offset, durable_sequence, durable_offset, length, contents, echo, crc, chain = _ENTRY.unpack_from(
            raw
        )
        if sequence != self.sequence or offset != at or not _checks_out(raw, _ENTRY.size):
            return None
        start, tables = at + ENTRY_BYTES, contents + echo
        return Entry(
            start + tables, length, position(durable_sequence, durable_offset), at, contents, tables, crc, chain
        )

    def _entry_1(self, raw: bytes, at: int) -> Entry | None:
        _, sequence, offset, durable_sequence, durable_offset, length, chain = _ENTRY_1.unpack_from(raw)
        if sequence != self.sequence or offset != at or not _checks_out(raw, _ENTRY_1.size):
            return None
        return Entry(at + _ENTRY_1_BYTES, length, position(durable_sequence, durable_offset), at, 0, 0, 0, chain)

    def _matches(self, entry: Entry, chain: int | None) -> bool:
        """Whether an entry's batch is what was written; `chain` is that of the entry before it, None where that cannot
        be told: then its records must check out by themselves."""
        if chain is not None:
            return zlib.crc32(self.read(entry), chain) == entry.chain
        try:
            for _ in unpack(self.read(entry)):
                pass
        except StorageCorruptError:
            return False
        return True

    def contents(self, entry: Entry) -> list[Content]:
        """What is in an entry, without unpacking it where its table is in order."""
        table = self.table(entry)
        if table is not None:
            return table
        records = unpack(self.read(entry))
        return [Content(record.key, record.binding, record.commit, record.alarm) for record in records]

    def table(self, entry: Entry) -> list[Content] | None:
        """Its table of contents; None where that is damaged, or there is none."""
        tables = self._tables(entry)
        return None if tables is None else decode_contents(tables[: entry.contents_bytes])

    def echoes(self, entry: Entry) -> list[Echo]:
        """What an entry repeats of those before it; empty when that cannot be read."""
        tables = self._tables(entry)
        return [] if tables is None else decode_echo(tables[entry.contents_bytes :])

    def read(self, entry: Entry) -> bytes:
        """The batch of an entry."""
        return self._blocks.read(entry.offset, entry.length)

    def _tables(self, entry: Entry) -> bytes | None:
        if entry.tables_bytes == 0:
            return None
        tables = self._blocks.read(entry.offset - entry.tables_bytes, entry.tables_bytes)
        return tables if zlib.crc32(tables) == entry.tables_crc else None

    def clear(self, files: Files) -> None:
        """Mark the segment as not in use, durably."""
        self._mark(files, 0, _IN_USE)

    def settle(self, files: Files) -> None:
        """Mark the segment as not needed for recovery any more, durably."""
        self._mark(files, self.sequence, _SETTLED)

    def _mark(self, files: Files, sequence: int, state: int) -> None:
        write_all(files, self._fd, _pack_header(sequence, self.epoch, state), 0)
        files.sync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _checks_out(raw: bytes, size: int) -> bool:
    """Whether the checksum behind an entry's fields is theirs."""
    return bool(zlib.crc32(raw[:size]) == _CRC.unpack_from(raw, size)[0])
