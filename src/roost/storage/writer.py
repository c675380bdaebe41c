# One object's commits: from its database into the log, and what became of each.
#
#  (1) Commits of an object are numbered, growing, for ever: across restarts too. The number's base is kept in the
#      object's file, in the same commit that first uses it.
#  (2) A commit is confirmed in order. When the log refuses one, or fails it, the database goes back to the last commit
#      that is durable: what is in memory never runs ahead of what will be found after a crash.
#  (3) A checkpoint takes durable commits only; the write-ahead log is emptied only when every commit is durable and no
#      turn has the database open.
#  (4) Each record says when the object's earliest alarm is due as of its commit. Whoever keeps the times of all objects
#      is told when that changed, once the commit that changed it is durable, before anybody else hears of the commit.
"""The way of an object's commits into the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import apsw
import msgspec

from roost.clock import Clock
from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.ids import ObjectId
from roost.storage.alarms import alarms
from roost.storage.database import Database, Images
from roost.storage.journal.log import Log, OnDurable
from roost.storage.journal.record import Record
from roost.storage.sqlite_errors import translated

_NUMBER_BITS = 21  # commits within a millisecond of base
_REBASE_AFTER = 1 << (_NUMBER_BITS - 1)
_META = """
    SELECT key, value FROM _roost_meta UNION ALL SELECT name, 1 FROM sqlite_schema WHERE name = '_roost_alarms'
"""
_TELL_FRAMES = 64
_SOON = 16 << _NUMBER_BITS  # milliseconds; no file is closed and made anew within so few


class Pending(msgspec.Struct, eq=False):
    """A commit whose fate the log has not told yet; it tells it by calling this."""

    writer: Writer
    number: int
    mark: int
    alarm: int | None
    waiting: list[OnDurable]

    def __call__(self, error: StorageError | None) -> None:
        self.writer._landed(self, error)


OnAlarm = Callable[[ObjectId, int | None], None]
"""Told when the earliest alarm of an object is due, or that it has none any more."""


def _nobody(object_id: ObjectId, due: int | None) -> None:
    pass


class Writer:
    """The open file of one object, and its commits under way. `on_settled` is called when none is left, and now and
    then where that does not happen for long."""

    def __init__(
        self,
        object_id: ObjectId,
        database: Database,
        log: Log,
        clock: Clock,
        size_max: int,
        on_settled: Callable[[Writer], None],
        on_alarm: OnAlarm = _nobody,
    ) -> None:
        self.key = object_id.key
        self.binding = object_id.binding
        self.name = object_id.name
        self.database = database
        self.number = 0
        """The number of the last commit, 0 when there was none since the file was opened."""
        self.durable = 0
        """The number of the last commit that is durable."""
        self.checkpointed = 0
        """The number of the last commit that the file holds, durably."""
        self.in_turn = False
        """Whether a turn has the database open."""
        self.checkpointing = False
        self.retry_at = 0.0
        """Before when no checkpoint is tried, after one that failed; 0 after one that did not."""
        self.due = 0
        """Up to which commit the file is wanted to hold everything, durably, as soon as possible."""
        self.was_reset = False
        """Whether everything was deleted at some time since the file was opened."""
        self.below: int | None = None
        """The number of the commit that will take the object back to its past; those before it must be smaller."""
        self.alarm_changed = False
        """Whether the open transaction may have changed when the earliest alarm is due: whoever changes it says so."""
        self.failure: StorageError | None = None
        """Why this file cannot be used any more in this process."""
        self.on_lost: Callable[[StorageError], None] | None = None
        """Told when commits failed and the database went back to before them."""
        self.on_corrupt: Callable[[StorageCorruptError], StorageCorruptError] | None = None
        """Told when SQLite finds that the file is damaged; what it returns takes the place of the error."""
        self._log = log
        self._clock = clock
        self._size_max = size_max
        self._on_settled = on_settled
        self._on_alarm = on_alarm
        self._pending: deque[Pending] = deque()
        self._stamped = False
        self._told_mark = 0
        self._base = 0
        has_alarms = self._read_meta()
        self.alarm = alarms.earliest(database.connection) if has_alarms else None
        """When the earliest alarm is due as of the last commit, in milliseconds; None when none is set."""
        self._durable_alarm = self.alarm

    def _read_meta(self) -> bool:
        """Read what the file tells of its object; whether alarms were ever set, which costs a query of its own less."""
        meta = dict(self.database.connection.execute(_META))
        self._base = int(meta.get("commit", 0))
        self.name = meta.get("name", self.name)
        return "_roost_alarms" in meta

    @property
    def settled(self) -> bool:
        """Whether every commit is durable."""
        return not self._pending

    def commit(self, on_durable: OnDurable) -> int:
        """Commit the open transaction and hand it to the log; the number of the commit.

        When nothing was changed, there is no commit, and `on_durable` is called as soon as the last one is durable.
        Raises StorageError when it cannot be done; then the transaction never was.
        """
        if not self.commit_changes([on_durable]):
            self.when_durable(on_durable)
        return self.number

    def commit_changes(self, waiting: list[OnDurable]) -> bool:
        """Do as `commit` does; false when nothing was changed, and then none of `waiting` is ever called."""
        database = self.database
        before = database.mark
        number, stamp = self._next_number()
        try:
            if stamp:
                self._stamp(number)
            alarm = alarms.earliest(database.connection) if self.alarm_changed else self.alarm
            images, size = database.commit()
            if not images:
                return False
            self._append(number, alarm, images, size, waiting)
        except (apsw.Error, OSError) as error:
            self.undo(before)
            raise self.explain(error) from error
        except StorageError:
            self.undo(before)
            raise
        database.born = True
        self.alarm_changed = False
        if stamp:
            self._base, self._stamped = number, True
        return True

    def _next_number(self) -> tuple[int, bool]:
        """The next commit's number, and whether it is a new base, to be kept in the file."""
        if self._stamped and self.number - self._base < _REBASE_AFTER:
            return self.number + 1, False
        now = self._clock_number() if self.below is None else 0
        return max(self._past_former_life(), self.number + 1, now), True

    def _clock_number(self) -> int:
        return self._clock.now_ms() << _NUMBER_BITS

    def _past_former_life(self) -> int:
        return self._base + (1 << _NUMBER_BITS)

    @property
    def highest(self) -> int:
        """No commit so far, of this life of the file or of those before it, has a greater number."""
        if self.number or not self._base:
            return self.number
        return self._past_former_life()

    def _stamp(self, number: int) -> None:
        """Put into this commit what the file must know of its object; see (1)."""
        if not self.database.born:
            self.database.mark_born()
        self.database.set_meta("commit", number)
        if self.name is not None:
            self.database.set_meta("name", self.name)

    def _append(self, number: int, alarm: int | None, images: Images, size: int, waiting: list[OnDurable]) -> None:
        log = self._log
        record = Record(
            key=self.key,
            binding=self.binding,
            commit=number,
            previous=self.number,
            epoch=log.epoch,
            time_ms=self._clock.now_ms(),
            size_pages=size,
            images=images,
            alarm=alarm,
        )
        pending = Pending(self, number, self.database.mark, alarm, waiting)
        log.append(record, pending)
        self.number = number
        self.alarm = alarm
        self._pending.append(pending)

    def when_durable(self, callback: OnDurable) -> None:
        """Call back once all commits so far are durable, or have failed; at once when that is known already."""
        if self._pending:
            self._pending[-1].waiting.append(callback)
        else:
            callback(self.failure)

    def undo(self, mark: int) -> None:
        """Drop the open transaction and whatever was committed after `mark`."""
        try:
            self.database.undo(mark)
        except (apsw.Error, OSError) as error:
            self.failure = self.explain(error)

    def reset(self) -> None:
        """Delete everything and open a transaction; `undo` brings it back until the next `commit`."""
        self.database.reset()
        self.was_reset = self.alarm_changed = True
        self._stamped = False

    def explain(self, error: apsw.Error | OSError) -> StorageError:
        """What an error of the database means to the caller."""
        failure = translated(error, self.database.path, self._size_max)
        if isinstance(failure, StorageCorruptError) and self.on_corrupt is not None and not _is_of_virtual_table(error):
            failure = self.failure = self.on_corrupt(failure)
        return failure

    def _landed(self, commit: Pending, error: StorageError | None) -> None:
        if not self._pending or self._pending[0] is not commit:
            return  # failed together with an earlier one
        if error is not None:
            self._fail(error)
            return
        self._pending.popleft()
        self.durable = commit.number
        self.database.durable_mark = commit.mark
        if commit.alarm != self._durable_alarm:
            self._durable_alarm = commit.alarm
            self.tell_alarm()
        for callback in commit.waiting:
            callback(None)
        if not self._pending or not 0 <= commit.mark - self._told_mark < _TELL_FRAMES:
            self._told_mark = commit.mark
            self._on_settled(self)

    def tell_alarm(self) -> None:
        """Tell when the earliest alarm is due, as of what is durable."""
        self._on_alarm(ObjectId(self.key, self.binding, self.name), self._durable_alarm)

    def _fail(self, error: StorageError) -> None:
        failed, self._pending = self._pending, deque()
        self.number = self.durable
        self.alarm = self._durable_alarm
        if isinstance(error, StorageFullError):
            self._base = max(self._base, failed[-1].number)
            self._stamped = False
            self.undo(self.database.durable_mark)
        else:
            self.failure = error
        if self.on_lost is not None:
            self.on_lost(error)
        for commit in failed:
            for callback in commit.waiting:
                callback(error)

    # Checkpoints; see (3).

    @property
    def overdue(self) -> bool:
        """Whether a checkpoint was wanted that was not made yet."""
        return self.checkpointed < min(self.due, self.number)

    @property
    def up_to_date(self) -> bool:
        """Whether the file holds everything, durably, so that nothing else need keep it."""
        return self.settled and self.checkpointed == self.durable

    def has_news(self) -> bool:
        """Whether there are durable commits that the file does not hold, and they may be written into it now."""
        if self.checkpointed == self.durable or self.checkpointing or self.failure is not None:
            return False
        return not self.retry_at or time.monotonic() >= self.retry_at

    def may_checkpoint(self) -> bool:
        """Whether the file may be closed, or its write-ahead log emptied: nobody is at work on it."""
        return self.settled and not self.in_turn and not self.checkpointing and self.failure is None

    def sync(self, number: int) -> None:
        """Make the file durable, which holds everything up to `number`, and tell the log; on any thread."""
        self.database.sync()
        self.synced(number)

    def synced(self, number: int) -> None:
        """The file is durable, and holds everything up to `number`; on any thread."""
        self._log.let_go(self.key, number)
        self.checkpointed = number

    def _may_be_forgotten(self) -> bool:
        """Whether nothing is stored, and the clock alone makes the next number greater than all before; see (1)."""
        soon = self._clock_number() + _SOON
        return self.below is None and self.highest < soon and self.database.is_empty()

    def close(self) -> None:
        """Close the file; remove it when nothing was ever committed, or nothing since everything was deleted."""
        healthy = self.settled and self.failure is None
        if healthy and (not self.database.born or (self.was_reset and self._may_be_forgotten())):
            self.database.remove()
        else:
            self.database.close()


def _is_of_virtual_table(error: apsw.Error | OSError) -> bool:
    """Whether it only says that a full-text index, or the like, does not fit what the user changed behind its back."""
    return getattr(error, "extendedresult", 0) == apsw.SQLITE_CORRUPT_VTAB
