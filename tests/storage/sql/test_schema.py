"""What the tables look like, for counting."""

from __future__ import annotations

import apsw
import pytest

from roost.storage.sql.schema import Schema, Touched

ROWS = Touched(rows=True)


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection("")
    connection.execute(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b, c);
        CREATE INDEX tb ON t (b);
        CREATE INDEX tbc ON t (b, c) WHERE c > 0;
        CREATE INDEX te ON t (lower(c));
        CREATE TABLE r (k PRIMARY KEY, v) WITHOUT ROWID;
        CREATE INDEX rv ON r (v);
        CREATE TABLE p (k PRIMARY KEY);
        CREATE TABLE f (p REFERENCES P ON DELETE CASCADE);
        CREATE TABLE g (x);
        CREATE TRIGGER gg AFTER INSERT ON g BEGIN SELECT 1; END;
        CREATE VIRTUAL TABLE v USING fts5(x);
        """
    )
    return connection


@pytest.mark.parametrize(
    ("table", "touched", "weight"),
    [
        ("t", ROWS, 5),
        ("t", Touched(columns={"id"}), 2),  # that of the expression may depend on anything
        ("t", Touched(columns={"a"}), 3),
        ("t", Touched(columns={"b"}), 4),
        ("t", Touched(columns={"c"}), 3),
        ("r", ROWS, 2),
        ("r", Touched(columns={"k"}), 1),
        ("p", ROWS, None),
        ("f", ROWS, 1),
        ("g", ROWS, None),
        ("v", ROWS, None),
        ("sqlite_sequence", ROWS, 1),
    ],
)
def test_rows_written_for_each_row_that_changes(
    connection: apsw.Connection, table: str, touched: Touched, weight: int | None
) -> None:
    assert Schema(connection).weight(table, touched) == weight


def test_what_was_learnt_holds_until_it_is_forgotten(connection: apsw.Connection) -> None:
    schema = Schema(connection)
    assert schema.weight("f", ROWS) == 1
    connection.execute("CREATE INDEX fp ON f (p); CREATE TRIGGER ff AFTER INSERT ON r BEGIN SELECT 1; END")
    assert schema.weight("f", ROWS) == 1
    schema.forget()
    assert (schema.weight("f", ROWS), schema.weight("r", ROWS)) == (2, None)


def test_tables_are_those_with_rows_of_their_own(connection: apsw.Connection) -> None:
    tables = Schema(connection).tables()
    assert {"t", "r", "p", "v_data"} <= set(tables)
    assert "v" not in tables
