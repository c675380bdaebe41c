# Taking an object back to an earlier commit, as a new commit like any other.
#
#  (1) The state is built in a file of its own, which says which restore it comes from. Then it goes through the log as
#      one commit that holds every page; when that is durable, the file takes the place of the object's.
#      Of a large state the pages stand in a side file, where the log has such: others' commits do not wait for them.
#  (2) A crash before that commit is durable has changed nothing, and all is done again. After it, recovery brings the
#      object's file to it, which then says that the restore was made: only the plan is removed.
#  (3) The object is closed meanwhile, its file up to date.
"""Restores, step by step."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import apsw
import msgspec

from roost.clock import Clock
from roost.errors import StorageCorruptError, StorageError
from roost.ids import ObjectId
from roost.storage.alarms import alarms
from roost.storage.database import Database
from roost.storage.files import Files, read_fully, sync_directory, sync_file, write_all
from roost.storage.journal.parted_images import PART_PAGES, PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.side_file import SYNC_BYTES, SideFiles
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
_RUN_PAGES = 64  # written at once
_SUM_PAGES = 16 * 1024
LARGE_PAGES = PART_PAGES
"""A state with more pages goes into a side file."""


class Built(msgspec.Struct, frozen=True):
    """A state that is ready to take the place of an object's."""

    file: Path
    record: Record


def is_made(path: Path, restore: Restore) -> bool:
    """Whether an object's file comes from this restore already."""
    return _meta(path).get(_MADE) == restore.number


def build(
    object_id: ObjectId,
    restore: Restore,
    path: Path,
    into: Path,
    *,
    rewinder: Rewinder,
    clock: Clock,
    epoch: int,
    side_files: SideFiles | None = None,
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
    images = _images(object_id.key, number, into, side_files)
    record = Record(
        key=object_id.key,
        binding=object_id.binding,
        commit=number,
        previous=0,
        epoch=epoch,
        time_ms=clock.now_ms(),
        size_pages=len(images),
        images=images,
        alarm=alarm,
        aside=isinstance(images, PartedImages),
    )
    return Built(into, record)


def _images(key: bytes, commit: int, file: Path, side_files: SideFiles | None) -> dict[int, bytes] | PartedImages:
    """What the record of a built state holds: its pages, or where they stand."""
    with file.open("rb") as source:
        fd = source.fileno()
        size = os.fstat(fd).st_size // PAGE_BYTES
        if side_files is None or size <= LARGE_PAGES:
            return {number: read_fully(fd, PAGE_BYTES, (number - 1) * PAGE_BYTES) for number in range(1, size + 1)}

        def part(number: int) -> bytes:
            return read_fully(fd, PART_PAGES * PAGE_BYTES, number * PART_PAGES * PAGE_BYTES)

        return side_files.write(key, commit, size, part)


def give_up(built: Built, side_files: SideFiles | None) -> None:
    """The log has refused the commit, and will never have it: what was put aside for it is of no use."""
    if side_files is not None and built.record.aside:
        side_files.remove([(built.record.key, built.record.commit)])


def place(built: Built, path: Path) -> None:
    """Let the built file take the place of the object's, durably."""
    make_private(path.parent)
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    remove_sums(path)
    os.rename(built.file, path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pages = built.record.size_pages
        for first in range(1, pages + 1, _SUM_PAGES):
            keep_sums(path, fd, range(first, min(first + _SUM_PAGES, pages + 1)), name_too=False)
    finally:
        os.close(fd)
    for parent in list(path.parents)[:3]:
        sync_directory(parent)


def _write(state: State, into: Path) -> None:
    fd = os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if state.size_pages == 0:
            write_all(Files(), fd, Template().image, 0)
        else:
            _write_pages(state, fd)
        write_all(Files(), fd, _OLD_JOURNAL, _VERSIONS_AT)  # a write-ahead log is of no use here
    finally:
        os.close(fd)


def _write_pages(state: State, fd: int) -> None:
    files, unsynced = Files(), 0
    for first in range(1, state.size_pages + 1, _RUN_PAGES):
        numbers = range(first, min(first + _RUN_PAGES, state.size_pages + 1))
        run = b"".join(_page(state, number) for number in numbers)
        write_all(files, fd, run, (first - 1) * PAGE_BYTES)
        time.sleep(0)  # lets go of the interpreter, which the loop may be waiting for
        unsynced += len(run)
        if unsynced >= SYNC_BYTES:
            files.sync(fd)
            unsynced = 0


def _page(state: State, number: int) -> bytes | memoryview:
    page = state.images.get(number)
    if page is None:
        raise StorageError(f"page {number} of the state after commit {state.commit} is missing")
    return page


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
