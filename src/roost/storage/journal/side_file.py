# The pages of one large commit, in a file of their own beside the journal.
#
#  (1) A side file is written whole, and durable with its name, before the record that belongs to it is appended. It
#      counts for nothing until that record is durable: after a crash before that, the next start removes it.
#  (2) It holds every page of the object's database, in parts that are packed and checked one by one: whoever writes or
#      reads it has one part in memory, and the journal has a few hundred bytes to write in the place of all of them.
#  (3) It is never changed. It stays until the segment that has its record is free; by then its pages are in the
#      segment's archive, where one is made. So a reader that does not find it comes too late, and looks there.
#
#     DIR/hosts/<slot>/side/<64 hex digits>-<commit hex>
#     magic version key commit size-in-pages crc32 | parts: length crc32, chained from the head | pages, packed
"""Side files: where the journal keeps what is too large for it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import zstandard

from roost.errors import StorageCorruptError, StorageError
from roost.storage.files import Files, read_fully, sync_directory, sync_file, write_all
from roost.storage.journal.parted_images import PartedImages, parts_of
from roost.storage.journal.record import Record, filled
from roost.storage.journal.segment import Gap, SegmentReader
from roost.storage.layout import make_durably

SYNC_BYTES = 16 * 1024 * 1024
"""After so many bytes a large file is synced while it is written: a sync of the journal may have to wait for all that
the file system has not written yet."""
_MAGIC = b"ROOSTSID"
_VERSION = 1
_HEAD = struct.Struct("<8sI32sQI")
_CRC = struct.Struct("<I")
_PART = struct.Struct("<II")
_LEVEL = 1
_NAME = re.compile(r"([0-9a-f]{64})-([0-9a-f]+)")

Commit = tuple[bytes, int]
"""An object's key, and the number of a commit of it."""


class SideFileMissingError(StorageCorruptError):
    """There is no side file of a commit: it was let go of, or it is lost."""


class SideFiles:
    """The side files of one slot's journal."""

    def __init__(self, slot: Path) -> None:
        self._directory = slot / "side"

    def path(self, key: bytes, commit: int) -> Path:
        """Where the side file of a commit is, or would be."""
        return self._directory / f"{key.hex()}-{commit:x}"

    def all(self) -> set[Commit]:
        """The commits that have one."""
        return {(bytes.fromhex(found[1]), int(found[2], 16)) for found in map(_NAME.fullmatch, self._names()) if found}

    def write(self, key: bytes, commit: int, size_pages: int, read: Callable[[int], bytes]) -> PartedImages:
        """Write one, durably; `read` gives the pages of each part. What is in it. Raises OSError."""
        make_durably(self._directory)
        path = self.path(key, commit)
        new = path.with_name(f"{path.name}.new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _write(fd, key, commit, size_pages, read)
                sync_file(fd)
            finally:
                os.close(fd)
            new.rename(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        sync_directory(self._directory)
        return self._images(key, commit, size_pages)

    def whole(self, record: Record) -> Record:
        """A record with its pages, wherever they stand; they can be read for as long as anybody holds them.

        Raises SideFileMissingError, or StorageCorruptError when the side file is that of another commit.
        """
        return filled(record, self._images(record.key, record.commit, record.size_pages)) if record.aside else record

    def _images(self, key: bytes, commit: int, size_pages: int) -> PartedImages:
        return PartedImages(size_pages, _SideFile(self.path(key, commit), key, commit, size_pages).part)

    def remove(self, commits: Iterable[Commit]) -> None:
        """Remove those of these commits."""
        for key, commit in commits:
            self.path(key, commit).unlink(missing_ok=True)

    def remove_unused(self, segments: Iterable[Path]) -> None:
        """Remove those that no segment in use has a record of. When nobody reads or writes the journal yet."""
        names = self._names()
        if not names:
            return
        wanted: set[Commit] = set()
        for path in segments:
            found = commits_of(path)
            if found is None:
                return  # what cannot be read may name any of them
            wanted |= found
        kept = {self.path(*commit).name for commit in wanted}
        for name in set(names) - kept:
            (self._directory / name).unlink(missing_ok=True)

    def remove_of(self, segment: Path) -> None:
        """Remove those of the commits in a segment, which is about to be free."""
        present = self.all()
        if present:
            self.remove(present & (commits_of(segment) or set()))

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._directory)
        except FileNotFoundError:
            return []


def commits_of(segment: Path) -> set[Commit] | None:
    """The commits in a segment; None when not all of them can be told."""
    found: set[Commit] = set()
    with contextlib.closing(SegmentReader(segment)) as reader:
        if not reader.sequence:
            return found
        for step in reader.walk():
            if isinstance(step, Gap):
                return None
            found.update((content.key, content.commit) for content in reader.contents(step))
    return found


def _write(fd: int, key: bytes, commit: int, size_pages: int, read: Callable[[int], bytes]) -> None:
    files, compressor = Files(), zstandard.ZstdCompressor(level=_LEVEL)
    head = _HEAD.pack(_MAGIC, _VERSION, key, commit, size_pages)
    crc = zlib.crc32(head)
    write_all(files, fd, head + _CRC.pack(crc), 0)
    end = synced = _HEAD.size + _CRC.size
    for number in range(parts_of(size_pages)):
        packed = compressor.compress(read(number))
        crc = zlib.crc32(packed, crc)
        write_all(files, fd, _PART.pack(len(packed), crc) + packed, end)
        end += _PART.size + len(packed)
        if end - synced >= SYNC_BYTES:
            files.sync(fd)
            synced = end


class _Part(msgspec.Struct, frozen=True, gc=False):
    """Where a part stands, and the checksums of what is before it and of what is up to its end."""

    offset: int
    length: int
    before: int
    crc: int


class _SideFile:
    """An open side file."""

    def __init__(self, path: Path, key: bytes, commit: int, size_pages: int) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise SideFileMissingError(f"the pages of commit {commit} of object {key.hex()} are missing") from error
        weakref.finalize(self, os.close, self._fd)
        head = _HEAD.pack(_MAGIC, _VERSION, key, commit, size_pages)
        self._crc = zlib.crc32(head)
        if self._bytes(0, len(head) + _CRC.size) != head + _CRC.pack(self._crc):
            raise self._damaged("does not begin like one of its commit")
        self._places: list[_Part] = []

    def part(self, number: int) -> bytes:
        """The pages of a part. Raises StorageCorruptError when they do not check out."""
        place = self._place(number)
        packed = self._bytes(place.offset, place.length)
        if len(packed) != place.length or zlib.crc32(packed, place.before) != place.crc:
            raise self._damaged(f"is not what was written: part {number}")
        try:
            return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise self._damaged(f"cannot be unpacked: {error}") from error

    def _place(self, number: int) -> _Part:
        places = self._places
        while len(places) <= number:
            last = places[-1] if places else _Part(_HEAD.size + _CRC.size, 0, 0, self._crc)
            head = self._bytes(last.offset + last.length, _PART.size)
            if len(head) < _PART.size:
                raise self._damaged(f"ends before part {number}")
            length, crc = _PART.unpack(head)
            places.append(_Part(last.offset + last.length + _PART.size, length, last.crc, crc))
        return places[number]

    def _bytes(self, offset: int, length: int) -> bytes:
        try:
            return read_fully(self._fd, length, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise self._damaged("cannot be read from the disk") from error

    def _damaged(self, how: str) -> StorageError:
        return StorageCorruptError(f"the side file {self._path} {how}")
