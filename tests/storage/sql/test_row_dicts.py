"""Rows as dicts."""

from __future__ import annotations

import pytest

from roost.storage.sql.row_dicts import RowDicts


@pytest.mark.parametrize("columns", [("a",), ("a", "b", "a"), ("it's", '"', "{0}", "\n", "row")])
def test_every_way_makes_the_same_dicts(columns: tuple[str, ...]) -> None:
    dicts = RowDicts(columns)
    rows = [tuple(range(start, start + len(columns))) for start in range(100)]
    expected = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [dicts.of_row(row) for row in rows] == expected
    assert list(map(RowDicts(columns).maker(), rows)) == expected
    for few in (0, 1, 15, 16, 100):
        dicts = RowDicts(columns)
        assert dicts.of_rows(rows[:few]) == expected[:few]
        assert dicts.of_rows(rows[:few]) == expected[:few]


def test_without_columns_there_are_no_rows() -> None:
    dicts = RowDicts(())
    assert (dicts.of_rows([]), dicts.of_rows([])) == ([], [])
