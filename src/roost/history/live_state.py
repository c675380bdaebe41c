# The present state of one object, read while its host serves.
#
#  (1) What is read: first the object's file, as it comes (a checkpoint may be moving pages meanwhile), then the live
#      segments, then the archives that came since the file was begun. Segments become archives and never the other way
#      round, so in this order nothing is overlooked.
#  (2) What the file is behind with, or torn by, is in those records: they are the whole end of the object's history,
#      and images are absolute. So applying them in order makes the copy right, whatever the checkpoint did.
#  (3) A segment that was there at the beginning is at the end still there, or an archive. Where it is neither, because
#      none are kept, all is done again.
"""The state that an object has now."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from roost.errors import StorageCorruptError, StorageError
from roost.history.archive import ArchiveReader
from roost.history.journal_view import SegmentRecycledError, live_records, live_segments
from roost.history.shelf import Shelf
from roost.ids import ObjectId, typed
from roost.storage.database import said_pages
from roost.storage.files import Files, read_fully, write_all
from roost.storage.journal.parted_images import PART_PAGES, PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.layout import DataDirectory
from roost.storage.recovery.rewinder import State
from roost.storage.sums import damaged_pages
from roost.storage.template import is_born

_TRIES_MAX = 20
_LOOKS = 3
_PAUSE_SECONDS = 0.05


class _Copied(msgspec.Struct, frozen=True):
    """What an attempt made."""

    commit: int
    damaged: list[int]
    """Pages that are not what was written, see (4)."""


def live_state(data: Path, object_id: ObjectId) -> State | None:
    """What the object holds now, in a temporary file however large it is; None when it holds nothing.

    Raises as `copy_live` does.
    """
    with tempfile.TemporaryFile(prefix="state-", dir=data) as file:
        commit = copy_live(data, object_id, file)
        if commit is None:
            return None
        images = FileImages(file)
        return State(commit=commit, size_pages=len(images), images=images)


def copy_live(data: Path, object_id: ObjectId, into: IO[bytes]) -> int | None:
    """Write the object's database, as it is now, into an empty file.

    The number of its last commit where the journal still has that, else 0; None when the object holds nothing.
    Raises StorageCorruptError when its file is not what was written to it, and StorageError when it cannot be read.
    """
    shelf, looks = Shelf(data), 0
    with shelf.reading():
        for _ in range(_TRIES_MAX):
            try:
                copied = _copy_once(data, shelf, object_id, into)
            except SegmentRecycledError:
                continue
            if copied is None:
                continue
            if not copied.damaged:
                into.seek(0)
                return copied.commit if is_born(into.read(100)) else None
            looks += 1
            if looks == _LOOKS:
                raise _damaged(data, object_id, f"is not what was written: {said_pages(copied.damaged)}")
            time.sleep(_PAUSE_SECONDS)
    raise StorageError(f"{typed(object_id)} cannot be read: its host uses segments again faster than they are read")


def _copy_once(data: Path, shelf: Shelf, object_id: ObjectId, into: IO[bytes]) -> _Copied | None:
    """One attempt; None when a segment went away meanwhile, see (3)."""
    kept_before, live_before = set(shelf.archives()), _live(data)
    into.seek(0)
    into.truncate()
    path = DataDirectory(data).object_path(object_id.binding, object_id.key)
    try:
        _copy_file(path, into)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise _damaged(data, object_id, "cannot be read from the disk") from error
    suspects = damaged_pages(path, into.fileno())
    following = Following(into.fileno())
    following.add(live_records(data, object_id.key))
    missing = live_before - _live(data)
    for archived in sorted(set(shelf.archives()) - kept_before):
        with ArchiveReader(archived) as archive:
            missing.discard((archive.slot, archive.sequence))
            following.add(archive.records(object_id.key))
    if missing:
        return None
    following.finish()
    return _Copied(following.last, [page for page in suspects if not following.writes(page)])


def _damaged(data: Path, object_id: ObjectId, how: str) -> StorageCorruptError:
    path = DataDirectory(data).object_path(object_id.binding, object_id.key)
    return StorageCorruptError(f"{path} {how}. `roost repair {object_id}` rebuilds what can be read")


def _live(data: Path) -> set[tuple[int, int]]:
    return {(segment.slot, segment.sequence) for segment in live_segments(data)}


def _copy_file(path: Path, into: IO[bytes]) -> None:
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, into, 1024 * 1024)
    except FileNotFoundError:
        return  # all that it has is in the journal, or there is no such object
    into.flush()


class Following:
    """Brings a copy of an object's file up to the last of the records that are added, in whatever order they come.

    Of each page the latest image counts. So no more than one record is held at a time.
    """

    def __init__(self, fd: int) -> None:
        self.last = 0
        """The number of the last commit; 0 when there is none."""
        self._fd = fd
        self._size_pages = 0
        self._written: dict[int, int] = {}

    def add(self, records: Iterable[Record]) -> None:
        """Write what these hold, where nothing later was."""
        for record in records:
            for number, image in record.images.items():
                if self._written.get(number, 0) < record.commit:
                    self._written[number] = record.commit
                    write_all(Files(), self._fd, image, (number - 1) * PAGE_BYTES)
            if record.commit > self.last:
                self.last, self._size_pages = record.commit, record.size_pages

    def finish(self) -> None:
        """Give the file its size."""
        if self.last:
            os.ftruncate(self._fd, self._size_pages * PAGE_BYTES)

    def writes(self, page: int) -> bool:
        """Whether a page is not what the file had: it came from a record, or is beyond the end."""
        return page in self._written or bool(self.last and page > self._size_pages)


def apply(record: Record, fd: int) -> None:
    """Bring a copy of an object's file from the state before a commit, or any later one, to the state after it."""
    for number, image in record.images.items():
        write_all(Files(), fd, image, (number - 1) * PAGE_BYTES)
    os.ftruncate(fd, record.size_pages * PAGE_BYTES)


class FileImages(PartedImages):
    """The pages of a database file, read when they are asked for. The file may be closed, and removed, meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, fd)
        size = os.fstat(fd).st_size // PAGE_BYTES
        super().__init__(size, lambda part: read_fully(fd, PART_PAGES * PAGE_BYTES, part * PART_PAGES * PAGE_BYTES))
