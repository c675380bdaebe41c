# Leading a data directory back: copies, and then what was committed after them, object by object.
#
#  (1) The directory appears whole, under its name, when everything in it is durable; until then all is in a directory
#      beside it. What an interrupted attempt left there is removed by the next.
#  (2) A copy without what was shipped with it is no state of its object. So for any time that is asked for, a snapshot
#      is used that had ended by then.
#  (3) An object's history begins anew with the state that it is led back to.
#  (4) Neither the sizes nor the number of objects matter to the memory that this takes.
"""Leads objects back from a target into a new data directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import msgspec

from roost.backup.catalog import Place, merged, read_catalog
from roost.backup.pack import Copy, PackReader
from roost.backup.series import Series, Snapshot, all_series
from roost.backup.shipped_log import ShippedLog
from roost.backup.target import Target
from roost.errors import BackupError, DataDirectoryError
from roost.history.base import Base, Based
from roost.history.live_state import apply
from roost.history.shelf import Shelf
from roost.storage.layout import DataDirectory, make_private
from roost.storage.record import PAGE_BYTES, Record
from roost.storage.template import is_born

_SYNC_AT_ONCE = 1000

Told = Callable[[str], None]


class Restored(msgspec.Struct, frozen=True):
    """What was led back."""

    objects: int
    series: str
    snapshot: str
    last_ms: int
    """When the last commit that is in it was made, or the snapshot ended."""


def restore(
    target: Target,
    data: Path,
    *,
    at_ms: int | None = None,
    key: bytes | None = None,
    told: Told = lambda text: None,
) -> Restored:
    """Lead back all objects, or the one with this key, as of a time or of the last moment that was shipped.

    Raises BackupError when the target has no such state, or it is damaged; DataDirectoryError when `data` is not empty.
    """
    _check_empty(data)
    series, snapshot = choose(target, at_ms)
    told(f"the backup {snapshot.id} of {series.id}")
    staging = data.with_name(f".{data.name}.restoring")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with _Restoring(series, snapshot, staging, told) as work:
            objects, last_ms = work.run(at_ms, key)
        if not objects:
            raise BackupError(
                f"the backup {snapshot.id} in {target.title} holds "
                + ("no objects" if key is None else f"no object {key.hex()}")
                + ("" if at_ms is None else f" as of {_time(at_ms)}")
            )
        os.rename(staging, data)
    except OSError as error:
        raise BackupError(f"{data} cannot be written: {error.strerror or error} ({error.filename})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Restored(objects, series.id, snapshot.id, last_ms)


def choose(target: Target, at_ms: int | None = None) -> tuple[Series, Snapshot]:
    """The last snapshot that had ended at a time, of all series. Raises BackupError when there is none."""
    found = [(snapshot, series) for series in all_series(target) for snapshot in series.snapshots()]
    if not found:
        raise BackupError(f"there is no backup in {target.title}")
    usable = [one for one in found if at_ms is None or one[0].ended_ms <= at_ms]
    if not usable:
        assert at_ms is not None, "without a time every snapshot is usable"
        first = min(snapshot.ended_ms for snapshot, _ in found)
        raise BackupError(f"what {target.title} holds begins at {_time(first)}; there is nothing of {_time(at_ms)}")
    snapshot, series = max(usable, key=lambda one: one[0].ended_ms)
    return series, snapshot


class _Restoring:
    """One restore, into the directory `staging`."""

    def __init__(self, series: Series, snapshot: Snapshot, staging: Path, told: Told) -> None:
        self._series = series
        self._snapshot = snapshot
        self._staging = staging
        self._told = told
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> _Restoring:
        self._spool = self._staging / "spool"
        make_private(self._spool)
        self._layout = DataDirectory(self._staging)
        self._base = Base(Shelf(self._staging))
        self._packs = PackReader(self._series.target, self._series.id)
        log = ShippedLog(self._series, self._snapshot, self._spool, self._told)
        self._log = self._exit.enter_context(contextlib.closing(log))
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()
        shutil.rmtree(self._spool, ignore_errors=True)

    def run(self, at_ms: int | None, key: bytes | None) -> tuple[int, int]:
        """How many objects were led back, and up to when."""
        count, last_ms, written = 0, self._snapshot.ended_ms, list[Path]()
        for place, copy, numbers in self._objects():
            if key is not None and place[1] != key:
                continue
            made = self._write(place, copy, numbers or [], at_ms)
            if made is not None:
                count, last_ms = count + 1, max(last_ms, made.time_ms)
                written += [self._path(place), self._base.path(*place)]
            if len(written) >= _SYNC_AT_ONCE:
                self._told(f"{count} objects")
                self._base.sync(written)
                written = []
        self._base.sync(written)
        return count, last_ms

    def _objects(self) -> Iterator[tuple[Place, Copy | None, list[int] | None]]:
        catalog = read_catalog(self._series.target, self._series.name(self._snapshot.catalog))
        return merged(((copy.place, copy) for copy in catalog), self._log.runs())

    def _write(self, place: Place, copy: Copy | None, numbers: list[int], at_ms: int | None) -> Based | None:
        """Make the file of an object, and the base of its history; None when there was none at that time."""
        path = self._path(place)
        make_private(path.parent)
        last: Record | None = None
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as file:
            for piece in self._packs.read(copy) if copy is not None else ():
                file.write(piece)
            file.flush()
            for last in self._log.records(place[1], numbers, at_ms):
                apply(last, file.fileno())
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            born = is_born(file.read(100))
        if not born:
            path.unlink()
            return None
        based = Based(last.commit if last else _commit_of(path), last.time_ms if last else 0, size // PAGE_BYTES)
        self._base.put(*place, path, based)
        return based

    def _path(self, place: Place) -> Path:
        return self._layout.object_path(*place)


def _commit_of(path: Path) -> int:
    """The number that an object's file has for its commits: all later ones are above it."""
    connection = apsw.Connection(f"file:{path}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        return int(connection.execute("SELECT value FROM _roost_meta WHERE key = 'commit'").get or 0)
    except apsw.Error as error:
        raise BackupError(f"what was led back of {path.stem} is no database: {error}") from error
    finally:
        connection.close()


def _check_empty(data: Path) -> None:
    if data.is_dir() and not any(data.iterdir()):
        if os.path.ismount(data):
            raise DataDirectoryError(f"{data} is where a disk is mounted; restore into a directory below it")
        return
    if data.exists() or data.is_symlink():
        raise DataDirectoryError(f"{data} is not empty; a backup is led back into a new directory, as in --data NEW")
    data.absolute().parent.mkdir(parents=True, exist_ok=True)


def _time(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_ms / 1000))
