"""The rows of a query."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from roost.errors import InvalidStateError, SQLError, SQLRowError, StorageError
from roost.storage.sql.cursor import AHEAD, Cursor
from roost.storage.sql.sql import SQL

MANY = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT ?) SELECT x, x * 2 AS y FROM n"


def ignore(error: StorageError | None) -> None:
    assert error is None


@pytest.fixture
def numbers(sql: SQL) -> SQL:
    sql.exec("CREATE TABLE n (x INTEGER PRIMARY KEY, y)")
    for x in range(1, 101):
        sql.exec("INSERT INTO n VALUES (?, ?)", x, x * 2)
    return sql


@pytest.fixture(params=[3, AHEAD - 1, AHEAD, AHEAD + 1, 64, 100])
def count(request: pytest.FixtureRequest) -> int:
    """How many rows: read ahead, or not, or just."""
    return int(request.param)


def test_rows_are_dicts(sql: SQL, count: int) -> None:
    rows = [{"x": x, "y": x * 2} for x in range(1, count + 1)]
    assert sql.exec(MANY, count).to_array() == rows
    assert list(sql.exec(MANY, count)) == rows
    assert sql.exec(MANY, count).column_names == ["x", "y"]


def test_each_row_is_given_once_however_it_is_asked_for(sql: SQL, count: int) -> None:
    cursor = sql.exec(MANY, count)
    assert next(cursor) == {"x": 1, "y": 2}
    assert next(cursor.raw()) == (2, 4)
    for row in cursor:
        assert row == {"x": 3, "y": 6}
        break
    assert cursor.raw().to_array() == [(x, x * 2) for x in range(4, count + 1)]
    assert cursor.to_array() == []
    assert list(cursor) == []
    with pytest.raises(StopIteration):
        next(cursor)


def test_raw_and_its_cursor_share_one_position(sql: SQL, count: int) -> None:
    cursor = sql.exec(MANY, count)
    raw = cursor.raw()
    assert raw.column_names == ["x", "y"]
    for x in range(1, count, 2):
        assert next(raw) == (x, x * 2)
        assert next(cursor) == {"x": x + 1, "y": (x + 1) * 2}
    assert [row[0] for row in raw] == [count] * (count % 2)


def test_of_columns_with_one_name_the_last_wins_and_raw_keeps_all(sql: SQL) -> None:
    query = "SELECT 1 AS a, 2 AS b, 3 AS a"
    for _ in range(3):
        assert sql.exec(query).one() == {"a": 3, "b": 2}
        assert list(sql.exec(query)) == sql.exec(query).to_array() == [{"a": 3, "b": 2}]
        assert sql.exec(query).raw().to_array() == [(1, 2, 3)]
        assert sql.exec(query).column_names == ["a", "b", "a"]


@pytest.mark.parametrize("name", ["a b", "'", '"', "{x}", "\\", "\n", "%s", "row", "value_0", "1", "ä", "__import__"])
def test_any_name_of_a_column_is_just_a_name(sql: SQL, name: str) -> None:
    quoted = name.replace('"', '""')
    for _ in range(3):
        assert sql.exec(f'SELECT 1 AS "{quoted}"').to_array() == [{name: 1}]
        assert sql.exec(f'SELECT 1 AS "{quoted}"').one() == {name: 1}
        assert list(sql.exec(f'SELECT 1 AS "{quoted}"')) == [{name: 1}]


def test_one_needs_exactly_one_row(sql: SQL, count: int) -> None:
    assert sql.exec("SELECT 1 AS a").one() == {"a": 1}
    with pytest.raises(SQLRowError, match="exactly one row, and the query gave none"):
        sql.exec("SELECT 1 WHERE 0").one()
    cursor = sql.exec(MANY, count)
    with pytest.raises(SQLRowError, match="exactly one row, and the query gave more than one"):
        cursor.one()
    with pytest.raises(InvalidStateError, match="found more than one row"):
        cursor.to_array()


def test_one_counts_from_the_present_position(sql: SQL, count: int) -> None:
    cursor = sql.exec(MANY, count)
    for _ in range(count - 1):
        next(cursor)
    assert cursor.one() == {"x": count, "y": count * 2}


def test_statements_without_rows_have_a_cursor_too(sql: SQL) -> None:
    cursor = sql.exec("CREATE TABLE t (x)")
    assert (cursor.column_names, cursor.to_array(), list(cursor), cursor.rows_read) == ([], [], [], 0)


def test_each_array_of_a_statement_without_rows_is_a_list_of_its_own(sql: SQL) -> None:
    for _ in range(2):
        rows = sql.exec("CREATE TABLE IF NOT EXISTS t (x)").raw().to_array()
        assert rows == []
        rows.append((1,))


def test_rows_of_a_statement_that_writes_were_read_at_once(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (x)")
    cursor = sql.exec(f"INSERT INTO t {MANY.replace(', x * 2 AS y', '')} RETURNING x", 50)
    sql.storage.begin_nested()  # would be refused while the statement is under way
    sql.exec("DELETE FROM t")
    sql.storage.commit_nested()
    assert [row["x"] for row in cursor] == list(range(1, 51))


# -- no snapshot -------------------------------------------------------------------------------------------------------


def test_counts_grow_while_rows_are_read(numbers: SQL) -> None:
    cursor = numbers.exec("SELECT * FROM n")
    assert cursor.rows_read == AHEAD
    for _ in range(20):
        next(cursor)
    assert 20 <= cursor.rows_read <= 21
    assert len(cursor.to_array()) == 80
    assert cursor.rows_read == 100


def test_what_is_read_later_is_as_it_is_then(numbers: SQL) -> None:
    rows = iter(numbers.exec("SELECT x, y FROM n ORDER BY x"))
    assert next(rows) == {"x": 1, "y": 2}
    numbers.exec("UPDATE n SET y = 0")
    assert [row["y"] for row in rows][-1] == 0


def test_the_same_text_runs_again_while_its_cursor_is_open(numbers: SQL) -> None:
    first = numbers.exec("SELECT x FROM n ORDER BY x")
    next(first)
    second = numbers.exec("SELECT x FROM n ORDER BY x")
    assert [next(first)["x"], next(second)["x"], next(first)["x"]] == [2, 1, 3]
    assert len(first.to_array()) == 97
    assert len(second.to_array()) == 99


def test_a_table_is_locked_while_a_cursor_is_open(numbers: SQL) -> None:
    cursor = numbers.exec("SELECT * FROM n")
    next(cursor)
    with pytest.raises(SQLError, match="locked: SQLITE_LOCKED; a cursor is still open") as caught:
        numbers.exec("DROP TABLE n")
    assert caught.value.code_name == "SQLITE_LOCKED"
    cursor.to_array()
    numbers.exec("DROP TABLE n")


def test_a_cursor_that_nobody_holds_locks_nothing(numbers: SQL) -> None:
    for query in ("SELECT * FROM n", "SELECT * FROM n", "SELECT * FROM n"):
        next(numbers.exec(query))
    gc.collect()
    numbers.exec("DROP TABLE n")


def test_scans_that_nobody_reads_to_the_end_are_counted(numbers: SQL) -> None:
    for _ in range(3):
        numbers.exec("SELECT * FROM n WHERE y > 0")
    gc.collect()
    assert numbers.storage.rows_read == 3 * AHEAD
    guard = numbers.storage.open_guard
    assert guard is not None
    assert guard._scanning == 0


# -- the end of the turn -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [0, 3, 50])
def test_a_cursor_ends_with_its_turn_and_says_so(numbers: SQL, count: int, read: int) -> None:
    cursor = numbers.exec("SELECT * FROM n LIMIT ?", count)
    for _ in range(min(read, count - 1)):
        next(cursor)
    raw, rows = cursor.raw(), iter(cursor)
    numbers.storage.commit(ignore)
    ways: list[Any] = [cursor.to_array, cursor.one, raw.to_array]
    ways += [lambda: next(cursor), lambda: next(raw), lambda: next(rows), lambda: list(cursor)]
    for ask in ways:
        with pytest.raises(
            InvalidStateError, match=r"the turn in which it was made is over; read them before the next"
        ):
            ask()
    assert cursor.column_names == ["x", "y"]
    assert cursor.rows_read >= min(read, count - 1)


def test_one_that_gave_its_last_row_before_has_simply_none_left(numbers: SQL, count: int) -> None:
    cursor = numbers.exec("SELECT * FROM n LIMIT ?", count)
    cursor.to_array()
    numbers.storage.commit(ignore)
    assert cursor.to_array() == []
    assert (list(cursor), cursor.rows_read) == ([], count)


def test_the_rows_of_a_write_end_with_the_turn_too(numbers: SQL) -> None:
    cursor = numbers.exec("UPDATE n SET y = 1 RETURNING x")
    numbers.storage.commit(ignore)
    with pytest.raises(InvalidStateError, match="turn in which it was made is over"):
        cursor.to_array()


def test_a_cursor_of_one_turn_is_over_in_the_next_also_when_that_has_cursors(numbers: SQL) -> None:
    cursor = numbers.exec("SELECT * FROM n")
    numbers.storage.commit(ignore)
    other = numbers.exec("SELECT * FROM n")
    with pytest.raises(InvalidStateError):
        next(cursor)
    assert next(other)["x"] == 1


def test_the_end_of_a_life_ends_its_cursors(numbers: SQL) -> None:
    cursor: Cursor[dict[str, Any]] = numbers.exec("SELECT * FROM n")
    numbers.storage.close()
    with pytest.raises(InvalidStateError):
        next(cursor)


def test_a_cursor_shows_its_statement(sql: SQL) -> None:
    assert repr(sql.exec("SELECT 1")) == "<Cursor of 'SELECT 1'>"
