"""Counting, one by one, the rows that a statement writes."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import apsw

from roost.storage.sql.schema import Index, Schema, Touched


class WrittenRows:
    """While it is entered, `count` grows with each row that is inserted, changed or deleted, by triggers too, and with
    the entries of indexes that change with it. Nothing is counted when no table is named."""

    def __init__(self, connection: apsw.Connection, schema: Schema, touched: Mapping[str, Touched]) -> None:
        self.count = 0
        self._connection = connection
        self._touched = touched
        self._indexes: dict[str, list[Index]] = {}
        if not touched:
            return
        for name in schema.tables():  # asked for now: the database must not be read from within the hook
            self._indexes[name] = schema.indexes(name) or []

    def __enter__(self) -> WrittenRows:
        if self._touched:
            self._connection.preupdate_hook(self._count, id=WrittenRows)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._touched:
            self._connection.preupdate_hook(None, id=WrittenRows)

    def _count(self, change: Any) -> None:
        indexes = self._indexes.get(change.table_name, [])
        touched = self._touched.get(change.table_name)
        if change.op != "UPDATE" or touched is None:
            touched = _WHOLE
        self.count += 1 + sum(touched.rows or index.depends_on(touched.columns) for index in indexes)


_WHOLE = Touched(rows=True)
