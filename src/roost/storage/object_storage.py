"""ObjectStorage: the handle that an activation holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from roost.errors import InvalidStateError, SQLError, StorageError, TurnRolledBackError
from roost.ids import ObjectId
from roost.storage import kv
from roost.storage.alarms.alarms import FailedAlarm
from roost.storage.alarms.object_alarms import ObjectAlarms
from roost.storage.database import Database
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.kv import KeyRange
from roost.storage.object_turn import ObjectTurn
from roost.storage.recovery.rewinder import Rewinder
from roost.storage.sql.sql_errors import is_critical
from roost.storage.writer import Writer
from roost.storage.writers import Writers

T = TypeVar("T")


class ObjectStorage(ObjectTurn):
    """The storage of one activation, on bytes. Cheap to make: no file is touched before the first use.

    `on_dirty` is called at the first write of each turn, `on_failure` once, at the first critical failure.
    """

    def __init__(self, object_id: ObjectId, writers: Writers) -> None:
        super().__init__(object_id, writers)
        self._alarms: ObjectAlarms | None = None
        self.rows_read = 0
        self.rows_written = 0
        """Of all of this life, like `rows_read`."""

    @property
    def alarms(self) -> ObjectAlarms:
        """The object's alarms."""
        if self._alarms is None:
            self._alarms = ObjectAlarms(self)
        return self._alarms

    def close(self) -> None:
        super().close()
        self._alarms = None  # each knows the other: so that they go without the garbage collector

    # Keys and values.

    def get(self, key: str) -> bytes | None:
        """The stored bytes of a key."""
        connection = self._reader()
        if connection is None:
            return None
        self.rows_read += 1
        try:
            return kv.get(connection, key)
        except apsw.Error as error:
            raise self._failed(error) from error

    def get_many(self, keys: Sequence[str]) -> list[tuple[str, bytes]]:
        """Those of the keys that are there, in order of their UTF-8 bytes."""
        connection = self._reader()
        if connection is None:
            return []
        pairs = self._guard(lambda: kv.get_many(connection, keys))
        self.rows_read += len(keys)
        return pairs

    def select(self, keys: KeyRange) -> list[tuple[str, bytes]]:
        """The pairs of a range, in its order."""
        connection = self._reader()
        if connection is None:
            return []
        pairs = self._guard(lambda: kv.select(connection, keys))
        self.rows_read += len(pairs)
        return pairs

    def put(self, key: str, value: bytes, *, confirmed: bool = True) -> None:
        """Store bytes under a key."""
        database = self._write(confirmed)
        self.rows_written += 1
        try:
            kv.put(database.statements, key, value)
        except apsw.Error as error:
            raise self._failed(error) from error

    def delete(self, key: str, *, confirmed: bool = True) -> bool:
        """Remove a key; whether it was there."""
        if self._reader() is None:
            return False
        connection = self._write(confirmed).connection
        existed = self._guard(lambda: kv.delete(connection, key))
        self.rows_written += existed
        return existed

    def delete_all(self) -> None:
        """Drop everything, the uncommitted writes of this turn included. Part of this turn, like any write.

        Raises InvalidStateError inside a transaction.
        """
        if self._nested.depth:
            raise InvalidStateError("delete_all cannot be called inside a transaction")
        if self._reader() is None:
            return
        writer = self._in_use()
        self.cursors.end("everything was deleted")
        self._guard(lambda: self._reset(writer))
        writer.in_turn = True
        self._mark_dirty(True)
        self.rows_written += 1

    def _reset(self, writer: Writer) -> None:
        guard = self.open_guard
        with contextlib.nullcontext() if guard is None else guard.reset():
            writer.reset()

    # Other tables.

    def read(self, operation: Callable[[apsw.Connection], T]) -> T | None:
        """What an operation reads of the database; None when the object never wrote."""
        connection = self._reader()
        return None if connection is None else self._guard(lambda: operation(connection))

    def write(self, operation: Callable[[apsw.Connection], T], *, confirmed: bool = True) -> T:
        """Have an operation change the database, as part of this turn."""
        connection = self._write(confirmed).connection
        return self._guard(lambda: operation(connection))

    # Statements of users: see `sql`.

    def database(self) -> Database:
        """The open database; one is made when there is none. What is not written to is not kept."""
        writer = self._writer
        if writer is None or writer.database.closed or self.failure is not None or self._closed:
            writer = self._open(create=True)
            assert writer is not None, "a writer that may be created is there"
        writer.database.ready()
        return writer.database

    def database_to_write(self) -> Database:
        """The database with the turn's transaction open."""
        writer = self._writer
        if self._wrote and self.confirmed and writer is not None and writer.in_turn and not self._nested.waiting:
            return writer.database  # as it is at the second write of a turn
        return self._write(True)

    def refused(self, error: apsw.Error, refusal: SQLError) -> Exception:
        """What to raise when SQLite refused a statement. Critical when the database failed, or the turn is gone."""
        writer = self._in_use()
        if is_critical(error):
            return self._failed(error)
        if writer.in_turn and not writer.database.connection.in_transaction:
            lost = TurnRolledBackError(f"SQLite rolled back everything that the turn wrote: {refusal}")
            self._fail(lost)
            return lost
        return refusal

    # The past: see `bookmarks`.

    @property
    def past(self) -> Rewinder | None:
        """Who knows what the object held before."""
        return self._writers.rewinder

    @property
    def position(self) -> int:
        """A number that no commit so far is above, and every later one is; 0 when there was none."""
        if self._reader() is None:
            return 0
        writer = self._in_use()
        return writer.number or max(writer.highest - 1, 0)

    def plan_restore(self, commit: int) -> int:
        """Have the next life begin with what the object held after a commit; the number of the commit that does it."""
        self._check_usable()
        return self._writers.plan_restore(self.object_id, commit)

    def prepare(self, ready: Callable[[StorageError | None], None]) -> bool:
        """To be called before the first use: whether there is nothing to do before it. Else `ready` is called, later
        and once, when there is not any more, or with the error."""
        return self._writers.prepare(self.object_id, ready)

    # Alarms: see `alarms`.

    def now_ms(self) -> int:
        """The time, in milliseconds since the epoch."""
        return self._writers.now_ms()

    def alarm_changed(self) -> None:
        """This turn changed an alarm."""
        self._in_use().alarm_changed = True

    def tell_alarm(self) -> None:
        """Tell, whether it changed or not, when the earliest alarm is due; to be called when that is durable."""
        writer = self._writers.open_writer(self.object_id)
        if writer is not None:
            writer.tell_alarm()
        elif self._writer is None and not self._closed:  # there is no file
            self._writers.alarm_is_due(self.object_id, None)

    def tell_failed(self, failed: FailedAlarm) -> None:
        """Tell of an alarm that was given up; to be called when that is durable."""
        self._writers.alarm_failed(self.object_id, failed)

    # The file.

    def stored_name(self) -> str | None:
        """The object's name as its file has it; None when there is no file, or it was only ever reached by its id."""
        return self._writer.name if self._reader() is not None and self._writer is not None else None

    @property
    def database_size(self) -> int:
        """Bytes of the database in use; 0 when nothing was ever stored."""
        if self._reader() is None:
            return 0
        return self._guard(self._in_use().database.size_bytes)

    @property
    def stored_bytes(self) -> int | None:
        """The size of the object's file as of its last commit; None while it is not open. Costs next to nothing."""
        writer = self._writers.open_writer(self.object_id)
        return None if writer is None else writer.database.size_pages * PAGE_BYTES
