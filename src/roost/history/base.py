# The base: what objects held where their kept history begins.
#
#  (1) The file of an object holds its pages as they were after one commit, and behind them a trailer that says which,
#      and when. It opens as an SQLite database like any other: what is behind the last page is not looked at.
#  (2) Folding a run changes the file in place: the trailer goes first and is written last, and in between the state of
#      the shelf says which archive is being folded. Page images are absolute, so folding it again mends what was torn.
#  (3) Nobody reads the base while it is changed: see `Shelf.trimming`.
#  (4) The file of an object goes when all of this is so: it stores nothing, the object has no file any more, and
#      nothing of it is in later archives or in live segments. What it stores after that begins with a complete record.
"""Files of objects as they were at the beginning of their kept history."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import apsw
import msgspec

from roost.errors import StorageCorruptError
from roost.history.archive import ArchiveReader, Run
from roost.history.shelf import Shelf
from roost.storage.files import Files, sync_directory, sync_file, write_all
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.layout import make_private
from roost.storage.template import stores_nothing

_TRAILER = struct.Struct("<8sQqQI")
_MAGIC = b"RSTBASE1"
_CRC = struct.Struct("<I")
_HELD_PAGES_MAX = 8_192
_EMPTY_BYTES_MAX = 64 * 1024  # of an object that was emptied: the hidden tables, and what VACUUM leaves
_THREADS = 8  # most of the time is spent waiting for fsync


class Based(msgspec.Struct, frozen=True):
    """What the base has of an object."""

    commit: int
    """The last commit that is in it."""
    time_ms: int
    """When that was made."""
    size_pages: int


class Base:
    """The base of one data directory."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def path(self, binding: str, key: bytes) -> Path:
        """Where the file of an object is, or would be."""
        digits = key.hex()
        return self._shelf.base / binding / digits[:2] / f"{digits}.sqlite"

    def about(self, binding: str, key: bytes) -> Based | None:
        """What there is of an object; None when its whole history is in archives.

        Raises StorageCorruptError when its file does not say.
        """
        path = self.path(binding, key)
        try:
            with path.open("rb") as file:
                return _read_trailer(path, file)
        except FileNotFoundError:
            return None

    def copy(self, binding: str, key: bytes, into: IO[bytes]) -> None:
        """Write an object's pages into an empty file, whether or not they have a trailer now; see (2)."""
        with self.path(binding, key).open("rb") as file:
            shutil.copyfileobj(file, into, 1024 * 1024)
        into.flush()
        os.ftruncate(into.fileno(), into.tell() // PAGE_BYTES * PAGE_BYTES)

    def put(self, binding: str, key: bytes, source: Path, about: Based) -> Path:
        """Let an object's history begin with the pages of a file; `sync` makes it durable."""
        path = self.path(binding, key)
        make_private(path.parent)
        new = path.with_name(f"{path.name}.new")
        with source.open("rb") as given, open(os.open(new, _WRITE, 0o600), "wb") as file:
            shutil.copyfileobj(given, file, 1024 * 1024)
            file.flush()
            _write_trailer(file.fileno(), about)
        new.rename(path)
        return path

    def fold(self, archive: ArchiveReader, *, again: bool) -> None:
        """Bring the files of all objects in an archive up to its end, durably.

        `again` says that this may have been interrupted before, so that no trailer is to be believed.
        """
        self.sync([self._fold_run(archive, run, again=again) for run in archive.objects()])

    def _fold_run(self, archive: ArchiveReader, run: Run, *, again: bool) -> Path:
        about = None if again else self.about(run.binding, run.key)
        path = self.path(run.binding, run.key)
        if about is not None and about.commit >= run.last:
            return path
        make_private(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, os.fstat(fd).st_size // PAGE_BYTES * PAGE_BYTES)
            size = _apply(fd, archive.records(run.key), about.commit if about else 0)
            _write_trailer(fd, Based(run.last, run.last_ms, size))
        finally:
            os.close(fd)
        return path

    def stores_nothing(self, binding: str, key: bytes) -> bool:
        """Whether an object, as the base has it, was emptied. One that is large is not looked at."""
        path = self.path(binding, key)
        try:
            if path.stat().st_size > _EMPTY_BYTES_MAX:
                return False
            connection = apsw.Connection(
                f"{path.absolute().as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            )
            try:
                return stores_nothing(connection)
            finally:
                connection.close(True)
        except (FileNotFoundError, apsw.Error):
            return False

    def remove(self, binding: str, key: bytes) -> None:
        """Let go of an object, durably; see (4)."""
        path = self.path(binding, key)
        path.unlink(missing_ok=True)
        sync_directory(path.parent)

    def sync(self, paths: Iterable[Path]) -> None:
        """Make these files durable, and their names."""
        paths = list(paths)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-base") as threads:
            list(threads.map(_sync, paths))
        above = {parent for path in paths for parent in list(path.parents)[:4]}
        for parent in sorted(above, key=lambda one: len(one.parts), reverse=True):
            sync_directory(parent)


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


def _apply(fd: int, records: Iterator[Record], after: int) -> int:
    """Write the last image of each page, gathering those of many commits; the size of the database."""
    images: dict[int, bytes | memoryview] = {}
    size = smallest = os.fstat(fd).st_size // PAGE_BYTES
    for record in records:
        if record.commit <= after:
            continue
        size, smallest = record.size_pages, min(smallest, record.size_pages)
        if record.aside:  # it has every page: what was gathered before is of no use, and it is not to be held whole
            _write(fd, record.images, size, smallest)
            images, smallest = {}, size
            continue
        images.update(record.images)
        if len(images) > _HELD_PAGES_MAX:
            _write(fd, images, size, smallest)
            images, smallest = {}, size
    _write(fd, images, size, smallest)
    return size


def _write(fd: int, images: Mapping[int, bytes | memoryview], size: int, smallest: int) -> None:
    os.ftruncate(fd, smallest * PAGE_BYTES)  # what was cut off and grew again holds zeros, unless it was written
    for number, image in images.items():
        if number <= size:
            write_all(Files(), fd, image, (number - 1) * PAGE_BYTES)
    os.ftruncate(fd, size * PAGE_BYTES)


def _write_trailer(fd: int, about: Based) -> None:
    fields = _TRAILER.pack(_MAGIC, about.commit, about.time_ms, about.size_pages, 0)[: -_CRC.size]
    write_all(Files(), fd, fields + _CRC.pack(zlib.crc32(fields)), about.size_pages * PAGE_BYTES)


def _read_trailer(path: Path, file: IO[bytes]) -> Based:
    at = max(file.seek(0, os.SEEK_END) - _TRAILER.size, 0)
    file.seek(at)
    raw = file.read()
    if len(raw) == _TRAILER.size:
        magic, commit, time_ms, size, crc = _TRAILER.unpack(raw)
        if magic == _MAGIC and zlib.crc32(raw[: -_CRC.size]) == crc and size * PAGE_BYTES == at:
            return Based(commit, time_ms, size)
    raise StorageCorruptError(f"{path} does not say which commit it holds; the history of the object cannot be read")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_file(fd)
    finally:
        os.close(fd)
