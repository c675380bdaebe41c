# Taking an object back to an earlier commit, as a new commit like any other.
#
#  (1) The state is built in a file of its own, which says which restore it comes from. Then it goes through the log as
#      one commit that holds every page; when that is durable, the file takes the place of the object's.
#  (2) A crash before that commit is durable has changed nothing, and all is done again. After it, recovery brings the
#      object's file to it, which then says that the restore was made: only the plan is removed.
#  (3) The object is closed meanwhile, its file up to date.
"""Restores, step by step."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import apsw
import msgspec

from roost.clock import Clock
from roost.errors import StorageCorruptError, StorageError
from roost.ids import ObjectId
from roost.storage.alarms import alarms
from roost.storage.database import Database
from roost.storage.files import Files, sync_directory, sync_file, write_all
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.layout import make_private
from roost.storage.recovery.restores import Restore
from roost.storage.recovery.rewinder import Rewinder, State
from roost.storage.sums import keep_sums, remove_sums
from roost.storage.template import BORN, Template

logger = logging.getLogger("roost.storage")

_MADE = "restored"
"""Under which the hidden table of an object keeps the number of the last restore that was made of it."""
_VERSIONS_AT = 18
_OLD_JOURNAL, _WAL_MODE = b"\x01\x01", b"\x02\x02"
_NUMBER_BITS = 21


class FilePages(Mapping[int, "bytes | memoryview"]):
    """The pages of a file, read as they are asked for."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)

    def __len__(self) -> int:
        return len(self._view) // PAGE_BYTES

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self) + 1))

    def __getitem__(self, number: int) -> memoryview:
        if not 1 <= number <= len(self):
            raise KeyError(number)
        return self._view[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]


class Built(msgspec.Struct, frozen=True):
    """A state that is ready to take the place of an object's."""

    file: Path
    record: Record


def is_made(path: Path, restore: Restore) -> bool:
    """Whether an object's file comes from this restore already."""
    return _meta(path).get(_MADE) == restore.number


def build(
    object_id: ObjectId, restore: Restore, path: Path, into: Path, *, rewinder: Rewinder, clock: Clock, epoch: int
) -> Built:
    """Build what the object at `path` is to hold, durably; blocks. Raises StorageError and OSError."""
    before = _last_number(path)
    number = max(restore.number, before + 1)
    state = rewinder.state_at(object_id, restore.commit)
    make_private(into.parent)
    into.unlink(missing_ok=True)
    try:
        _write(state, into)
        alarm = _stamp(into, number, restore.number, object_id.name)
    except apsw.Error as error:
        raise StorageCorruptError(
            f"what object {object_id} held after commit {restore.commit} is no database: {error}"
        ) from error
    pages = FilePages(into)
    record = Record(
        key=object_id.key,
        binding=object_id.binding,
        commit=number,
        previous=0,
        epoch=epoch,
        time_ms=clock.now_ms(),
        size_pages=len(pages),
        images=pages,
        alarm=alarm,
    )
    return Built(into, record)


def place(built: Built, path: Path) -> None:
    """Let the built file take the place of the object's, durably."""
    make_private(path.parent)
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    remove_sums(path)
    os.rename(built.file, path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        keep_sums(path, fd, range(1, built.record.size_pages + 1), name_too=False)
    finally:
        os.close(fd)
    for parent in list(path.parents)[:3]:
        sync_directory(parent)


def _write(state: State, into: Path) -> None:
    image = {0: Template().image} if state.size_pages == 0 else None
    fd = os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if image is not None:
            write_all(Files(), fd, image[0], 0)
        for number in range(1, state.size_pages + 1):
            page = state.images.get(number)
            if page is None:
                raise StorageError(f"page {number} of the state after commit {state.commit} is missing")
            write_all(Files(), fd, page, (number - 1) * PAGE_BYTES)
        write_all(Files(), fd, _OLD_JOURNAL, _VERSIONS_AT)  # a write-ahead log is of no use here
    finally:
        os.close(fd)


def _stamp(file: Path, number: int, made: int, name: str | None) -> int | None:
    """Put into the state what its file must know of the object; when its earliest alarm is due."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"application_id={BORN}"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        kept = {"commit": number, _MADE: made} | ({} if name is None else {"name": name})
        for item in kept.items():
            connection.execute("INSERT OR REPLACE INTO _roost_meta VALUES (?, ?)", item)
        connection.execute("INSERT OR IGNORE INTO _roost_meta VALUES ('format', 1)")
        alarm = alarms.earliest(connection)
    finally:
        connection.close(True)
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        write_all(Files(), fd, _WAL_MODE, _VERSIONS_AT)
        sync_file(fd)
    finally:
        os.close(fd)
    return alarm


def _meta(path: Path) -> dict[str, object]:
    """What the file of an object says of it; the file is not open, and has no write-ahead log.

    Nothing where there is no file, or a damaged one: then this restore is its repair.
    """
    if not Database.exists(path):
        return {}
    try:
        connection = apsw.Connection(
            f"{path.absolute().as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            return {str(key): value for key, value in connection.execute("SELECT key, value FROM _roost_meta")}
        finally:
            connection.close(True)
    except apsw.Error as error:
        logger.warning("%s is replaced, and does not check out: %s", path, error)
        return {}


def _last_number(path: Path) -> int:
    base = _meta(path).get("commit")
    return int(base) + (1 << _NUMBER_BITS) if isinstance(base, int) else 0
