"""What SQLite may compile for a user."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from roost.storage.sql.authorizer import Authorizer
from roost.storage.sql.schema import Touched


@pytest.fixture
def authorizer() -> Authorizer:
    return Authorizer()


@pytest.mark.parametrize(
    ("action", "first", "second", "database"),
    [
        (apsw.SQLITE_SELECT, None, None, None),
        (apsw.SQLITE_READ, "t", "x", "main"),
        (apsw.SQLITE_READ, "sqlite_master", "name", "main"),
        (apsw.SQLITE_FUNCTION, None, "ABS", None),
        (apsw.SQLITE_INSERT, "t", None, "main"),
        (apsw.SQLITE_UPDATE, "sqlite_temp_master", "sql", "temp"),  # ALTER TABLE looks through it
        (apsw.SQLITE_CREATE_TABLE, "t", None, "main"),
        (apsw.SQLITE_CREATE_VTABLE, "t", "FTS5", "main"),
        (apsw.SQLITE_DROP_TRIGGER, "t", "x", "main"),
        (apsw.SQLITE_ALTER_TABLE, "main", "t", None),
        (apsw.SQLITE_ANALYZE, "t", None, "main"),
        (apsw.SQLITE_REINDEX, "i", None, "main"),
        (apsw.SQLITE_RECURSIVE, None, None, None),
        (apsw.SQLITE_PRAGMA, "TABLE_INFO", "t", None),
    ],
)
def test_what_is_listed_is_allowed(authorizer: Authorizer, action: int, first: Any, second: Any, database: Any) -> None:
    assert authorizer.decide(action, first, second, database) == apsw.SQLITE_OK
    assert authorizer.reason is None


@pytest.mark.parametrize(
    ("action", "first", "second", "database", "says"),
    [
        (apsw.SQLITE_READ, "_Roost_kv", "key", "main", "the table _Roost_kv cannot be read"),
        (apsw.SQLITE_UPDATE, "_roost_kv", "key", "main", "the table _roost_kv cannot be changed"),
        (apsw.SQLITE_INSERT, "sqlite_temp_master", None, "temp", "temporary"),
        (apsw.SQLITE_CREATE_TEMP_VIEW, "v", None, "temp", "temporary"),
        (apsw.SQLITE_DROP_TEMP_TABLE, "v", None, "temp", "temporary"),
        (apsw.SQLITE_CREATE_INDEX, "i", "_roost_kv", "main", "_roost_kv: names that begin with _roost_"),
        (apsw.SQLITE_CREATE_VTABLE, "t", "dbstat", "main", "virtual tables of dbstat"),
        (apsw.SQLITE_ALTER_TABLE, "main", "_roost_kv", None, "_roost_kv: names"),
        (apsw.SQLITE_ALTER_TABLE, "temp", "t", None, "temporary"),
        (apsw.SQLITE_ATTACH, "file", None, None, "one database"),
        (apsw.SQLITE_SAVEPOINT, "BEGIN", "x", None, "transaction_sync"),
        (apsw.SQLITE_PRAGMA, "journal_mode", "off", None, "PRAGMA journal_mode"),
        (apsw.SQLITE_FUNCTION, None, "load_extension", None, "load_extension"),
        (999, "a", "b", "main", "not allowed"),
    ],
)
def test_anything_else_is_refused_with_a_reason(
    authorizer: Authorizer, action: int, first: Any, second: Any, database: Any, says: str
) -> None:
    assert authorizer.decide(action, first, second, database) == apsw.SQLITE_DENY
    assert says in (authorizer.reason or "")


def test_statistics_of_hidden_tables_are_left_out_without_an_error(authorizer: Authorizer) -> None:
    assert authorizer.decide(apsw.SQLITE_ANALYZE, "_roost_kv", None, "main") == apsw.SQLITE_IGNORE
    assert authorizer.reason is None


def test_what_was_asked_about_is_remembered(authorizer: Authorizer) -> None:
    authorizer.decide(apsw.SQLITE_READ, "t", "x", "main")
    authorizer.decide(apsw.SQLITE_UPDATE, "t", "x", "main")
    authorizer.decide(apsw.SQLITE_DELETE, "u", None, "main")
    authorizer.decide(apsw.SQLITE_PRAGMA, "foreign_keys", "ON", None)
    seen = authorizer.seen
    assert (seen.reads, seen.changes_schema, seen.pragma) == (True, False, ("foreign_keys", "ON"))
    assert seen.touched == {"t": Touched(columns={"x"}), "u": Touched(rows=True)}


def test_a_table_that_may_be_read_is_remembered_and_one_that_may_not_never_is(authorizer: Authorizer) -> None:
    for number in range(3000):
        assert authorizer.decide(apsw.SQLITE_READ, f"t{number}", "x", "main") == apsw.SQLITE_OK
    for _ in range(2):
        assert authorizer.decide(apsw.SQLITE_READ, "_ROOST_kv", "x", "main") == apsw.SQLITE_DENY
        assert authorizer.decide(apsw.SQLITE_READ, "t1", "x", "main") == apsw.SQLITE_OK
    assert len(authorizer._readable) <= 1000
