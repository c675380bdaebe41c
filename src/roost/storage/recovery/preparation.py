# What must happen before an object can be opened: after a crash it is recovered, and a restore that is planned is made.
#
#  (1) Everything slow runs on threads of its own. `ready` is called once, later, on the owner's thread.
#  (2) A restore is made between two lives: the file is brought up to date and closed, and nobody opens it until the
#      restore was made or has failed. One that failed before its commit changed nothing, stays planned, and is tried
#      again at the next beginning; the object does not begin until it succeeds. Where the past that was asked for is
#      not known any more, the plan is dropped, and the object begins as it is.
#  (3) After its commit is durable there is no way back: where the file cannot be put in place, the object is not opened
#      any more in this process, and the next start finishes it.
"""Preparing objects for a life."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from roost.clock import Clock
from roost.errors import HistoryError, RoostError, StorageError, StorageFullError
from roost.ids import ObjectId
from roost.storage.files import is_out_of_space
from roost.storage.journal.log import Log
from roost.storage.journal.side_file import SideFiles
from roost.storage.recovery.object_recovery import ObjectRecovery
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.recovery.restores import Restore, Restores
from roost.storage.recovery.restoring import Built, build, give_up, is_made, place
from roost.storage.recovery.rewinder import Rewinder

logger = logging.getLogger("roost.storage")

T = TypeVar("T")
Ready = Callable[[StorageError | None], None]
_THREADS = 2


class Opened(Protocol):
    """The store, as far as restores need it."""

    def path(self, object_id: ObjectId) -> Path:
        """Where the object's file is."""

    def close_file(self, object_id: ObjectId, then: Ready) -> None:
        """Bring the object's file up to date and close it, then call back."""

    def restored(self, object_id: ObjectId, alarm: int | None) -> None:
        """The object was taken back to its past; this is when its earliest alarm is due."""

    def post(self, function: Callable[[], None]) -> None:
        """Have a function called on the owner's thread, soon; from any thread."""


class Preparation:
    """Prepares the objects of one host."""

    def __init__(
        self,
        store: Opened,
        *,
        recovery: ObjectRecovery | None,
        restores: Restores,
        quarantine: Quarantine,
        rewinder: Rewinder | None,
        log: Log,
        clock: Clock,
        side_files: SideFiles | None = None,
    ) -> None:
        self._store = store
        self._side_files = side_files
        self._recovery = recovery
        self._restores = restores
        self._quarantine = quarantine
        self._rewinder = rewinder
        self._log = log
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-prepare")
        self._running: set[Future[None]] = set()
        self._waiting: dict[bytes, list[Ready]] = {}
        self._unusable: dict[bytes, StorageError] = {}
        self._closed = False

    def prepare(self, object_id: ObjectId, ready: Ready) -> bool:
        """Whether the object may be opened at once; else `ready` is called when it may be, or cannot be."""
        key = object_id.key
        others = self._waiting.get(key)
        if others is not None:
            others.append(ready)
            return False
        if not self._recovers(key) and not self._is_planned(key):
            return True
        self._waiting[key] = [ready]
        if self._recovers(key):
            self._recover(object_id)
        else:
            self._begin_restore(object_id)
        return False

    def check(self, key: bytes) -> None:
        """Raise StorageError when the object must not be opened now."""
        if key in self._unusable:
            error = self._unusable[key]
            raise type(error)(*error.args)
        if key in self._waiting:
            raise StorageError("the object is being recovered or restored; it cannot be opened before that is over")

    def _recovers(self, key: bytes) -> bool:
        return self._recovery is not None and self._recovery.waits(key)

    def _is_planned(self, key: bytes) -> bool:
        try:
            return self._restores.pending(key) is not None
        except StorageError:
            return True  # what is wrong with it is told where it is made

    def wait(self) -> bool:
        """Wait until the threads have done what they were given; whether there was anything."""
        running = list(self._running)
        for future in running:
            future.result()
        return bool(running)

    def close(self) -> None:
        """End the threads; whoever still waits is told that the store was closed."""
        self._closed = True
        self._threads.shutdown()
        waiting, self._waiting = self._waiting, {}
        for readies in waiting.values():
            for ready in readies:
                ready(StorageError("the store was closed"))

    # Step by step. What is named `_do_…` runs on a thread.

    def _recover(self, object_id: ObjectId) -> None:
        recovery = self._recovery
        assert recovery is not None, "asked before"
        self._on_thread(object_id, lambda: recovery.recover(object_id.key), lambda _: self._recovered(object_id))

    def _recovered(self, object_id: ObjectId) -> None:
        if self._is_planned(object_id.key):
            self._begin_restore(object_id)
        else:
            self._end(object_id, None)

    def _begin_restore(self, object_id: ObjectId) -> None:
        def closed(error: StorageError | None) -> None:
            if error is not None:
                self._end(object_id, error)
            else:
                self._on_thread(
                    object_id, lambda: self._do_build(object_id), lambda built: self._built(object_id, built)
                )

        self._store.close_file(object_id, closed)

    def _do_build(self, object_id: ObjectId) -> Built | None:
        """The state to go back to; None when the object was taken back already."""
        restore = self._restores.pending(object_id.key)
        if restore is None:
            return None
        path = self._store.path(object_id)
        if is_made(path, restore):
            self._over(object_id, restore)
            return None
        rewinder = self._rewinder
        if rewinder is None:
            raise StorageError(
                f"object {object_id} is to go back to commit {restore.commit}, but no history is kept here"
            )
        into = self._restores.building(object_id.key)
        try:
            return build(
                object_id,
                restore,
                path,
                into,
                rewinder=rewinder,
                clock=self._clock,
                epoch=self._log.epoch,
                side_files=self._side_files,
            )
        except HistoryError as error:  # what was planned can never be done
            logger.error("object %s is not taken back and stays as it is: %s", object_id, error)
            self._restores.done(object_id.key)
            return None

    def _built(self, object_id: ObjectId, built: Built | None) -> None:
        if built is None:
            self._end(object_id, None)
            return

        def durable(error: StorageError | None) -> None:
            if isinstance(error, StorageFullError):
                self._refused(object_id, built, error)
            elif error is not None:  # nobody knows whether it is durable
                self._end(object_id, error)
            else:
                self._on_thread(
                    object_id, lambda: self._do_place(object_id, built), lambda _: self._placed(object_id, built)
                )

        try:
            self._log.append(built.record, durable)
        except StorageError as error:
            self._refused(object_id, built, error)

    def _refused(self, object_id: ObjectId, built: Built, error: StorageError) -> None:
        give_up(built, self._side_files)
        self._end(object_id, error)

    def _do_place(self, object_id: ObjectId, built: Built) -> None:
        try:
            place(built, self._store.path(object_id))
        except OSError as error:
            failure = StorageError(f"object {object_id} was restored, but its file cannot be replaced: {error}")
            self._unusable[object_id.key] = failure
            raise failure from error
        self._quarantine.lift(object_id.key)
        restore = self._restores.pending(object_id.key)
        if restore is not None:
            self._over(object_id, restore)
        self._log.let_go(object_id.key, built.record.commit)

    def _over(self, object_id: ObjectId, restore: Restore) -> None:
        self._restores.done(object_id.key)
        logger.info("object %s is what it was after commit %d", object_id, restore.commit)

    def _placed(self, object_id: ObjectId, built: Built) -> None:
        self._store.restored(object_id, built.record.alarm)
        self._end(object_id, None)

    def _end(self, object_id: ObjectId, error: StorageError | None) -> None:
        for ready in self._waiting.pop(object_id.key, []):
            try:
                ready(error)
            except Exception:
                logger.exception("whoever waited for object %s failed", object_id)

    def _on_thread(self, object_id: ObjectId, do: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something slow, and go on with what it returned; where it fails, that is the end."""

        def run() -> None:
            try:
                result = do()
            except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
                failure = _translated(object_id, error)
                self._post(lambda: self._end(object_id, failure))
            else:
                self._post(lambda: then(result))

        if self._closed:
            return
        future = self._threads.submit(run)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def _post(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._store.post(function)


def _translated(object_id: ObjectId, error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    if isinstance(error, OSError):
        kind = StorageFullError if is_out_of_space(error) else StorageError
        failure = kind(f"object {object_id} cannot be restored: {error}")
    elif isinstance(error, RoostError):
        failure = StorageError(f"object {object_id} cannot be restored: {error}")
    else:
        logger.error("the restore of object %s failed", object_id, exc_info=error)
        failure = StorageError(f"object {object_id} cannot be restored: {error!r}")
    failure.__cause__ = error
    return failure
