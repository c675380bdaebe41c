"""Which statements of users SQLite may compile."""

from __future__ import annotations

from typing import Any

import apsw

from roost.storage.sql.allowed import FUNCTIONS, MODULES, is_hidden, may_read, pragma_refusal
from roost.storage.sql.schema import Touched

_OK, _READ, _FUNCTION = int(apsw.SQLITE_OK), int(apsw.SQLITE_READ), int(apsw.SQLITE_FUNCTION)
_READABLE_MAX = 1000  # names of tables that are remembered
_HARMLESS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE, apsw.SQLITE_REINDEX})
_SCHEMA = frozenset(
    {
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_DROP_TRIGGER,
        apsw.SQLITE_DROP_VIEW,
    }
)
_VIRTUAL = frozenset({apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_VTABLE})
_TRANSACTIONS = frozenset({apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT})
_OTHER_FILES = frozenset({apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH})
_USE_METHODS = (
    "transactions are begun and ended with ctx.storage.transaction() or ctx.storage.transaction_sync(), not in SQL"
)


class Seen:
    """What SQLite asked about while it compiled a statement."""

    __slots__ = ("asked", "changes_schema", "pragma", "reads", "touched")

    def __init__(self) -> None:
        self.asked = False
        """Whether it asked at all."""
        self.reads = False
        self.touched: dict[str, Touched] = {}
        """By table: how its rows change."""
        self.changes_schema = False
        self.pragma: tuple[str, str | None] | None = None
        """The first PRAGMA, and its argument."""


class Authorizer:
    """Allows what `allowed` lists, and refuses the rest; `reason` says why the last one was refused."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.reason: str | None = None
        self._readable: set[str] = set()
        """Tables that may be read, by the names they were asked for: each column of each statement is a question."""

    def decide(self, action: int, first: Any, second: Any, database: Any) -> int:
        """SQLite's question, its arguments as `sqlite3_set_authorizer` gives them; its answer."""
        seen = self.seen
        seen.asked = True
        if action == _READ:
            seen.reads = True
            return _OK if first in self._readable else self._read(first)
        if action == _FUNCTION:
            return self._answer(second.lower() in FUNCTIONS, f"the function {second}() is not allowed")
        if action in _HARMLESS:
            return _OK
        if action in (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE):
            return self._change(action, first, second, database)
        if action == apsw.SQLITE_PRAGMA:
            return self._pragma(first.lower(), second)
        return self._rare(action, first, second, database)

    def _read(self, table: str) -> int:
        allowed = may_read(table)
        if allowed:
            if len(self._readable) >= _READABLE_MAX:
                self._readable.clear()
            self._readable.add(table)
        return self._answer(allowed, f"the table {table} cannot be read")

    def _change(self, action: int, table: str, column: str, database: str) -> int:
        touched = self.seen.touched.setdefault(table, Touched())
        if action == apsw.SQLITE_UPDATE:
            touched.columns.add(column)
        else:
            touched.rows = True
        if database == "temp" and action == apsw.SQLITE_INSERT:
            return self._no_temporary()
        return self._answer(not is_hidden(table), f"the table {table} cannot be changed")

    def _pragma(self, name: str, argument: str | None) -> int:
        refusal = pragma_refusal(name, argument)
        self.seen.pragma = self.seen.pragma or (name, argument)
        return self._answer(refusal is None, refusal or "")

    def _rare(self, action: int, first: Any, second: Any, database: Any) -> int:
        if action in _TRANSACTIONS:
            return self._answer(False, _USE_METHODS)
        if action in _OTHER_FILES:
            return self._answer(False, "an object has one database: others cannot be attached")
        if action == apsw.SQLITE_ANALYZE:
            return int(apsw.SQLITE_IGNORE if is_hidden(first) else apsw.SQLITE_OK)
        self.seen.changes_schema = True
        if action == apsw.SQLITE_ALTER_TABLE and first != "temp":
            return self._names(second)
        if database == "temp" or action not in _SCHEMA | _VIRTUAL:
            return self._no_temporary()
        if action in _VIRTUAL and str(second).lower() not in MODULES:
            modules = ", ".join(sorted(MODULES))
            return self._answer(False, f"virtual tables of {second} are not allowed, only those of {modules}")
        return self._names(first, second)

    def _names(self, *names: str | None) -> int:
        hidden = next((name for name in names if is_hidden(name)), None)
        return self._answer(hidden is None, f"{hidden}: names that begin with _roost_ are roost's own")

    def _no_temporary(self) -> int:
        return self._answer(False, "temporary tables, indexes, views and triggers are not allowed")

    def _answer(self, allowed: bool, reason: str) -> int:
        if allowed:
            return _OK
        self.reason = self.reason or reason
        return int(apsw.SQLITE_DENY)
