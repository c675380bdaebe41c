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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from roost.backup.assembly import Assembly
from roost.backup.series import DamagedObject, Series, Snapshot, all_series
from roost.backup.target import Target
from roost.errors import BackupError, DataDirectoryError
from roost.history.adoption import adopt
from roost.history.base import Base
from roost.history.shelf import Shelf
from roost.storage.files import sync_directory, sync_file
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.layout import DataDirectory, make_private
from roost.storage.sums import keep_sums

_SYNC_AT_ONCE = 1000
_THREADS = 8  # most of the time is spent waiting for fsync
_SUM_AT_ONCE = 128 * 1024  # pages

Told = Callable[[str], None]


class Restored(msgspec.Struct, frozen=True):
    """What was led back."""

    objects: int
    series: str
    snapshot: str
    last_ms: int
    """When the last commit that is in it was made, or the snapshot ended."""
    damaged: list[DamagedObject] = []
    """Of these objects, what was good before the backup is led back, where that is known."""


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
        objects, last_ms = _write_objects(series, snapshot, staging, at_ms, key, told)
        if not objects:
            raise BackupError(
                f"the backup {snapshot.id} in {target.title} holds "
                + ("no objects" if key is None else f"no object {key.hex()}")
                + ("" if at_ms is None else f" as of {_time(at_ms)}")
            )
        adopt(staging, last_ms)
        os.rename(staging, data)
        sync_directory(data.absolute().parent)
    except OSError as error:
        raise BackupError(f"{data} cannot be written: {error.strerror or error} ({error.filename})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    damaged = [one for one in snapshot.damaged if key is None or one.id == key.hex()]
    return Restored(objects, series.id, snapshot.id, last_ms, damaged)


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


def _write_objects(
    series: Series, snapshot: Snapshot, staging: Path, at_ms: int | None, key: bytes | None, told: Told
) -> tuple[int, int]:
    """How many objects were led back, and up to when."""
    spool = staging / "spool"
    make_private(spool)
    layout, base = DataDirectory(staging), Base(Shelf(staging))
    count, last_ms, written = 0, snapshot.ended_ms, list[Path]()
    with contextlib.closing(Assembly(series, snapshot, spool, told, key)) as assembly:
        for parts in assembly.objects():
            path = layout.object_path(*parts.place)
            made = assembly.write(parts, path, at_ms)
            if made is not None:
                count, last_ms = count + 1, max(last_ms, made.time_ms)
                written.append(path)
            if len(written) >= _SYNC_AT_ONCE:
                told(f"{count} objects")
                _sync(base, written)
                written = []
    _sync(base, written)
    shutil.rmtree(spool)
    return count, last_ms


def _sync(base: Base, paths: list[Path]) -> None:
    """Make objects' files durable, with their checksums: what goes wrong with them from now on is noticed."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-restore") as threads:
        list(threads.map(_sum, paths))
    base.sync(paths)


def _sum(path: Path) -> None:
    with path.open("rb") as file:
        sync_file(file.fileno())
        pages = os.fstat(file.fileno()).st_size // PAGE_BYTES
        for first in range(1, pages + 1, _SUM_AT_ONCE):
            keep_sums(path, file.fileno(), range(first, min(first + _SUM_AT_ONCE, pages + 1)), name_too=False)


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
