"""From text to a plan."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import apsw
import pytest

from roost.errors import SQLForbiddenError
from roost.limits import Limits
from roost.storage.database import Database
from roost.storage.sql.guard import Guard
from roost.storage.sql.plan import Plan
from roost.storage.sql.sql import SQL


@pytest.fixture
def guard(sql: SQL) -> Guard:
    sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, x, y); CREATE INDEX tx ON t (x)")
    database: Database = sql.storage.database()
    assert database.guard is not None
    return database.guard


def plan(guard: Guard, query: str) -> Plan:
    found = guard.plan(query)
    assert found is not None
    return found


def test_a_plan_has_the_shape_of_its_statement(guard: Guard) -> None:
    found = plan(guard, "SELECT id, x AS a FROM t WHERE y = ?2 AND x = :name")
    assert (found.columns, found.count, found.names) == (("id", "a"), 3, (None, "2", "name"))
    assert (found.writes, found.reads, found.touched) == (False, True, {})


@pytest.mark.parametrize(
    ("query", "text", "rest"),
    [
        ("SELECT 1", "SELECT 1", ""),
        ("SELECT 1;", "SELECT 1;", ""),
        ("SELECT 1; -- end", "SELECT 1;", ""),
        ("SELECT ';'; SELECT 2; SELECT 3", "SELECT ';';", "SELECT 2; SELECT 3"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3", "CREATE TRIGGER", "SELECT 3"),
    ],
)
def test_the_first_statement_ends_where_sqlite_says(guard: Guard, query: str, text: str, rest: str) -> None:
    found = plan(guard, query)
    assert found.text.strip().startswith(text)
    assert found.rest.strip() == rest


def test_a_text_is_judged_once_before_it_runs(guard: Guard, sql: SQL, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    decide = guard._authorizer.decide

    def ask(*question: Any) -> int:
        asked.append(question)
        return decide(*question)

    monkeypatch.setattr(guard._authorizer, "decide", ask)
    assert sql.exec("SELECT x FROM t WHERE id = 7").to_array() == []
    assert len(asked) == len(set(asked)) == 3  # SELECT, and two columns
    sql.exec("CREATE TABLE other (z)")
    asked.clear()
    assert sql.exec("SELECT x FROM t WHERE id = 7").to_array() == []
    assert set(asked) >= {(apsw.SQLITE_READ, "t", "x", "main"), (apsw.SQLITE_READ, "t", "id", "main")}


def test_what_was_compiled_under_another_schema_is_judged_anew(guard: Guard) -> None:
    query = "SELECT * FROM t"
    assert plan(guard, query).columns == ("id", "x", "y")
    guard.connection.execute("ALTER TABLE t ADD COLUMN z; CREATE TRIGGER g AFTER UPDATE ON t BEGIN DELETE FROM t; END")
    assert plan(guard, query).columns == ("id", "x", "y", "z")
    assert plan(guard, query).reads


def test_what_a_plan_touches_does_not_grow_with_what_is_compiled_later(guard: Guard) -> None:
    read, write = plan(guard, "SELECT x FROM t"), plan(guard, "DELETE FROM t")
    guard._authorizer.decide(apsw.SQLITE_INSERT, "later", None, "main")
    assert (read.touched, set(write.touched)) == ({}, {"t"})
    write = plan(guard, "UPDATE t SET x = 1")
    read = plan(guard, "SELECT y FROM t")
    guard._authorizer.decide(apsw.SQLITE_UPDATE, "t", "y", "main")
    assert (read.touched, write.touched["t"].columns) == ({}, {"x"})


def test_compiling_does_not_run(guard: Guard) -> None:
    plan(guard, "INSERT INTO t VALUES (1, 2, 3)")
    plan(guard, "DROP TABLE t")
    assert guard.connection.execute("SELECT count(*) FROM t").get == 0


@pytest.mark.parametrize(
    ("query", "plain", "weight"),
    [
        ("INSERT INTO t VALUES (1, 2, 3)", True, 2),
        ("UPDATE t SET y = 1 WHERE id = 1", False, 1),
        ("SELECT 1", True, None),
        ("CREATE TABLE u (x)", False, None),
        ("PRAGMA user_version", False, None),
    ],
)
def test_what_needs_no_care_is_plain(guard: Guard, query: str, plain: bool, weight: int | None) -> None:
    found = plan(guard, query)
    assert (found.plain, found.weight) == (plain, weight)


@pytest.mark.parametrize(
    ("query", "scans"),
    [
        ("SELECT * FROM t WHERE id = 1", False),
        ("SELECT * FROM t WHERE x = 1", False),
        ("SELECT * FROM t WHERE y = 1", True),
        ("DELETE FROM t WHERE id = 1", False),
        ("UPDATE t SET y = 1 WHERE y = 2", True),
    ],
)
def test_whether_it_scans_is_found_out_when_it_runs_again(guard: Guard, query: str, scans: bool) -> None:
    found = plan(guard, query)
    assert found.scans
    guard.examine(found)
    assert (found.scans, found.plain) == (scans, not scans)


@pytest.mark.parametrize("query", ["VACUUM", " /* a */ vacuum", ";;VACUUM INTO 'x'", "--\nVACUUM", "EXPLAIN/**/VACUUM"])
def test_vacuum_is_found_behind_any_comment(guard: Guard, query: str) -> None:
    with pytest.raises(SQLForbiddenError, match="VACUUM is not allowed"):
        guard.plan(query)


def test_vacuum_as_a_name_is_only_a_name(guard: Guard) -> None:
    assert plan(guard, "SELECT 1 AS vacuum").columns == ("vacuum",)


def test_texts_made_to_be_slow_to_look_at_are_not(guard: Guard) -> None:
    started = time.process_time()
    for query in ("/**/" * 20_000 + "x", "--\n" * 30_000 + "y", ";" * 90_000 + "/*", "/*" * 40_000, " " * 99_990 + "z"):
        with contextlib.suppress(apsw.SQLError):  # a syntax error, most of them
            guard.plan(query)
    assert time.process_time() - started < 20  # it would be years


def test_the_length_of_a_text_is_bounded_before_it_is_looked_at(sql: SQL) -> None:
    assert Limits().sql_bytes_max == 100_000
    with pytest.raises(ValueError, match="a query may have 100000 bytes, this one has 100001"):
        sql.exec(" " * 100_001)


def test_a_plan_does_not_learn_of_the_statements_after_it(sql: SQL, guard: Guard) -> None:
    query = "SELECT x FROM t WHERE id = ?"
    sql.exec(query, 1)
    sql.exec("INSERT INTO t VALUES (1, 2, 3)")
    kept = guard.plans.get(query)
    assert kept is not None
    assert (kept.touched, kept.writes) == ({}, False)
