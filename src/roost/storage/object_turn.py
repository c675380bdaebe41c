# What one life of an object holds of its storage: the turn that is open, and the way to the file underneath.
#
#  (1) The first write of a turn opens a transaction; `commit`, called at the turn's end when `dirty`, closes it. While
#      a nested transaction is open, nothing is dirty: its writes belong to the turn in which it ends.
#  (2) An object that never writes has no file, nor has one whose first writes were rolled back. The file is opened at
#      the first use, and may be closed between turns when others need the room; nobody up here notices.
#  (3) A nested transaction begins in the database with its first write. One that only reads costs nothing, and when it
#      is rolled back the turn is as clean as it was before.
#  (4) After a critical failure (no space, an I/O error, a commit that the log could not keep) the turn is rolled back,
#      and every later call of this life raises the same error.
"""The turn of one object's storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import apsw

from roost.errors import InvalidStateError, StorageError
from roost.ids import ObjectId
from roost.storage.database import Database
from roost.storage.fate import Fate
from roost.storage.journal.log import OnDurable
from roost.storage.savepoints import Before, Savepoints
from roost.storage.sql.guard import Guard
from roost.storage.sql.open_cursors import OpenCursors
from roost.storage.writer import Writer
from roost.storage.writers import Writers

T = TypeVar("T")

TURN_OVER = "the turn in which it was made is over"


class ObjectTurn:
    """What is written in one turn of an object, and how it ends. Base of ObjectStorage."""

    def __init__(self, object_id: ObjectId, writers: Writers) -> None:
        self.object_id = object_id
        self.on_dirty: Callable[[], None] | None = None
        self.on_failure: Callable[[StorageError], None] | None = None
        self.confirmed = False
        """Whether effects must wait for the writes of the open turn, or of the one just committed: false when all were
        made with `allow_unconfirmed`. Means nothing when there were none."""
        self.failure: StorageError | None = None
        """Why nothing can be stored or read any more in this life."""
        self.on_open: Callable[[Database], None] | None = None
        """Called when a turn begins to use the file, before its transaction."""
        self.cursors = OpenCursors()
        """Of users' queries in this turn; whoever ends a turn that is not committed ends them too."""
        self._writers = writers
        self._writer: Writer | None = None
        self._wrote = False
        self._nested = Savepoints()
        self._closed = False
        self._after_commit: list[OnDurable] = []

    # The turn.

    @property
    def dirty(self) -> bool:
        """Whether there is something that the end of this turn must commit."""
        return self._wrote and not self._nested.depth

    @property
    def uncommitted(self) -> bool:
        """Whether there are writes that no commit holds yet, those of an open nested transaction included."""
        return self._wrote

    def commit(self, on_durable: OnDurable) -> int:
        """End the turn: commit its writes and hand them to the log; the number of the commit.

        `on_durable` is called exactly once, later, on the loop: with None when they are durable, else with the error.
        Calls come in the order of the commits; only that of a commit which changed nothing, and so has the number of
        the one before it, may come after a later one's.
        Raises StorageError when there is no commit; the turn's writes are dropped then, and `on_durable` is not called.
        """
        assert self.dirty, "only a turn that wrote is committed"
        writer = self._in_use()
        self.cursors.end(TURN_OVER)
        self._wrote = writer.in_turn = False
        self._nested.end_turn()
        called = [on_durable]
        if self._after_commit:
            called += self._after_commit
            self._after_commit = []
        try:
            if not writer.commit_changes(called):
                self._tell_soon(writer, called)
        except StorageError as error:
            self._fail(error)
            for callback in called[1:]:
                callback(error)
            raise
        guard = writer.database.guard
        if guard is not None:
            guard.altered = False
        return writer.number

    def _tell_soon(self, writer: Writer, waiting: list[OnDurable]) -> None:
        """Tell what becomes of the commits so far, but not from within this call."""
        fate = Fate(waiting)
        writer.when_durable(fate)
        fate.may_call(self._writers.post)

    def rollback(self) -> None:
        """Drop all writes of this turn that were not committed."""
        self._nested.clear()
        self._drop_turn()

    def when_durable(self, callback: OnDurable) -> None:
        """Call back once everything written so far is durable, writes of the open turn and of former lives included.

        At once when it is. With the error, when it will never be.
        """
        if self.failure is not None:
            callback(self.failure)
        elif self._wrote:
            self._after_commit.append(callback)
        elif (writer := self._writers.open_writer(self.object_id)) is not None:
            writer.when_durable(callback)
        else:
            callback(None)  # a file is closed only when all that it holds is durable

    @property
    def durable(self) -> bool:
        """Whether everything that can be read here is durable: the open turn is clean and no commit is under way."""
        writer = self._writers.open_writer(self.object_id)
        return not self._wrote and (writer is None or writer.settled)

    # Nested transactions.

    @property
    def depth(self) -> int:
        """How many nested transactions are open, one inside the other."""
        return self._nested.depth

    def begin_nested(self) -> None:
        """Open a transaction inside the turn, or inside another one."""
        self._check_usable()
        self._nested.open(Before(self._wrote, self.confirmed))

    def commit_nested(self) -> None:
        """Close the innermost transaction; its writes belong to the one around it, or to the turn."""
        if self.failure is not None:
            return  # everything was rolled back already
        self._check_usable()
        self._nested.pop()
        self._end_savepoint(self._nested.release)

    def rollback_nested(self) -> None:
        """Drop the writes of the innermost transaction, and close it."""
        if self.failure is not None or self._closed:
            return  # that is done
        before = self._nested.pop()
        if self._wrote and not before.wrote:
            self._drop_turn()
        else:
            self._end_savepoint(self._nested.roll_back)
            self._forget_rolled_back()
            self.confirmed = before.confirmed

    def _end_savepoint(self, end: Callable[[apsw.Connection], None]) -> None:
        writer = self._writer
        if writer is not None and writer.in_turn:
            self._guard(lambda: end(writer.database.connection))

    def _drop_turn(self) -> None:
        """Nothing was written since the last commit any more."""
        self.cursors.end("what it read was rolled back")
        writer = self._writer
        if writer is not None and writer.in_turn:
            writer.undo(writer.database.mark)
            self._forget_rolled_back()
        self._end_turn()
        if writer is not None and not writer.database.born:
            self._writer = None
            self._writers.drop_unborn(writer)
        waiting, self._after_commit = self._after_commit, []
        for callback in waiting:
            self.when_durable(callback)

    def transaction_sync(self, function: Callable[[], T]) -> T:
        """Run a plain function as one transaction: rolled back when it raises."""
        self.begin_nested()
        try:
            result = function()
        except BaseException:
            self.rollback_nested()
            raise
        if self.failure is not None:
            raise _again(self.failure)
        self.commit_nested()
        return result

    def close(self) -> None:
        """End this life: drop what was not committed. The file stays open for the next life, while there is room."""
        if self._closed:
            return
        self.rollback()
        self._closed = True
        guard = self.open_guard
        if guard is not None:
            guard.release()
        self._writer = None
        self._writers.rest(self.object_id)

    # Inside.

    def _reader(self) -> apsw.Connection | None:
        """The open database, or None when the object never wrote."""
        writer = self._writer
        if writer is None or writer.database.closed or self.failure is not None or self._closed:
            writer = self._open(create=False)
            if writer is None:
                return None
        writer.database.ready()
        return writer.database.connection

    def _write(self, confirmed: bool) -> Database:
        database = self._begin()
        if not self._wrote or (confirmed and not self.confirmed):
            self._mark_dirty(confirmed)
        return database

    def _mark_dirty(self, confirmed: bool) -> None:
        if self._wrote:
            self.confirmed = self.confirmed or confirmed
        else:
            self._wrote, self.confirmed = True, confirmed
            if self.on_dirty is not None:
                self.on_dirty()

    def _begin(self) -> Database:
        """The database, with the turn's transaction open."""
        writer = self._writer
        if writer is None or not writer.in_turn or self.failure is not None:
            writer = self._open(create=True)
            assert writer is not None, "a writer that may be created is there"
            writer.database.ready()
            try:
                writer.database.begin()
            except apsw.Error as error:
                raise self._failed(error) from error
            writer.in_turn = True
        database = writer.database
        if self._nested.waiting:
            self._guard(lambda: self._nested.begin(database.connection))
        return database

    def _check_usable(self) -> None:
        if self.failure is not None:
            raise _again(self.failure)
        if self._closed:
            raise InvalidStateError("this life of the object has ended; its storage cannot be used any more")

    def _open(self, *, create: bool) -> Writer | None:
        self._check_usable()
        try:
            self._writer = self._writers.writer(self.object_id, create=create)
        except StorageError as error:
            self._fail(error)
            raise
        if self._writer is not None:
            self._writer.on_lost = self._fail
            if self.on_open is not None:
                self._writer.database.ready()
                self.on_open(self._writer.database)
        return self._writer

    def _in_use(self) -> Writer:
        assert self._writer is not None, "the database was opened before"
        return self._writer

    def _end_turn(self) -> None:
        self._wrote = False
        self._nested.end_turn()
        if self._writer is not None:
            self._writer.in_turn = False

    def _guard(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except (apsw.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: apsw.Error | OSError) -> StorageError:
        """A critical failure: the turn never was, and this life of the object can store nothing more."""
        failure = self._in_use().explain(error)
        self._fail(failure)
        return failure

    def _fail(self, error: StorageError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        self.rollback()
        if self.on_failure is not None:
            self.on_failure(error)

    @property
    def open_guard(self) -> Guard | None:
        """What watches over users' statements; None when there were none, or the file is closed."""
        return None if self._writer is None else self._writer.database.guard

    def _forget_rolled_back(self) -> None:
        guard = self.open_guard
        if guard is not None:
            guard.rolled_back()


def _again(error: StorageError) -> StorageError:
    """The same error for another caller, so that tracebacks do not grow."""
    return type(error)(*error.args)
