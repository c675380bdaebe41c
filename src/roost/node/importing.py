# A plain SQLite file becomes what an object holds.
#
#  (1) It is checked and copied first, to where the history has states that come from elsewhere. Then the object is
#      taken "back" to that state, by the very steps of a restore: its life ends, and the next one begins with it. It is
#      a commit like any other; what the object held before stays in its history.
#  (2) Where a roost serves, its host does this; else it is done here, under the locks that keep a roost from starting.
"""Imports a file into an object."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path

import apsw

from roost.backup.plain_file import check_magic, make_object
from roost.clock import Clock
from roost.errors import InvalidArgumentError, StorageError
from roost.history.keeper import HistoryKeeper
from roost.history.live_state import copy_live
from roost.history.rewinder import HistoryRewinder
from roost.history.shelf import Shelf
from roost.ids import ObjectId, typed
from roost.limits import Limits
from roost.link.directory import LocalDirectory
from roost.storage.files import sync_directory
from roost.storage.layout import DataDirectory as Layout
from roost.storage.recovery.restores import Restores
from roost.storage.store import HostStore
from roost.supervisor.control_socket import NotRunningError, order
from roost.supervisor.data_directory import DataDirectory, claim

_CLOCK_BITS = 21  # of an object's commit numbers, below the milliseconds


def import_object(
    data: Path, object_id: ObjectId, source: Path, *, replace: bool, limits: Limits, clock: Clock
) -> None:
    """Let the object hold what the file holds, whether a roost serves it or not.

    Raises InvalidArgumentError when the object holds something and `replace` is false, when the file cannot be
    imported, or the app that serves has no such class; StorageError when the object cannot be written.
    """
    check_magic(source)  # before anything is made for it
    Layout(data)  # makes it where it is not there
    if not replace and _holds_something(data, object_id):
        raise InvalidArgumentError(f"{typed(object_id)} holds something already; --replace puts the file in its place")
    commit = clock.now_ms() << _CLOCK_BITS
    state = Shelf(data).imported(object_id.key, commit)
    with tempfile.TemporaryDirectory(prefix="import-", dir=state.parent) as made:
        new = Path(made) / "new"
        make_object(source, new, name=object_id.name, commit=commit, size_max=limits.object_bytes_max)
        os.replace(new, state)
    sync_directory(state.parent)
    try:
        _begin_anew(data, object_id, commit, limits, clock)
    except BaseException:
        if Restores(data).pending(object_id.key) is None:
            state.unlink(missing_ok=True)
        raise


def _begin_anew(data: Path, object_id: ObjectId, commit: int, limits: Limits, clock: Clock) -> None:
    arguments = {"id": object_id.to_string(), "binding": object_id.binding, "commit": commit}
    try:
        asyncio.run(order(data, "import", arguments))
    except NotRunningError:
        with contextlib.closing(claim(data)) as directory:  # raises when a roost runs that does not answer
            _restore_here(directory, object_id, commit, limits, clock)


def _restore_here(directory: DataDirectory, object_id: ObjectId, commit: int, limits: Limits, clock: Clock) -> None:
    """Make the restore as the object's host would."""
    slot = LocalDirectory(range(directory.hosts_before() or 1)).owner(object_id.key)
    rewinder = HistoryRewinder(directory.path)
    keeper = HistoryKeeper(directory.path, limits, clock=clock)
    store = HostStore(directory.path, slot, limits=limits, clock=clock, keeper=keeper, rewinder=rewinder)
    with contextlib.closing(store), contextlib.closing(rewinder):
        store.plan_restore(object_id, commit)
        told: list[StorageError | None] = []
        if not store.prepare(object_id, told.append):
            while not told:
                store.settle()
        for error in filter(None, told):
            raise error


def _holds_something(data: Path, object_id: ObjectId) -> bool:
    with tempfile.NamedTemporaryFile(prefix="import-", dir=data) as copy:
        if copy_live(data, object_id, copy.file) is None:
            return False
        connection = apsw.Connection(f"file:{copy.name}?immutable=1", flags=_READ)
        with contextlib.closing(connection):
            return bool(connection.execute(_HOLDS).get)


_HOLDS = """
    SELECT (SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE '\\_roost\\_%' ESCAPE '\\')
         + (SELECT count(*) FROM (SELECT 1 FROM _roost_kv LIMIT 1))
"""
_READ = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
