# The rows of a query, read as they are asked for.
#
#  (1) A few rows are read ahead, at `exec`; what follows is read when it is asked for, as it is then: no snapshot. The
#      rows of a statement that writes were all read at `exec`.
#  (2) A cursor ends with the turn in which it was made: from then on asking it for rows raises. One that gave its last
#      row before has simply none left.
#  (3) `raw()` and the cursor share one position.
"""What `sql.exec` returns."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import apsw

from roost.errors import InvalidStateError, SQLRowError, SQLTooLargeError
from roost.storage.sql.guard import Guard
from roost.storage.sql.open_cursors import OpenCursors
from roost.storage.sql.plan import Plan, Row
from roost.storage.sql.row_dicts import RowDicts

R_co = TypeVar("R_co", covariant=True)

AHEAD = 8
"""Rows that are read at `exec`: most queries have fewer, and are done with then."""

_AT_ONCE = 64  # rows that are read before their size is looked at
_SAMPLE = 7  # every so many of them are measured
_NO_ROWS: list[Row] = []  # never changed


class Counts(Protocol):
    """Where the rows that were read are counted."""

    rows_read: int


class Owner(Protocol):
    """Whose statement it is."""

    cursors: OpenCursors
    result_bytes_max: int

    @property
    def storage(self) -> Counts:
        """Where its rows are counted."""

    def refused(self, guard: Guard, error: Exception) -> Exception:
        """The error to raise when SQLite refused to go on."""


class Shape(Protocol):
    """What rows are made to be."""

    def of_row(self, row: Row, /) -> Any:
        """One row."""

    def of_rows(self, rows: list[Row], /) -> list[Any]:
        """Some rows, at less cost."""

    def maker(self) -> Callable[[Row], Any]:
        """What to call for each row of many."""


class Cursor(Generic[R_co]):
    """The rows of a query: dicts, or instances of the `row_type`. Iterate over it, or use `one()` or `to_array()`.

    It gives each row once, and ends with the turn in which it was made: read the rows before you await something else.
    """

    rows_written = 0
    """The rows that the statement inserted, changed or deleted, and the entries of indexes that changed so."""
    scanned = 0
    _given = 0
    """Rows that were read after those that were read ahead."""
    _ended: str | None = None
    """Why it was ended before it gave all rows."""
    _rest: apsw.Cursor | None = None
    """While SQLite may have more rows."""

    def __init__(self, owner: Owner, guard: Guard, plan: Plan, shape: Shape | None, head: list[Row] = _NO_ROWS) -> None:
        self._owner = owner
        self._guard = guard
        self._plan = plan
        self._shape = shape
        """None for dicts."""
        self._head = head
        """Rows that were read ahead and not given yet."""
        self._ahead = len(head)
        self._turn = owner.cursors.turn

    # What users ask for.

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._plan.columns)

    @property
    def rows_read(self) -> int:
        """The rows read so far: those of the result, or those that scans came by to find them, whichever is more."""
        return max(self._ahead + self._given if self._plan.counts_rows else 0, self.scanned)

    def __iter__(self) -> Iterator[R_co]:
        return map(self._shaped().maker(), self.raw_rows())

    def __next__(self) -> R_co:
        return self._shaped().of_row(next(self.raw_rows()))  # type: ignore[no-any-return]

    def to_array(self) -> list[R_co]:
        """All rows that are left. Raises SQLTooLargeError when they need more than `sql_result_bytes_max` of memory."""
        rows = self.take_all()
        return (self._shape or self._plan.dicts or self._shaped()).of_rows(rows)

    def one(self) -> R_co:
        """The only row. Raises SQLRowError when there is none, or more than one."""
        rows = self._head
        if len(rows) == 1 and self._rest is None and self._turn == self._owner.cursors.turn:
            self._head = _NO_ROWS  # the usual case, at half of the cost
            return (self._shape or self._plan.dicts or self._shaped()).of_row(rows[0])  # type: ignore[no-any-return]
        rows = self._take(2)
        if len(rows) != 1:
            if rows:
                self.end("one() found more than one row")
            found = "more than one" if rows else "none"
            raise SQLRowError(f"one() needs exactly one row, and the query gave {found}")
        return self._shaped().of_row(rows[0])  # type: ignore[no-any-return]

    def raw(self) -> RawRows:
        """The same rows as tuples of values, from the same position on; no column is lost when two have one name."""
        return RawRows(self)

    def __repr__(self) -> str:
        return f"<Cursor of {self._plan.text!r:.80}>"

    # Rows.

    def _shaped(self) -> Shape:
        plan = self._plan
        if self._shape is None and plan.dicts is None:
            plan.dicts = RowDicts(plan.columns)
        shape: Shape = self._shape or plan.dicts
        return shape

    def raw_rows(self) -> Iterator[Row]:
        """The rows that are left, one by one."""
        while rows := self._take(1, ahead=True):
            yield rows[0]
        guard = self._guard
        while (rest := self._rest) is not None:
            guard.running, guard.deadline.ticks = self, 0
            try:
                row = next(rest)
            except StopIteration:
                guard.running = None
                self._finish()
                return
            except Exception as error:
                guard.running = None
                raise self._failed(error) from error
            finally:
                guard.running = None
            self._given += 1
            yield row
        self._check()

    def take_all(self) -> list[Row]:
        """The rows that are left, all at once."""
        rows = self._take(_AT_ONCE)
        if self._rest is None:
            return rows or []  # not the list that many share
        size, limit = _size(rows), self._owner.result_bytes_max
        while more := self._take(_AT_ONCE):
            size += _size(more)
            if size > limit:
                self.end("its rows are too large")
                raise SQLTooLargeError(
                    f"the rows need more than {limit} bytes of memory at once; iterate over the cursor instead"
                )
            rows += more
        return rows

    def _take(self, count: int, *, ahead: bool = False) -> list[Row]:
        """At most so many rows; with `ahead` only those that were read already."""
        head = self._head
        if self._turn != self._owner.cursors.turn:
            self._check()
        if len(head) <= count:
            self._head = _NO_ROWS
        else:
            head, self._head = head[:count], head[count:]
        if self._rest is None or ahead:
            if not head:
                self._check()
            return head
        return head + self._step(count - len(head)) if len(head) < count else head

    def _step(self, count: int) -> list[Row]:
        """At most so many rows of those that SQLite has; at least one is asked for."""
        guard, rest = self._guard, self._rest
        assert rest is not None, "SQLite has rows"
        guard.running, guard.deadline.ticks = self, 0
        try:
            rows = list(islice(rest, count))
        except Exception as error:
            guard.running = None
            raise self._failed(error) from error
        finally:
            guard.running = None
        self._given += len(rows)
        if len(rows) < count:
            self._finish()
        return rows

    def _check(self) -> None:
        """Refuse when it was ended before it gave all its rows."""
        if self._head and self._turn != self._owner.cursors.turn:
            self.end(self._owner.cursors.over)
        if self._ended is not None:
            raise InvalidStateError(
                f"this cursor has no rows any more: {self._ended}; read them before the next await, with to_array()"
            )

    def _failed(self, error: Exception) -> Exception:
        refused = self._owner.refused(self._guard, error)
        self.end(f"reading failed: {refused}")
        return refused

    # Its life.

    def begin(self, head: list[Row], rest: apsw.Cursor | None) -> None:
        """These are its first rows; SQLite may have the rest."""
        self._head, self._ahead, self._rest = head, len(head), rest
        if rest is None:
            self._settle()
        else:
            self._owner.cursors.add(self)

    def _finish(self) -> None:
        """SQLite is done with the statement."""
        self._rest = None
        self._owner.cursors.discard(self)
        self._settle()

    def end(self, why: str) -> None:
        """Give no more rows."""
        rest = self._rest
        self._ended, self._head = why, _NO_ROWS
        if rest is not None:
            self._guard.running = self
            try:
                rest.close(True)
            finally:
                self._guard.running = None
            self._finish()

    def _settle(self) -> None:
        self._owner.storage.rows_read += self.rows_read


class ScanningCursor(Cursor[R_co]):
    """A cursor whose statement SQLite counts while it scans, until it is closed: so it must be, also when dropped."""

    def _settle(self) -> None:
        self._guard.end_scan()
        super()._settle()

    def __del__(self) -> None:
        if self._rest is not None:
            self.end("it was dropped")


class RawRows:
    """The rows of a cursor as tuples."""

    def __init__(self, cursor: Cursor[Any]) -> None:
        self._cursor = cursor

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        return self._cursor.column_names

    def __iter__(self) -> Iterator[Row]:
        return self._cursor.raw_rows()

    def __next__(self) -> Row:
        return next(self._cursor.raw_rows())

    def to_array(self) -> list[Row]:
        """All rows that are left."""
        return self._cursor.take_all()


def _size(rows: list[Row]) -> int:
    """About how many bytes they have."""
    return len(marshal.dumps(rows[::_SAMPLE])) * _SAMPLE
