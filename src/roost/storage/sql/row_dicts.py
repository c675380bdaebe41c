"""Rows as dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roost.storage.sql.plan import Row

_FEW = 16  # rows that are not worth a function of their own at the first time


class RowDicts:
    """Makes dicts of rows with certain columns; of columns with the same name the last wins.

    A function written for these columns takes a third of the time of a loop over them, for each row; it is made when it
    is worth it, and stands in for the method then.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._uses = 0
        self.of_row: Callable[[Row], dict[str, Any]] = self._of_row
        """The dict of one row."""
        self.of_rows: Callable[[list[Row]], list[dict[str, Any]]] = self._of_rows
        """The dicts of some rows."""

    def _of_row(self, row: Row) -> dict[str, Any]:
        self._uses += 1
        return dict(zip(self._columns, row, strict=True)) if self._uses == 1 else self.maker()(row)

    def _of_rows(self, rows: list[Row]) -> list[dict[str, Any]]:
        self._uses += 1
        if not rows or (self._uses == 1 and len(rows) < _FEW):
            return [dict(zip(self._columns, row, strict=True)) for row in rows]
        names = [f"value_{at}" for at in range(len(self._columns))]
        pairs = ", ".join(f"{column!r}: {name}" for column, name in zip(self._columns, names, strict=True))
        self.of_rows = written(f"lambda rows: [{{{pairs}}} for {', '.join(names)}, in rows]")
        return self.of_rows(rows)

    def maker(self) -> Callable[[Row], dict[str, Any]]:
        """What makes the dict of one row, for many rows."""
        if self.of_row == self._of_row:
            pairs = ", ".join(f"{name!r}: row[{at}]" for at, name in enumerate(self._columns))
            self.of_row = written(f"lambda row: {{{pairs}}}")
        return self.of_row


def written(source: str) -> Any:
    """A function of a source that is made of literals and of names of ours."""
    return eval(source, {"__builtins__": {}, "type": type, "int": int})  # noqa: S307
