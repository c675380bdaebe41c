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

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from roost.errors import StorageError
from roost.history.archive import ArchiveReader
from roost.history.journal_view import SegmentRecycledError, live_records, live_segments
from roost.history.shelf import Shelf
from roost.ids import ObjectId
from roost.storage.files import Files, write_all
from roost.storage.layout import DataDirectory
from roost.storage.record import PAGE_BYTES, Record
from roost.storage.rewinder import State
from roost.storage.template import is_born

_TRIES_MAX = 20


def live_state(data: Path, object_id: ObjectId) -> State | None:
    """What the object holds now, in a temporary file however large it is; None when it holds nothing."""
    with tempfile.TemporaryFile(prefix="state-", dir=data) as file:
        commit = copy_live(data, object_id, file)
        if commit is None:
            return None
        images = FileImages(file)
        return State(commit=commit, size_pages=len(images), images=images)


def copy_live(data: Path, object_id: ObjectId, into: IO[bytes]) -> int | None:
    """Write the object's database, as it is now, into an empty file.

    The number of its last commit where the journal still has that, else 0; None when the object holds nothing.
    """
    shelf = Shelf(data)
    with shelf.reading():
        for _ in range(_TRIES_MAX):
            try:
                commit = _copy_once(data, shelf, object_id, into)
            except SegmentRecycledError:
                continue
            if commit is not None:
                into.seek(0)
                return commit if is_born(into.read(100)) else None
    raise StorageError(f"{object_id!r} cannot be read: its host uses segments again faster than they are read")


def _copy_once(data: Path, shelf: Shelf, object_id: ObjectId, into: IO[bytes]) -> int | None:
    """One attempt; None when a segment went away meanwhile, see (3)."""
    kept_before, live_before = set(shelf.archives()), _live(data)
    into.seek(0)
    into.truncate()
    _copy_file(DataDirectory(data).object_path(object_id.binding, object_id.key), into)
    records = list(live_records(data, object_id.key))
    missing = live_before - _live(data)
    for path in set(shelf.archives()) - kept_before:
        with ArchiveReader(path) as archive:
            missing.discard((archive.slot, archive.sequence))
            records += archive.records(object_id.key)
    return None if missing else apply_in_order(records, into)


def _live(data: Path) -> set[tuple[int, int]]:
    return {(segment.slot, segment.sequence) for segment in live_segments(data)}


def _copy_file(path: Path, into: IO[bytes]) -> None:
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, into, 1024 * 1024)
    except FileNotFoundError:
        return  # all that it has is in the journal, or there is no such object
    into.flush()


def apply_in_order(records: list[Record], into: IO[bytes]) -> int:
    """Bring a copy of an object's file up to the last of the records; its number, 0 when there are none."""
    last = 0
    for record in sorted(records, key=lambda one: one.commit):
        if record.commit > last:
            apply(record, into.fileno())
            last = record.commit
    return last


def apply(record: Record, fd: int) -> None:
    """Bring a copy of an object's file from the state before a commit, or any later one, to the state after it."""
    for number, image in record.images.items():
        write_all(Files(), fd, image, (number - 1) * PAGE_BYTES)
    os.ftruncate(fd, record.size_pages * PAGE_BYTES)


class FileImages(Mapping[int, bytes]):
    """The pages of a database file, read when they are asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, number: int) -> bytes:
        if not 1 <= number <= len(self):
            raise KeyError(number)
        return self._map[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self) + 1))

    def __len__(self) -> int:
        return len(self._map) // PAGE_BYTES
