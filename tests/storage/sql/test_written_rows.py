"""Counting what is written, row by row."""

from __future__ import annotations

import apsw
import pytest

from roost.storage.sql.schema import Schema, Touched
from roost.storage.sql.written_rows import WrittenRows


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection("")
    connection.execute(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE INDEX ta ON t (a);
        CREATE TABLE w (k PRIMARY KEY) WITHOUT ROWID;
        CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO w VALUES (new.id); END;
        """
    )
    return connection


def count(connection: apsw.Connection, statement: str, **touched: Touched) -> int:
    with WrittenRows(connection, Schema(connection), touched) as written:
        connection.execute(statement)
    return written.count


def test_rows_of_triggers_and_entries_of_indexes_count(connection: apsw.Connection) -> None:
    both = {"t": Touched(rows=True), "w": Touched(rows=True)}
    assert count(connection, "INSERT INTO t (a) VALUES (1), (2)", **both) == 2 * 2 + 2
    assert count(connection, "DELETE FROM t", **both) == 2 * 2


def test_of_a_change_only_the_indexes_of_its_columns(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO t (a) VALUES (1)")
    assert count(connection, "UPDATE t SET a = 2", t=Touched(columns={"a"})) == 2
    assert count(connection, "UPDATE t SET id = id", t=Touched(columns={"id"})) == 1


def test_afterwards_nothing_is_counted_any_more(connection: apsw.Connection) -> None:
    with WrittenRows(connection, Schema(connection), {"t": Touched(rows=True)}) as written:
        connection.execute("INSERT INTO t (a) VALUES (1)")
    before = written.count
    connection.execute("INSERT INTO t (a) VALUES (1)")
    assert written.count == before


def test_no_table_nothing_counted(connection: apsw.Connection) -> None:
    assert count(connection, "INSERT INTO t (a) VALUES (1)") == 0
