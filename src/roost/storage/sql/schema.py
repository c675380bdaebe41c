"""What the tables of an object look like, as far as counting the rows that are written needs it."""

from __future__ import annotations

from collections.abc import Iterable

import apsw
import msgspec

_WITHOUT_ROWID = "SELECT wr, type FROM pragma_table_list WHERE schema = 'main' AND name = ?"
_INDEXES = "SELECT name, origin FROM pragma_index_list(?)"
_COLUMNS = "SELECT name FROM pragma_index_xinfo(?) WHERE key OR cid = -2"
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
_TRIGGERED = "SELECT DISTINCT lower(tbl_name) FROM sqlite_schema WHERE type = 'trigger'"
_REFERENCED = """
    SELECT DISTINCT lower(f."table") FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
"""


class Touched(msgspec.Struct):
    """How a statement changes one table."""

    rows: bool = False
    """Whole rows come or go."""
    columns: set[str] = msgspec.field(default_factory=set)
    """Of rows that change."""


class Index(msgspec.Struct, frozen=True):
    """The columns of an index; None for an expression, which may depend on any."""

    columns: frozenset[str | None]

    def depends_on(self, columns: Iterable[str]) -> bool:
        """Whether its entries change with one of these columns."""
        return None in self.columns or not self.columns.isdisjoint(columns)


class Schema:
    """Facts about the tables, learnt when they are asked for; `forget` when the schema changed."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._indexes: dict[str, list[Index] | None] = {}
        self._entangled: set[str] | None = None

    def forget(self) -> None:
        """Some table is different now."""
        self._indexes.clear()
        self._entangled = None

    def weight(self, table: str, touched: Touched) -> int | None:
        """Rows written for each row that a statement changes, entries of indexes included; None: it depends."""
        indexes = self.indexes(table)
        if indexes is None or table.lower() in self.entangled():
            return None
        return self.entries(indexes, touched)

    def entries(self, indexes: list[Index], touched: Touched) -> int:
        """The row itself, and the entries of those indexes that change with it."""
        return 1 + sum(touched.rows or index.depends_on(touched.columns) for index in indexes)

    def indexes(self, table: str) -> list[Index] | None:
        """The indexes of a table; None for one that is virtual."""
        if table not in self._indexes:
            self._indexes[table] = self._read_indexes(table)
        return self._indexes[table]

    def _read_indexes(self, table: str) -> list[Index] | None:
        run = self._connection.execute
        rowless, kind = next(iter(run(_WITHOUT_ROWID, (table,))), (0, "table"))
        if kind == "virtual":
            return None
        names = [name for name, origin in run(_INDEXES, (table,)) if not (rowless and origin == "pk")]
        return [Index(frozenset(column for (column,) in run(_COLUMNS, (name,)))) for name in names]

    def tables(self) -> list[str]:
        """The names of all tables."""
        return [str(name) for (name,) in self._connection.execute(_TABLES)]

    def entangled(self) -> set[str]:
        """Tables whose changes may change other rows too: by a trigger, or because others refer to them."""
        if self._entangled is None:
            run = self._connection.execute
            self._entangled = {str(name) for query in (_TRIGGERED, _REFERENCED) for (name,) in run(query)}
        return self._entangled
