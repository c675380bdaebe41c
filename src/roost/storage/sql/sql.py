# SQL on an object's own database.
#
#  (1) A statement takes effect at `exec`, also when its rows are never read. Its writes belong to the turn, like puts.
#  (2) Several statements in one query run one after the other; the values and the cursor belong to the last of them.
#      One that fails leaves those before it done.
#  (3) What SQLite refuses (a constraint, a mistake in the text) raises an SQLError and changes nothing; the object goes
#      on. Only when SQLite rolled the whole turn back, or the database itself failed, does the object start anew.
"""`ctx.storage.sql`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

import apsw

from roost.errors import InvalidArgumentError, SQLError, SQLForbiddenError, WrongTypeError
from roost.limits import DEFAULTS, Limits
from roost.storage.database import Database
from roost.storage.object_storage import ObjectStorage
from roost.storage.sql.bindings import PLAIN, Values, checked
from roost.storage.sql.compiler import USERS
from roost.storage.sql.cursor import AHEAD, Cursor, ScanningCursor
from roost.storage.sql.guard import Guard, Running
from roost.storage.sql.plan import Plan, Row
from roost.storage.sql.typed_rows import TypedRows
from roost.storage.sql.written_rows import WrittenRows

T = TypeVar("T")


class SQL:
    """The object's database, in SQL. FTS5, JSON, R*Tree and the mathematical functions are there."""

    def __init__(
        self, storage: ObjectStorage, limits: Limits = DEFAULTS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.cursors = storage.cursors
        self.result_bytes_max = limits.sql_result_bytes_max
        self.storage = storage
        self._limits = limits
        self._monotonic = monotonic
        self._seconds_max = limits.sql_seconds_max
        self._settings: dict[str, int] = {}
        """The PRAGMAs that this life has turned on or off."""
        self._current: Guard | None = None
        """That of this turn, from its first query on."""
        storage.on_open = self._opened

    # What users call.

    @overload
    def exec(self, query: str, /, *bindings: Any) -> Cursor[dict[str, Any]]: ...
    @overload
    def exec(self, query: str, /, *bindings: Any, row_type: type[T]) -> Cursor[T]: ...
    def exec(self, query: str, /, *bindings: Any, row_type: type[Any] | None = None) -> Cursor[Any]:
        """Run a statement, or several; the cursor has the rows of the last.

        `bindings` are the values of its parameters: in order for `?`, or one dict for `:name`. None, bool (as 0 or 1),
        int, float, str and bytes can be bound. Rows are dicts, or instances of `row_type`: a dataclass, a
        msgspec.Struct, a NamedTuple or a TypedDict with a field for each column.

        Raises SQLError, or one below it, when SQLite refuses; the statement has changed nothing then.
        """
        guard = self._current if self.cursors.used else self._begin()
        assert guard is not None, "a turn that has a query has a guard"
        plan = guard.plans.get(query) if type(query) is str else None
        if plan is None:
            plan = self._last(guard, query, bindings)
        return self._run(guard, plan, bindings, row_type)

    @property
    def database_size(self) -> int:
        """The bytes of the database that are in use, its values of the key-value storage included."""
        return self.storage.database_size

    # Finding the statement.

    def _begin(self) -> Guard:
        """This is the first query of the turn."""
        database = self.storage.database()
        guard = database.guard
        if guard is None or guard.owner is not self:
            guard = self._take_over(database)
        self._current = guard
        self.cursors.use()
        return guard

    def _opened(self, database: Database) -> None:
        """The file was opened again in this life: it is to be as it was. Before a transaction, because not all can be
        set within one."""
        if self._settings and (database.guard is None or database.guard.owner is not self):
            self._take_over(database)

    def _take_over(self, database: Database) -> Guard:
        guard = database.guard
        if guard is None:
            guard = database.guard = Guard(database.connection, self._limits, self._monotonic, database.be_alone)
        guard.owner = self
        guard.deadline.seconds_max = self._seconds_max
        if self._settings:
            guard.settings.apply(self._settings)
        return guard

    def _last(self, guard: Guard, query: object, bindings: Sequence[Any]) -> Plan:
        """The plan of the last statement of a query, once those before it have run."""
        if not isinstance(query, str):
            raise WrongTypeError(f"exec takes a query as str, got {type(query).__name__}")
        plan = self._plan(guard, query)
        while plan.rest:
            if plan.count:
                raise InvalidArgumentError(
                    "the values belong to the last statement of a query, and an earlier one has parameters: "
                    f"{plan.text.strip()!r:.80}"
                )
            rest = plan.rest
            self._run(guard, plan, (), None).take_all()
            plan = self._plan(guard, rest)
        return plan

    def _plan(self, guard: Guard, query: str) -> Plan:
        plan = guard.plans.get(query)
        if plan is None:
            try:
                plan = guard.plan(query)
            except apsw.Error as error:
                raise self.refused(guard, error) from error
            if plan is None:
                raise SQLError("the query did not contain a statement")
            guard.plans.keep(query, plan)
        return plan

    # Running it.

    def _run(self, guard: Guard, plan: Plan, given: Sequence[Any], row_type: type[Any] | None) -> Cursor[Any]:
        bindings: Values = given
        if plan.count != len(given):
            bindings = checked(plan, given)
        else:
            for value in given:
                if type(value) not in PLAIN:
                    bindings = checked(plan, given)
                    break
        shape: TypedRows | None = None
        if row_type is not None:
            shape = plan.typed.get(row_type) if isinstance(row_type, type) else None
            shape = shape or _typed(plan, row_type)
        if plan.writes:
            self.storage.database_to_write()
        if not plan.plain:
            return self._run_with_care(guard, plan, bindings, shape)
        head = _NO_ROWS
        guard.running, guard.deadline.ticks = guard, 0  # it scans nothing: nobody has to be told how much
        try:  # as in `_step`, whose call would be a tenth of the cost
            rows = guard.statements.execute(plan.text, bindings, prepare_flags=USERS)
            if plan.columns:
                head = rows.fetchall() if plan.writes else [*islice(rows, AHEAD)]
        except Exception as error:
            guard.running = None
            raise self._not_run(guard, plan, bindings, error) from error
        finally:
            guard.running = None
        cursor: Cursor[Any] = Cursor(self, guard, plan, shape, head)
        if plan.writes:
            if plan.weight is not None:
                cursor.rows_written = written = guard.connection.changes() * plan.weight
                self.storage.rows_written += written
        elif len(head) == AHEAD:
            cursor.begin(head, guard.hand_over())
        elif plan.counts_rows:
            self.storage.rows_read += len(head)
        return cursor

    def _run_with_care(self, guard: Guard, plan: Plan, bindings: Values, shape: TypedRows | None) -> Cursor[Any]:
        plan.uses += 1
        if plan.scans and not plan.examined and plan.uses > 1:
            guard.examine(plan)
        scans = plan.scans
        kind: type[Cursor[Any]] = ScanningCursor if scans else Cursor
        cursor = kind(self, guard, plan, shape)
        if scans:
            guard.begin_scan()
        try:
            if plan.careful:
                with guard.around(plan), _written_rows(guard, plan) as written:
                    head, rest = _step(guard, plan, bindings, cursor)
                cursor.rows_written = written.count
            else:
                head, rest = _step(guard, plan, bindings, cursor)
        except SQLForbiddenError:
            raise  # not SQLite's: the schema reached for what is roost's
        except Exception as error:
            if scans:
                guard.end_scan()
            raise self._not_run(guard, plan, bindings, error) from error
        cursor.begin(head, rest)
        if plan.weight is not None:
            cursor.rows_written = guard.connection.changes() * plan.weight
        self.storage.rows_written += cursor.rows_written
        if plan.setting is not None:
            self._settings[plan.setting] = guard.settings.read(plan.setting)
        return cursor

    # When it fails.

    def _not_run(self, guard: Guard, plan: Plan, bindings: Values, error: Exception) -> Exception:
        if isinstance(error, (OverflowError, UnicodeEncodeError)) and not isinstance(bindings, dict):
            checked(plan, bindings)  # type: ignore[arg-type]  # says which value it was
        return self.refused(guard, error)

    def refused(self, guard: Guard, error: Exception) -> Exception:
        """The error to raise when SQLite refused; the object's life is over when it was critical."""
        if not isinstance(error, apsw.Error):
            return error
        return self.storage.refused(error, guard.refusal(error))

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Let statements take longer meanwhile."""
        before, self._seconds_max = self._seconds_max, seconds
        self._seconds_changed()
        try:
            yield
        finally:
            self._seconds_max = before
            self._seconds_changed()

    def _seconds_changed(self) -> None:
        guard = self.storage.open_guard
        if guard is not None and guard.owner is self:
            guard.deadline.seconds_max = self._seconds_max


_NO_ROWS: list[Row] = []  # never changed


def _step(guard: Guard, plan: Plan, bindings: Values, running: Running) -> tuple[list[Row], apsw.Cursor | None]:
    """Run a statement to its first rows, or to its end when it writes: the rows, and where the rest will come from."""
    guard.running, guard.deadline.ticks = running, 0
    try:
        rows = guard.statements.execute(plan.text, bindings, prepare_flags=USERS, can_cache=not plan.is_pragma)
        if not plan.columns:
            return [], None
        if plan.writes:
            return rows.fetchall(), None
        head = [*islice(rows, AHEAD)]
        return head, guard.hand_over() if len(head) == AHEAD else None
    finally:
        guard.running = None


def _typed(plan: Plan, row_type: type[Any]) -> TypedRows:
    rows = plan.typed[row_type] = TypedRows(row_type, plan.columns)
    return rows


def _written_rows(guard: Guard, plan: Plan) -> WrittenRows:
    by_one = plan.touched and plan.weight is None and not plan.changes_schema
    return WrittenRows(guard.connection, guard.schema, plan.touched if by_one else {})
