"""Transactions inside a turn, as savepoints."""

from __future__ import annotations

import apsw
import pytest

from roost.storage.savepoints import Before, Savepoints

CLEAN = Before(wrote=False, confirmed=False)


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection("")
    connection.execute("CREATE TABLE t (x); BEGIN")
    return connection


def values(connection: apsw.Connection) -> list[int]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def is_waiting(nested: Savepoints) -> bool:
    return nested.waiting


def test_one_begins_in_the_database_with_its_first_write(connection: apsw.Connection) -> None:
    nested = Savepoints()
    nested.open(CLEAN)
    assert (nested.depth, is_waiting(nested)) == (1, True)
    assert nested.pop() == CLEAN
    nested.release(connection)  # nothing had begun: there is no savepoint that could be released
    assert not is_waiting(nested)


def test_what_is_rolled_back_is_that_of_the_innermost(connection: apsw.Connection) -> None:
    nested = Savepoints()
    for value in (1, 2):
        nested.open(CLEAN)
        nested.begin(connection)
        connection.execute("INSERT INTO t VALUES (?)", (value,))
    nested.pop()
    nested.roll_back(connection)
    assert values(connection) == [1]
    nested.pop()
    nested.release(connection)
    connection.execute("COMMIT")
    assert values(connection) == [1]


def test_all_that_are_open_begin_together(connection: apsw.Connection) -> None:
    nested = Savepoints()
    nested.open(CLEAN)
    nested.open(Before(wrote=True, confirmed=True))
    nested.begin(connection)
    assert not is_waiting(nested)
    connection.execute("INSERT INTO t VALUES (1)")
    assert nested.pop() == Before(wrote=True, confirmed=True)
    nested.release(connection)
    nested.pop()
    nested.roll_back(connection)
    assert values(connection) == []


def test_the_end_of_the_turn_ends_them_in_the_database_only(connection: apsw.Connection) -> None:
    nested = Savepoints()
    nested.open(CLEAN)
    nested.begin(connection)
    connection.execute("ROLLBACK")
    nested.end_turn()
    assert (nested.depth, is_waiting(nested)) == (1, True)
    nested.clear()
    assert (nested.depth, is_waiting(nested)) == (0, False)
