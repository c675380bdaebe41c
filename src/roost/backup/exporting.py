"""Plain SQLite files of one object, or of all, whether a host serves them or not."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roost.backup.assembly import Assembly
from roost.backup.plain_file import make_plain
from roost.backup.series import DamagedObject, Series, spool_of
from roost.backup.shipper import Shipper
from roost.backup.snapshot import SnapshotTaker
from roost.backup.target import DirectoryTarget
from roost.clock import Clock
from roost.errors import BackupError, InvalidArgumentError
from roost.history.live_state import copy_live
from roost.ids import ObjectId, typed
from roost.storage.files import sync_directory
from roost.storage.layout import make_private
from roost.storage.recovery.quarantine import Quarantine


def export_object(data: Path, object_id: ObjectId, file: Path, *, decode: bool = False) -> None:
    """Write what the object holds now to `file`, which must not be there yet.

    Raises InvalidArgumentError when it is, or the object holds nothing; StorageCorruptError when the object is damaged
    or in quarantine; BackupError when the file cannot be written.
    """
    Quarantine(data).check(object_id.key)
    if file.exists():
        raise InvalidArgumentError(f"{file} is there already; choose another name, or remove it")
    unfinished = file.with_name(f".{file.name}.unfinished")
    with _written(file), contextlib.ExitStack() as stack:
        stack.callback(unfinished.unlink, missing_ok=True)
        with open(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as copy:
            commit = copy_live(data, object_id, copy)
        if commit is None:
            raise InvalidArgumentError(f"{typed(object_id)} holds nothing in {data}: it never stored anything")
        make_plain(unfinished, decode=decode)
        unfinished.rename(file)
        sync_directory(file.absolute().parent)


class Exported(msgspec.Struct, frozen=True):
    """What was written, and what was not."""

    objects: int
    damaged: list[DamagedObject]


def export_all(
    data: Path, into: Path, clock: Clock, *, decode: bool = False, told: Callable[[str], None] = lambda text: None
) -> Exported:
    """Write every object to `into`/BINDING/ID.sqlite, each as it is at the end; those that are damaged are left out.

    Raises InvalidArgumentError when `into` is not empty, BackupError when it cannot be written.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InvalidArgumentError(f"{into} is not empty; choose a directory that is not there yet")
    with _written(into), contextlib.ExitStack() as stack:
        make_private(into.absolute())
        staging = into / ".unfinished"
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        series = Series(DirectoryTarget(staging), "export")
        spool = stack.enter_context(spool_of(data))
        taker = SnapshotTaker(data, Shipper(data, series, spool), clock, lambda so_far: told(f"{so_far.objects} read"))
        snapshot = taker.take()
        assembly = stack.enter_context(contextlib.closing(Assembly(series, snapshot, _made(staging / "spool"))))
        count = 0
        for parts in assembly.objects():
            path = into / parts.binding / f"{parts.key.hex()}.sqlite"
            if assembly.write(parts, path) is not None:
                make_plain(path, decode=decode)
                count += 1
                told(f"{count} written")
    return Exported(count, snapshot.damaged)


def _made(directory: Path) -> Path:
    make_private(directory)
    return directory


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error} ({error.filename})") from error
