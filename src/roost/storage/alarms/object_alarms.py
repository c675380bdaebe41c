# The alarms of one life of an object.
#
#  (1) Setting and deleting are writes of the turn like any other: committed, rolled back and confirmed with it.
#  (2) While an alarm runs it is not set any more, as everybody here sees it, until it is set anew. Its row stays until
#      what became of the run is written, in the last turn of the run: success removes it, failure moves it to the next
#      try, or to the list of those that were given up.
#  (3) None of that touches an alarm that was set anew, or deleted, during its run.
#  (4) Setting what is set already writes nothing. All that is past means the same: now.
"""What an activation reads and changes of its object's alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from roost.errors import LimitExceededError, StorageError, WrongTypeError
from roost.storage.alarms import alarms
from roost.storage.alarms.alarms import Alarm, FailedAlarm

if TYPE_CHECKING:
    from roost.storage.object_storage import ObjectStorage


class ObjectAlarms:
    """The alarms of one object, on names and milliseconds."""

    __slots__ = ("_running", "_storage", "refusal")

    def __init__(self, storage: ObjectStorage) -> None:
        self.refusal: str | None = None
        """Why no alarm can be set, if so: the class of the object takes none."""
        self._storage = storage
        self._running: Alarm | None = None

    # What user code asks for.

    def get(self, name: str) -> int | None:
        """When the alarm is due; None when it is not set, or runs now."""
        self._storage.rows_read += 1
        found = self._storage.read(lambda connection: self._get(connection, name))
        return None if found is None else found.due

    def _get(self, connection: apsw.Connection, name: str) -> Alarm | None:
        found = alarms.get(connection, name)
        return None if found is None or self._is_running(found) else found

    def _is_running(self, alarm: Alarm) -> bool:
        running = self._running
        return running is not None and (running.name, running.setting) == (alarm.name, alarm.setting)

    def named(self) -> dict[str, int]:
        """Those with names, and when they are due, the earliest first; not the one that runs now."""
        return self._storage.read(self._named) or {}

    def _named(self, connection: apsw.Connection) -> dict[str, int]:
        found = dict(alarms.named(connection))
        self._storage.rows_read += len(found)
        if self._running is not None and self._get(connection, self._running.name) is None:
            found.pop(self._running.name, None)
        return found

    def failed(self) -> list[FailedAlarm]:
        """Those that were given up, the latest last."""
        return self._storage.read(alarms.failed) or []

    def set(self, name: str, due: int, *, limit: int, confirmed: bool = True) -> None:
        """Let the alarm ring at that time. Raises WrongTypeError where none can be set, LimitExceededError."""
        if self.refusal is not None:
            raise WrongTypeError(self.refusal)
        found = self._storage.read(lambda connection: alarms.get(connection, name))
        if found is None:
            self._check_room(limit)
        elif self._is_set(found, due):
            return
        self._storage.rows_written += 1
        self._write(lambda connection: alarms.put(connection, name, due), confirmed=confirmed)

    def set_again(self, name: str) -> bool:
        """Let an alarm that was given up ring now; false when none of that name was. One that was set since is left as
        it is, and the other is not listed any more."""
        if all(one.name != name for one in self.failed()):
            return False
        now = self._storage.now_ms()
        self._storage.rows_written += 1
        return self._write(lambda connection: alarms.set_again(connection, name, now), confirmed=False)

    def _is_set(self, found: Alarm, due: int) -> bool:
        if found.retries or self._is_running(found):
            return False
        now = self._storage.now_ms()
        return found.due == due or (found.due <= now and due <= now)

    def _check_room(self, limit: int) -> None:
        count = self._storage.read(alarms.count) or 0
        if count >= limit:
            raise LimitExceededError(
                f"an object may have {limit} alarms set at once, and this one has", limit=limit, actual=count + 1
            )

    def delete(self, name: str, *, confirmed: bool = True) -> bool:
        """Remove an alarm, also one that runs now, which is not tried again then; whether it was set."""
        found = self._storage.read(lambda connection: alarms.get(connection, name))
        if found is None:
            return False
        self._storage.rows_written += 1
        self._write(lambda connection: alarms.delete(connection, name), confirmed=confirmed)
        return not self._is_running(found)

    # Runs.

    @property
    def running(self) -> Alarm | None:
        """The alarm that runs now."""
        return self._running

    def begin_next(self) -> Alarm | None:
        """The alarm that is due first of those that are due; it counts as running from now on. None when none is."""
        assert self._running is None, "one alarm at a time"
        now = self._storage.now_ms()
        self._running = self._storage.read(lambda connection: alarms.next_due(connection, now))
        return self._running

    def end(self) -> None:
        """The run is over and there will be no other."""
        alarm = self._take()
        self._write(lambda connection: alarms.end(connection, alarm), confirmed=False)

    def try_again(self, due: int) -> bool:
        """The run failed and there will be another; false when the alarm was set anew or deleted meanwhile."""
        alarm = self._take()
        return self._write(lambda connection: alarms.retry(connection, alarm, due), confirmed=False)

    def give_up(self, error: str) -> bool:
        """The run failed and there will be no other; false when the alarm was set anew or deleted meanwhile."""
        alarm = self._take()
        failed = FailedAlarm(alarm.name, alarm.scheduled, self._storage.now_ms(), error)
        given_up = self._write(lambda connection: _move(connection, alarm, failed), confirmed=False)
        if given_up:
            self._storage.when_durable(lambda lost: self._tell_failed(failed, lost))
        return given_up

    def forget_run(self) -> None:
        """The life ends before the run did."""
        self._running = None

    def _take(self) -> Alarm:
        alarm, self._running = self._running, None
        assert alarm is not None, "the outcome of a run is written once"
        return alarm

    def _write(self, change: alarms.Change, *, confirmed: bool) -> bool:
        changed = self._storage.write(change, confirmed=confirmed)
        self._storage.alarm_changed()
        return bool(changed)

    def _tell_failed(self, failed: FailedAlarm, lost: StorageError | None) -> None:
        if lost is None:
            self._storage.tell_failed(failed)


def _move(connection: apsw.Connection, alarm: Alarm, failed: FailedAlarm) -> bool:
    if not alarms.end(connection, alarm):
        return False
    alarms.add_failed(connection, failed)
    return True
