# An archive: one segment of the journal, its records put together by object, compressed, and never changed again.
#
#  (1) An archive is written under a temporary name, made durable, and only then given its name by the shelf: one that
#      has its name is whole.
#  (2) Everything that a reader relies on carries a checksum of its own: each chunk of records, each line of the index
#      (so that looking up one object reads a few lines, not the whole index), and the footer.
#  (3) All records of an object lie in its chunks, in the order of its commits. Chunks of several objects may lie in
#      any order: a writer holds no more than some dozens of megabytes, however large the segment unpacks.
#  (4) A record whose pages stand elsewhere is the last of its chunk; the object's next chunks are its pages, a part
#      each.
#
#     magic | chunks: compressed records, each behind its length | bindings | chunks: offset length crc |
#     runs, by key: key binding chunks | first last | first and last ms, crc | footer
"""Archives of the journal: how they are written and read."""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import msgspec
import zstandard

from roost.errors import StorageCorruptError
from roost.storage.files import sync_file
from roost.storage.journal.parted_images import PartedImages, parts_of
from roost.storage.journal.record import Record, decode_record, encode_record, filled

VERSION = 1
_MAGIC = b"ROOSTARC"
_LENGTH = struct.Struct("<Q")
_CHUNK = struct.Struct("<QII")
_RUN = struct.Struct("<32sHIIQQqq")
_CRC = struct.Struct("<I")
_FOOTER = struct.Struct("<8sIIQqqIIIQ")
_LINE = _RUN.size + _CRC.size
FOOT_BYTES = _FOOTER.size + _CRC.size
_HELD_BYTES_MAX = 32 * 1024 * 1024
_LEVEL = 3
_WINDOW_BITS = 25  # as much as a chunk holds: an image of a page is much like the one before it, however far back


class Run(msgspec.Struct, frozen=True):
    """What an archive has of one object: its commits from `first` to `last`, and when these were made."""

    key: bytes
    binding: str
    first: int
    last: int
    first_ms: int
    last_ms: int


class _Gathering:
    """The records of one object on their way into an archive."""

    __slots__ = ("binding", "chunks", "first", "first_ms", "last", "last_ms", "pieces", "size")

    def __init__(self, binding: str, first: int, first_ms: int) -> None:
        self.binding = binding
        self.first, self.first_ms = first, first_ms
        self.last, self.last_ms = first, first_ms
        self.pieces: list[bytes] = []
        self.size = 0
        self.chunks: list[tuple[int, int, int]] = []


class ArchiveWriter:
    """Writes what is added into a new file; it is whole, and durable, once `finish` has returned."""

    def __init__(self, path: Path, *, slot: int, sequence: int) -> None:
        self.path = path
        self._slot, self._sequence = slot, sequence
        settings = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_BITS)
        self._compress = zstandard.ZstdCompressor(compression_params=settings).compress
        self._objects: dict[bytes, _Gathering] = {}
        self._held = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
        self._file.write(_MAGIC)
        self._offset = len(_MAGIC)

    def add(self, record: Record) -> None:
        """The next commit of its object."""
        raw = b"".join(encode_record(record))
        found = self._objects.get(record.key)
        if found is None:
            found = self._objects[record.key] = _Gathering(record.binding, record.commit, record.time_ms)
        found.pieces.append(raw)
        found.last, found.last_ms = record.commit, max(found.last_ms, record.time_ms)
        found.first_ms = min(found.first_ms, record.time_ms)
        found.size += len(raw)
        self._held += len(raw)
        if record.aside:
            self._add_parts(found, record.images)
        elif self._held > _HELD_BYTES_MAX:
            self._flush(_HELD_BYTES_MAX // 2)

    def _add_parts(self, found: _Gathering, images: Mapping[int, bytes | memoryview]) -> None:
        """See (4)."""
        assert isinstance(images, PartedImages), "what stands elsewhere is read in parts"
        self._write_records(found)
        for number in range(images.parts):
            self._write_chunk(found, images.part(number))

    def finish(self) -> None:
        """Make it durable."""
        self._flush(0)
        self._write_index()
        self._file.flush()
        sync_file(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._file.close()

    def _flush(self, down_to: int) -> None:
        """Write chunks, largest first, until no more than `down_to` bytes are held."""
        for found in sorted(self._objects.values(), key=lambda one: one.size, reverse=True):
            if self._held <= down_to:
                return
            if found.size:
                self._write_records(found)

    def _write_records(self, found: _Gathering) -> None:
        self._write_chunk(found, b"".join(piece for raw in found.pieces for piece in (_LENGTH.pack(len(raw)), raw)))
        self._held -= found.size
        found.pieces.clear()
        found.size = 0

    def _write_chunk(self, found: _Gathering, content: bytes) -> None:
        packed = self._compress(content)
        self._file.write(packed)
        found.chunks.append((self._offset, len(packed), zlib.crc32(packed)))
        self._offset += len(packed)

    def _write_index(self) -> None:
        start = self._offset
        names = {name: number for number, name in enumerate(sorted({one.binding for one in self._objects.values()}))}
        bindings = msgspec.msgpack.encode(list(names))
        chunks, lines, times = bytearray(), bytearray(), [*self._times()]
        count = 0
        for key, one in sorted(self._objects.items()):
            for chunk in one.chunks:
                chunks += _CHUNK.pack(*chunk)
            span = (one.first, one.last, one.first_ms, one.last_ms)
            line = _RUN.pack(key, names[one.binding], count, len(one.chunks), *span)
            lines += line + _CRC.pack(zlib.crc32(line))
            count += len(one.chunks)
        self._file.write(bindings + chunks + lines)
        sizes = (len(self._objects), count, len(bindings))
        foot = _FOOTER.pack(_MAGIC, VERSION, self._slot, self._sequence, *times, *sizes, start)
        # The bindings and the chunks are few bytes beside the rest, and read as one.
        self._file.write(foot + _CRC.pack(zlib.crc32(bindings + chunks, zlib.crc32(foot))))

    def _times(self) -> tuple[int, int]:
        everything = self._objects.values()
        return min((one.first_ms for one in everything), default=0), max((one.last_ms for one in everything), default=0)


def index_at(foot: bytes) -> int:
    """Where the index of an archive begins, as the last `FOOT_BYTES` of it say; whoever opens it checks that."""
    return int(_FOOTER.unpack_from(foot)[-1])


class ArchiveReader:
    """An open archive. Raises StorageCorruptError when the file is none, or does not check out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.bytes = os.fstat(fd).st_size
            """The size of the file."""
            if self.bytes < len(_MAGIC) + FOOT_BYTES:
                raise self._damaged(f"it has {self.bytes} bytes")
            self._map = mmap.mmap(fd, self.bytes, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        try:
            self._read_footer()
        except BaseException:
            self._map.close()
            raise

    def _read_footer(self) -> None:
        at = self.bytes - FOOT_BYTES
        magic, version, *rest = _FOOTER.unpack_from(self._map, at)
        self.slot, self.sequence, self.first_ms, self.last_ms, *sizes, index = rest
        self._runs, self._chunks, names = sizes
        if magic != _MAGIC:
            raise self._damaged("it does not end like an archive")
        if version != VERSION:
            raise StorageCorruptError(f"the archive {self.path} has version {version}; this roost reads {VERSION}")
        self._lines_at = at - self._runs * _LINE
        self._chunks_at = self._lines_at - self._chunks * _CHUNK.size
        crc = zlib.crc32(self._map[at : at + _FOOTER.size])
        if index + names != self._chunks_at or index < len(_MAGIC):
            raise self._damaged("its footer does not fit its size")
        crc = zlib.crc32(self._map[index : self._lines_at], crc)
        if crc != _CRC.unpack_from(self._map, at + _FOOTER.size)[0]:
            raise self._damaged("its footer does not match its checksum")
        self._bindings: list[str] = msgspec.msgpack.decode(self._map[index : self._chunks_at], type=list[str])

    def objects(self) -> Iterator[Run]:
        """What is in it of each object, in the order of their keys."""
        for number in range(self._runs):
            yield self._line(number)[0]

    def run(self, key: bytes) -> Run | None:
        """What is in it of one object."""
        found = self._find(key)
        return None if found is None else found[0]

    def records(self, key: bytes) -> Iterator[Record]:
        """The commits of an object, in order; none when there are none in it."""
        found = self._find(key)
        if found is None:
            return
        run, number, count = found
        end = number + count
        while number < end:
            content, number = self._content(number), number + 1
            for record in self._unpack(content):
                if record.key != key:
                    raise self._damaged(f"a chunk of {run.key.hex()} has a record of {record.key.hex()}")
                if record.aside:
                    yield self._with_pages(record, number)
                    number += parts_of(record.size_pages)
                else:
                    yield record

    def _with_pages(self, record: Record, first: int) -> Record:
        """A record whose pages are in the chunks from `first` on."""
        return filled(record, PartedImages(record.size_pages, lambda part: self._content(first + part)))

    def places(self, key: bytes) -> list[tuple[int, int]]:
        """Where the chunks of an object stand in the file, and how long they are."""
        found = self._find(key)
        numbers = range(0) if found is None else range(found[1], found[1] + found[2])
        return [_CHUNK.unpack_from(self._map, self._chunks_at + number * _CHUNK.size)[:2] for number in numbers]

    def verify(self) -> None:
        """Read everything. Raises StorageCorruptError at the first thing that does not check out."""
        for run in self.objects():
            last = None
            for record in self.records(run.key):
                last = record.commit
                if isinstance(record.images, PartedImages):
                    record.images.verify()
            if last != run.last:
                raise self._damaged(f"the last commit of {run.key.hex()} is {last}, the index says {run.last}")

    def close(self) -> None:
        self._map.close()

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _find(self, key: bytes) -> tuple[Run, int, int] | None:
        low, high = 0, self._runs
        while low < high:
            middle = (low + high) // 2
            line = self._line(middle)
            if line[0].key == key:
                return line
            low, high = (middle + 1, high) if line[0].key < key else (low, middle)
        return None

    def _line(self, number: int) -> tuple[Run, int, int]:
        at = self._lines_at + number * _LINE
        raw = self._map[at : at + _LINE]
        if zlib.crc32(raw[: _RUN.size]) != _CRC.unpack_from(raw, _RUN.size)[0]:
            raise self._damaged(f"line {number} of its index does not match its checksum")
        key, binding, first_chunk, chunks, *span = _RUN.unpack_from(raw)
        return Run(key, self._bindings[binding], *span), first_chunk, chunks

    def _chunk(self, number: int) -> bytes:
        offset, length, crc = _CHUNK.unpack_from(self._map, self._chunks_at + number * _CHUNK.size)
        raw = self._map[offset : offset + length]
        if zlib.crc32(raw) != crc:
            raise self._damaged(f"its chunk {number} does not match its checksum")
        return raw

    def _unpack(self, content: bytes) -> Iterator[Record]:
        view, at = memoryview(content), 0
        while at < len(view):
            (length,) = _LENGTH.unpack_from(view, at)
            at += _LENGTH.size
            yield decode_record(view[at : at + length])
            at += length

    def _content(self, number: int) -> bytes:
        try:
            return zstandard.ZstdDecompressor().decompress(self._chunk(number), allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise self._damaged(f"a chunk cannot be unpacked: {error}") from error

    def _damaged(self, how: str) -> StorageCorruptError:
        return StorageCorruptError(f"the archive {self.path} is damaged: {how}")
