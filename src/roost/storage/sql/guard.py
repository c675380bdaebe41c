# What users' statements may do on one connection.
#
#  (1) `running` says on whose behalf SQLite works: while it is None, the statements are roost's own and nothing is
#      checked. It is set around every call into SQLite that compiles or steps a user's statement, for each row too,
#      because virtual tables compile statements of their own at any time.
#  (2) The authorizer decides when a statement is compiled. The compiled form is kept under its text and its flags: a
#      user's text is compiled with flags of its own, and so never finds the form of one of ours with the same text.
#  (3) Names that begin with `_roost_` are roost's own. The authorizer sees most of their uses. What it does not see
#      (the new name of ALTER TABLE, REFERENCES, the arguments of a virtual table) is looked for in the schema after
#      each change of it, inside a savepoint that is rolled back when something is found.
#  (4) A statement that takes too long, or needs too much memory, is interrupted: see `deadline`.
#  (5) All of it is installed at the first use of SQL and stays: a second installation would have every statement
#      compiled again, and an object that uses no SQL pays nothing.
"""The guard of a connection."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import apsw

from roost.errors import LimitExceededError, SQLError, SQLForbiddenError
from roost.limits import Limits
from roost.storage.sql import sql_errors
from roost.storage.sql.authorizer import Authorizer
from roost.storage.sql.compiler import Compiler
from roost.storage.sql.deadline import OPERATIONS, Deadline
from roost.storage.sql.plan import Plan, Plans
from roost.storage.sql.pragma_settings import PragmaSettings
from roost.storage.sql.schema import Schema

_REACHING = """
    SELECT name, sql FROM sqlite_schema
    WHERE substr(lower(name), 1, 7) = '_roost_' OR rootpage = 0 AND instr(lower(sql), '_roost_')
    UNION ALL
    SELECT m.name, m.sql FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' AND substr(lower(f."table"), 1, 7) = '_roost_'
"""


class Running(Protocol):
    """A user's statement that is being compiled or stepped."""

    scanned: int
    """The rows that its full scans came by."""


class Guard:
    """Watches over what users' statements do on a connection."""

    scanned = 0
    """It stands in for a statement that scans nothing, and for one that is being compiled."""

    def __init__(
        self,
        connection: apsw.Connection,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
        be_alone: Callable[[], None] = lambda: None,
    ) -> None:
        self.connection = connection
        self.be_alone = be_alone
        """Ends the read that the connection keeps open: beside one SQLite drops no table and sets not all PRAGMAs."""
        self.statements = connection.cursor()
        """Runs users' statements; a cursor for each would cost as much as a short one does."""
        self.owner: object = None
        """The life of the object that uses the connection."""
        self.running: Running | None = None
        self.deadline = Deadline(limits.sql_seconds_max, limits.sql_memory_bytes_max, monotonic)
        self.plans = Plans()
        self.schema = Schema(connection)
        self.settings = PragmaSettings(connection, be_alone)
        self.altered = False
        """Whether the schema was changed since the last commit, so that a rollback changes it again."""
        self._limits = limits
        self._authorizer = Authorizer()
        self._compiler = Compiler(connection, self._authorizer, self.schema, self.settings)
        self._scanning = 0
        self._install()

    def _install(self) -> None:
        connection = self.connection
        connection.authorizer = self._authorize
        connection.set_progress_handler(self._tick, OPERATIONS)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
        for number, value in _sqlite_limits(self._limits):
            connection.limit(number, value)

    def _authorize(self, action: int, first: Any, second: Any, database: Any, _inner: Any) -> int:
        if self.running is None:
            return int(apsw.SQLITE_OK)
        return self._authorizer.decide(action, first, second, database)

    def _tick(self) -> bool:
        return self.running is not None and self.deadline.tick()

    # Statements.

    def plan(self, query: str) -> Plan | None:
        """The plan of the first statement of a query; None when there is none. Raises apsw.Error as it comes."""
        self._check_length(query)
        self.running, self.deadline.ticks = self, 0
        try:
            plan = self._compiler.plan(query)
        finally:
            self.running = None
        if plan is not None:
            self._check_count(plan)
            self._compiler.complete(plan)
        return plan

    def hand_over(self) -> apsw.Cursor:
        """The cursor of the statement that ran last, which may have more rows: the next one gets another."""
        rows, self.statements = self.statements, self.connection.cursor()
        return rows

    def examine(self, plan: Plan) -> None:
        """It runs again: see whether it scans."""
        self._compiler.examine(plan)

    def _check_length(self, query: str) -> None:
        limit = self._limits.sql_bytes_max
        size = len(query) if query.isascii() else len(query.encode(errors="surrogatepass"))
        if size > limit:
            raise LimitExceededError(f"a query may have {limit} bytes, this one has {size}", limit=limit, actual=size)

    def _check_count(self, plan: Plan) -> None:
        limit = self._limits.sql_variables_max
        if plan.count > limit:
            raise LimitExceededError(
                f"a statement may have {limit} parameters, this one has {plan.count}", limit=limit, actual=plan.count
            )

    def refusal(self, error: apsw.Error) -> SQLError:
        """Why SQLite refused the statement that ran last."""
        reason, self._authorizer.reason = self._authorizer.reason, None
        interruption = self.deadline.why()
        if interruption is not None and isinstance(error, apsw.InterruptError):
            return interruption
        return sql_errors.refusal(error, reason)

    @contextlib.contextmanager
    def around(self, plan: Plan) -> Iterator[None]:
        """What has to be done around a statement that is not plain: to undo it wholly when it fails, for what triggers
        did before they nested too deep SQLite would leave; and to undo it when it reaches for what is roost's."""
        if plan.changes_schema or plan.is_pragma:
            self.be_alone()
        if plan.changes_schema:
            with self._savepoint(), self._changing_schema():
                yield
        elif plan.touched and plan.weight is None:
            with self._savepoint():
                yield
        else:
            yield

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
        connection = self.connection
        connection.execute("SAVEPOINT _roost_statement")
        try:
            yield
        except apsw.LockedError:
            raise  # it did nothing, and to roll back would end the cursors that it was refused for
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK TO _roost_statement")
            raise
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE _roost_statement")

    # The schema; see (3).

    @contextlib.contextmanager
    def _changing_schema(self) -> Iterator[None]:
        before, known = self.connection.pragma("schema_version"), self._reaching()
        yield
        if self.connection.pragma("schema_version") != before:
            self.altered = True
            self.forget_schema()
            self._refuse_reaching(known)

    def _refuse_reaching(self, known: set[tuple[str, str]]) -> None:
        reaching = sorted(self._reaching() - known)
        if reaching:
            raise SQLForbiddenError(
                f"{reaching[0][0]}: names that begin with _roost_ are roost's own: SQLITE_AUTH", "SQLITE_AUTH"
            )

    def _reaching(self) -> set[tuple[str, str]]:
        """What bears a name of roost's own, or names one, and how it was made."""
        return {(str(name), str(sql)) for name, sql in self.connection.execute(_REACHING)}

    def forget_schema(self) -> None:
        """The schema is another, by a statement or by its rollback: what was known of it no longer holds."""
        self.plans.forget()
        self.schema.forget()

    def rolled_back(self) -> None:
        """Writes since the last commit were dropped, some or all."""
        if self.altered:
            self.forget_schema()

    # Scans: SQLite tells how many rows they came by when their statement ends.

    def begin_scan(self) -> None:
        """A statement is going to scan."""
        self._scanning += 1
        if self._scanning == 1:
            self.connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._ended)

    def end_scan(self) -> None:
        """It is over."""
        self._scanning -= 1
        if self._scanning == 0:
            self.connection.trace_v2(0)

    def _ended(self, statement: dict[str, Any]) -> None:
        if self.running is not None:
            steps = statement["stmt_status"]["SQLITE_STMTSTATUS_FULLSCAN_STEP"]
            self.running.scanned += steps + (steps > 0)  # to its first row a scan does not step

    # Lives.

    @contextlib.contextmanager
    def reset(self) -> Iterator[None]:
        """Meanwhile everything is deleted, with a VACUUM, which attaches a database."""
        self.connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)
        try:
            yield
        finally:
            self.connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
            self.altered = True
            self.forget_schema()

    def release(self) -> None:
        """The life of the object that used the connection is over."""
        self.settings.restore()
        self.owner = None


def _sqlite_limits(limits: Limits) -> list[tuple[int, int]]:
    pair_bytes = limits.value_bytes_max + limits.key_bytes_max + 1024  # a stored value is a row too
    return [
        (apsw.SQLITE_LIMIT_LENGTH, max(limits.sql_value_bytes_max, pair_bytes)),
        (apsw.SQLITE_LIMIT_SQL_LENGTH, limits.sql_bytes_max),
        (apsw.SQLITE_LIMIT_COLUMN, limits.sql_columns_max),
        (apsw.SQLITE_LIMIT_EXPR_DEPTH, limits.sql_expression_depth_max),
        (apsw.SQLITE_LIMIT_COMPOUND_SELECT, limits.sql_compound_terms_max),
        (apsw.SQLITE_LIMIT_VDBE_OP, limits.sql_operations_max),
        (apsw.SQLITE_LIMIT_FUNCTION_ARG, limits.sql_function_arguments_max),
        (apsw.SQLITE_LIMIT_ATTACHED, 0),
        (apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.sql_like_pattern_bytes_max),
        (apsw.SQLITE_LIMIT_VARIABLE_NUMBER, max(limits.sql_variables_max, limits.keys_per_call_max)),
        (apsw.SQLITE_LIMIT_TRIGGER_DEPTH, limits.sql_trigger_depth_max),
        (apsw.SQLITE_LIMIT_WORKER_THREADS, 0),
    ]
