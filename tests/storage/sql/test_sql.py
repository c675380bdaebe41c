"""`storage.sql.exec`, as users see it; what is forbidden stands in test_guard.py."""

from __future__ import annotations

import math
from typing import Any

import pytest

from roost.errors import (
    IntegerRangeError,
    InvalidArgumentError,
    InvalidStateError,
    LimitExceededError,
    SQLConstraintError,
    SQLError,
    SQLTooLargeError,
    StorageError,
    StorageFullError,
    TurnRolledBackError,
    WrongTypeError,
)
from roost.ids import ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.kv import KeyRange
from roost.storage.object_storage import ObjectStorage
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore

STROKES = "CREATE TABLE stroke (id INTEGER PRIMARY KEY, color TEXT, width REAL)"


def ignore(error: StorageError | None) -> None:
    assert error is None


def commit(sql: SQL) -> None:
    sql.storage.commit(ignore)


def durably(sql: SQL, log: MemoryLog) -> None:
    commit(sql)
    for append in log.pending():
        append.succeed()


def column(sql: SQL, query: str, *bindings: Any) -> list[Any]:
    return [value for (value,) in sql.exec(query, *bindings).raw()]


def is_dirty(sql: SQL) -> bool:
    return sql.storage.dirty


# -- statements --------------------------------------------------------------------------------------------------------


def test_a_write_takes_effect_at_the_call_also_when_nobody_reads_the_cursor(sql: SQL) -> None:
    sql.exec(STROKES)
    sql.exec("INSERT INTO stroke (color) VALUES ('red'), ('blue') RETURNING id")
    assert sql.exec("SELECT * FROM stroke ORDER BY id").to_array() == [
        {"id": 1, "color": "red", "width": None},
        {"id": 2, "color": "blue", "width": None},
    ]


def test_values_by_position_by_number_and_by_name(sql: SQL) -> None:
    assert sql.exec("SELECT ? AS a, ? AS b", 1, "x").one() == {"a": 1, "b": "x"}
    assert sql.exec("SELECT ?2 AS a, ?1 AS b", 1, 2).one() == {"a": 2, "b": 1}
    assert sql.exec("SELECT :a AS a, @b AS b, $c AS c", {"a": 1, "b": 2, "c": 3}).one() == {"a": 1, "b": 2, "c": 3}
    assert sql.exec("SELECT :a AS a, :b AS b", 1, 2).one() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("value", "comes_back"),
    [
        (None, None),
        (True, 1),
        (False, 0),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**53 + 1, 2**53 + 1),
        (0.1, 0.1),
        (math.inf, math.inf),
        ("ä\0ö", "ä\0ö"),
        ("", ""),
        (b"", b""),
        (bytearray(b"\0\xff"), b"\0\xff"),
        (memoryview(b"xyz"), b"xyz"),
        (math.nan, None),  # as SQLite has it
    ],
)
def test_values_go_in_and_come_out_exactly(sql: SQL, value: object, comes_back: object) -> None:
    (found,) = sql.exec("SELECT ?", value).raw().to_array()[0]
    assert (type(found), found) == (type(comes_back), comes_back)


def test_an_int_beyond_64_bits_is_refused_with_its_value(sql: SQL) -> None:
    for query, binding in (("SELECT ?", 2**63), ("SELECT :n", {"n": 2**63})):
        with pytest.raises(IntegerRangeError, match="9223372036854775808 does not fit"):
            sql.exec(query, binding)


def test_text_that_utf_8_cannot_hold_is_refused(sql: SQL) -> None:
    with pytest.raises(InvalidArgumentError, match="parameter 1 has a lone surrogate"):
        sql.exec("SELECT ?", "\ud800")
    for query in ("SELECT '\ud800'", "SELECT 1\0; SELECT 2"):
        with pytest.raises(InvalidArgumentError, match="no text that SQLite could read"):
            sql.exec(query)


def test_several_statements_run_and_the_last_has_the_values_and_the_cursor(sql: SQL) -> None:
    cursor = sql.exec(f"{STROKES}; INSERT INTO stroke (color) VALUES ('red'); SELECT * FROM stroke WHERE id = ?;", 1)
    assert cursor.one()["color"] == "red"
    sql.exec("SELECT * FROM stroke; INSERT INTO stroke (color) VALUES (?)", "blue")
    assert column(sql, "SELECT color FROM stroke ORDER BY id") == ["red", "blue"]


def test_a_parameter_in_an_earlier_statement_is_refused(sql: SQL) -> None:
    sql.exec(STROKES)
    with pytest.raises(InvalidArgumentError, match=r"the values belong to the last statement.*INSERT INTO stroke"):
        sql.exec("INSERT INTO stroke (color) VALUES (?); SELECT 1", "red")
    assert column(sql, "SELECT count(*) FROM stroke") == [0]


def test_a_statement_that_fails_leaves_those_before_it_done(sql: SQL) -> None:
    with pytest.raises(SQLError, match="no such table: absent"):
        sql.exec(f"{STROKES}; INSERT INTO stroke (color) VALUES ('red'); SELECT * FROM absent; DROP TABLE stroke")
    assert column(sql, "SELECT color FROM stroke") == ["red"]


@pytest.mark.parametrize("query", ["", "  \n", ";", " ;; ", "-- nothing", "/* nothing */", "/* open", "-- a\n;\n--b"])
def test_a_query_without_a_statement_is_an_error(sql: SQL, query: str) -> None:
    with pytest.raises(SQLError, match="did not contain a statement"):
        sql.exec(query)


@pytest.mark.parametrize("tail", [";", "; ", " -- that was it", "; /* that\nwas it */ ;", ";--\n;"])
def test_blanks_and_comments_after_the_last_statement_are_nothing(sql: SQL, tail: str) -> None:
    assert sql.exec(f"-- it\n;SELECT ? AS a{tail}", 7).one() == {"a": 7}


def test_a_query_must_be_text(sql: SQL) -> None:
    for wrong in (b"SELECT 1", None, ["SELECT 1"]):
        with pytest.raises(WrongTypeError, match="exec takes a query as str, got"):
            sql.exec(wrong)  # type: ignore[call-overload]


def test_errors_have_sqlites_text_and_its_name_for_the_reason(sql: SQL) -> None:
    with pytest.raises(SQLError, match=r'near "SELEC": syntax error: SQLITE_ERROR') as syntax:
        sql.exec("SELEC 1")
    assert syntax.value.code_name == "SQLITE_ERROR"
    with pytest.raises(InvalidArgumentError, match="has 1 parameters, and 2 values were given"):
        sql.exec("SELECT ?", 1, 2)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("INSERT INTO t VALUES (1, 'b', 1, NULL)", "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ("INSERT INTO t VALUES (2, 'a', 1, NULL)", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO t VALUES (2, NULL, 1, NULL)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO t VALUES (2, 'b', -1, NULL)", "SQLITE_CONSTRAINT_CHECK"),
        ("INSERT INTO t VALUES (2, 'b', 1, 99)", "SQLITE_CONSTRAINT_FOREIGNKEY"),
        ("DELETE FROM t", "SQLITE_CONSTRAINT_TRIGGER"),
    ],
)
def test_a_constraint_refuses_its_statement_and_nothing_else(sql: SQL, statement: str, name: str) -> None:
    sql.exec(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, n CHECK (n > 0), parent REFERENCES t (id));
        CREATE TRIGGER keep BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'kept'); END;
        INSERT INTO t VALUES (1, 'a', 1, NULL)
        """
    )
    sql.storage.put("before", b"1")
    with pytest.raises(SQLConstraintError, match=name) as caught:
        sql.exec(statement)
    assert caught.value.code_name == name
    assert sql.storage.failure is None
    commit(sql)
    assert sql.storage.get("before") == b"1"
    assert column(sql, "SELECT name FROM t") == ["a"]


# -- together with everything else that a turn writes ------------------------------------------------------------------


def test_writes_of_sql_and_of_keys_are_one_commit(sql: SQL, log: MemoryLog) -> None:
    sql.storage.put("a", b"1")
    sql.exec(STROKES)
    sql.exec("INSERT INTO stroke (color) VALUES ('red')")
    sql.storage.put("b", b"2")
    commit(sql)
    assert len(log.pending()) == 1


def test_reading_alone_makes_nothing_to_commit(sql: SQL, log: MemoryLog) -> None:
    sql.exec(STROKES)
    durably(sql, log)
    for query in ("SELECT * FROM stroke", "PRAGMA table_info(stroke)", "EXPLAIN DELETE FROM stroke"):
        sql.exec(query).to_array()
        assert not is_dirty(sql)


def test_an_object_that_only_reads_has_no_file_afterwards(sql: SQL, store: HostStore, room: ObjectId) -> None:
    assert column(sql, "SELECT 1") == [1]
    sql.storage.close()
    assert store.open_databases == 0
    assert store.open(room).get("a") is None


def test_rolling_back_takes_back_sql_keys_and_schema_alike(sql: SQL, log: MemoryLog) -> None:
    sql.exec(STROKES)
    durably(sql, log)

    def fails() -> None:
        sql.exec("INSERT INTO stroke (color) VALUES ('red')")
        sql.exec("ALTER TABLE stroke ADD COLUMN x")
        sql.exec("CREATE TABLE other (y)")
        sql.storage.put("key", b"1")
        assert sql.exec("SELECT * FROM stroke").column_names == ["id", "color", "width", "x"]
        raise KeyError("no")

    with pytest.raises(KeyError):
        sql.storage.transaction_sync(fails)
    assert sql.exec("SELECT * FROM stroke").column_names == ["id", "color", "width"]
    assert column(sql, "SELECT count(*) FROM stroke") == [0]
    assert sql.storage.select(KeyRange()) == []
    with pytest.raises(SQLError, match="no such table: other"):
        sql.exec("SELECT * FROM other")


def test_transactions_nest_around_statements(sql: SQL) -> None:
    sql.exec(STROKES)
    sql.storage.begin_nested()
    sql.exec("INSERT INTO stroke (color) VALUES ('outer')")
    sql.storage.begin_nested()
    sql.exec("INSERT INTO stroke (color) VALUES ('inner')")
    sql.storage.rollback_nested()
    sql.storage.begin_nested()
    sql.exec("UPDATE stroke SET width = 2")
    sql.storage.commit_nested()
    sql.storage.commit_nested()
    assert sql.exec("SELECT color, width FROM stroke").raw().to_array() == [("outer", 2.0)]


def test_a_transaction_is_rolled_back_while_its_cursor_is_open(sql: SQL, log: MemoryLog) -> None:
    sql.exec(STROKES)
    durably(sql, log)
    sql.storage.begin_nested()
    for number in range(50):
        sql.exec("INSERT INTO stroke (width) VALUES (?)", number)
    cursor = sql.exec("SELECT * FROM stroke")
    next(cursor)
    sql.storage.rollback_nested()
    with pytest.raises(InvalidStateError, match="rolled back"):
        cursor.to_array()
    assert column(sql, "SELECT count(*) FROM stroke") == [0]


def test_a_deferred_foreign_key_that_fails_at_the_commit_rolls_the_turn_back(sql: SQL, log: MemoryLog) -> None:
    sql.exec("CREATE TABLE p (x PRIMARY KEY); CREATE TABLE c (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    durably(sql, log)
    sql.exec("INSERT INTO c VALUES (1)")
    sql.exec("INSERT INTO p VALUES (1)")
    durably(sql, log)  # by then it was right
    sql.storage.put("a", b"1")
    sql.exec("INSERT INTO c VALUES (2)")
    with pytest.raises(TurnRolledBackError, match=r"rolled back to the last good state.*FOREIGN KEY"):
        commit(sql)
    with pytest.raises(TurnRolledBackError):
        sql.exec("SELECT 1")


def test_defer_foreign_keys_lets_a_table_be_rebuilt(sql: SQL) -> None:
    sql.exec("CREATE TABLE p (x PRIMARY KEY); CREATE TABLE c (x REFERENCES p); INSERT INTO p VALUES (1)")
    sql.exec("INSERT INTO c VALUES (1)")
    with pytest.raises(SQLConstraintError):
        sql.exec("DELETE FROM p")
    sql.exec("PRAGMA defer_foreign_keys = ON; DELETE FROM p; INSERT INTO p VALUES (1)")
    commit(sql)


def test_or_rollback_rolls_the_whole_turn_back_and_ends_the_life(sql: SQL, store: HostStore, log: MemoryLog) -> None:
    sql.exec("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1)")
    durably(sql, log)
    sql.storage.put("a", b"1")
    with pytest.raises(TurnRolledBackError, match="UNIQUE constraint failed"):
        sql.exec("INSERT OR ROLLBACK INTO t VALUES (1)")
    with pytest.raises(TurnRolledBackError, match="UNIQUE constraint failed"):
        sql.storage.get("a")
    object_id = sql.storage.object_id
    sql.storage.close()
    again = store.open(object_id)
    assert again.get("a") is None
    assert column(SQL(again), "SELECT x FROM t") == [1]


def test_delete_all_drops_tables_too_and_they_can_be_made_anew(sql: SQL, log: MemoryLog) -> None:
    sql.exec(f"{STROKES}; CREATE VIRTUAL TABLE found USING fts5(text); INSERT INTO found VALUES ('a')")
    durably(sql, log)
    size = sql.database_size
    sql.exec("INSERT INTO stroke (color) VALUES (?)", "x" * 100_000)
    sql.storage.delete_all()
    assert sql.database_size < size
    with pytest.raises(SQLError, match="no such table: stroke"):
        sql.exec("SELECT * FROM stroke")
    sql.exec("CREATE TABLE stroke (other)")
    durably(sql, log)
    assert sql.exec("SELECT * FROM stroke").column_names == ["other"]


def test_delete_all_is_taken_back_with_its_turn(sql: SQL, log: MemoryLog) -> None:
    sql.exec(f"{STROKES}; INSERT INTO stroke (color) VALUES ('red')")
    durably(sql, log)
    sql.storage.delete_all()
    sql.storage.rollback()
    assert column(sql, "SELECT color FROM stroke") == ["red"]
    sql.exec("INSERT INTO stroke (color) VALUES ('blue')")
    durably(sql, log)


def test_a_full_database_is_critical(make_store: Any, log: MemoryLog, room: ObjectId) -> None:
    small = make_store(log=log, limits=Limits(object_bytes_max=100_000))
    sql = SQL(small.open(room))
    sql.exec(STROKES)
    durably(sql, log)
    with pytest.raises(StorageFullError, match="it reached 100000 bytes"):
        sql.exec("INSERT INTO stroke (color) VALUES (?)", "x" * 200_000)
    with pytest.raises(StorageFullError):
        sql.exec("SELECT 1")
    sql.storage.close()
    again = SQL(small.open(room))
    again.exec("INSERT INTO stroke (color) VALUES ('fits')")
    durably(again, log)


# -- how much ----------------------------------------------------------------------------------------------------------


def test_the_size_is_that_of_the_pages_in_use(sql: SQL, log: MemoryLog) -> None:
    sql.exec(f"{STROKES}")
    durably(sql, log)
    before = sql.database_size
    assert before % 4096 == 0
    sql.exec("INSERT INTO stroke (color) VALUES (?)", "x" * 100_000)
    assert 90_000 < sql.database_size - before < 110_000
    sql.exec("DELETE FROM stroke")
    assert sql.database_size == before


def test_written_rows_count_entries_of_indexes(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b, c); CREATE INDEX tb ON t (b)")
    assert sql.exec("INSERT INTO t VALUES (1, 'x', 1, 1), (2, 'y', 2, 2)").rows_written == 2 * 3
    assert sql.exec("UPDATE t SET c = 3").rows_written == 2
    assert sql.exec("UPDATE t SET b = 3").rows_written == 2 * 2
    assert sql.exec("UPDATE t SET b = 4, a = id").rows_written == 2 * 3
    assert sql.exec("UPDATE t SET c = 3 WHERE id = 99").rows_written == 0
    assert sql.exec("DELETE FROM t").rows_written == 2 * 3
    assert sql.exec("SELECT * FROM t").rows_written == 0


def test_written_rows_count_those_of_triggers_and_cascades(sql: SQL) -> None:
    sql.exec(
        """
        CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (p REFERENCES p ON DELETE CASCADE);
        CREATE INDEX cp ON c (p);
        CREATE TABLE log (what);
        CREATE TRIGGER logged AFTER INSERT ON p BEGIN INSERT INTO log VALUES (new.id); END;
        """
    )
    assert sql.exec("INSERT INTO p VALUES (1), (2)").rows_written == 2 + 2
    assert sql.exec("INSERT INTO c VALUES (1), (1), (2)").rows_written == 3 * 2
    assert sql.exec("DELETE FROM p WHERE id = 1").rows_written == 1 + 2 * 2


def test_written_rows_of_a_full_text_index_are_those_of_its_tables(sql: SQL) -> None:
    sql.exec("CREATE VIRTUAL TABLE note USING fts5(text)")
    assert sql.exec("INSERT INTO note VALUES ('one two')").rows_written >= 2


def test_an_index_that_comes_later_is_counted_from_then_on(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (a)")
    assert sql.exec("INSERT INTO t VALUES (1)").rows_written == 1
    sql.exec("CREATE INDEX ta ON t (a)")
    assert sql.exec("INSERT INTO t VALUES (1)").rows_written == 2


def test_read_rows_are_those_that_scans_came_by(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t (a)")
    for number in range(100):
        sql.exec("INSERT INTO t (a, b) VALUES (?, ?)", number, number)
    for _ in range(3):  # the first time, the second, and with a plan that is known
        for query, rows, read in (
            ("SELECT * FROM t WHERE id = 5", 1, 1),
            ("SELECT * FROM t WHERE a BETWEEN 10 AND 19", 10, 10),
            ("SELECT * FROM t WHERE b = 7", 1, 100),
            ("SELECT * FROM t", 100, 100),
            ("SELECT 1", 1, 0),
        ):
            cursor = sql.exec(query)
            assert len(cursor.to_array()) == rows, query
            assert cursor.rows_read == read, query


def test_counts_of_the_life_grow_with_every_statement(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
    sql.exec("SELECT * FROM t").to_array()
    sql.exec("DELETE FROM t WHERE a = 3")
    assert (sql.storage.rows_written, sql.storage.rows_read) == (3 + 1, 3 + 3)


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT zeroblob(100000000)", "too big: SQLITE_TOOBIG"),
        ("SELECT randomblob(100000000)", "too big: SQLITE_TOOBIG"),
        ("SELECT printf('%.*c', 100000000, 'x')", "too big: SQLITE_TOOBIG"),
        ("SELECT replace(hex(zeroblob(100000)), '0', hex(zeroblob(1000)))", "too big: SQLITE_TOOBIG"),
        (f"CREATE TABLE wide ({', '.join(f'c{n}' for n in range(101))})", "too many columns"),
        (f"SELECT {', '.join('1' for _ in range(101))}", "too many columns"),
        (" UNION ALL ".join(["SELECT 1"] * 6), "too many terms in compound SELECT"),
        (f"SELECT {'+'.join(['1'] * 101)}", "Expression tree is too large"),
        (f"SELECT 'a' LIKE '{'_' * 51}'", "LIKE or GLOB pattern too complex"),
        (f"SELECT max({', '.join('1' for _ in range(128))})", "too many arguments"),
    ],
)
def test_what_is_above_a_limit_of_sqlite_is_refused(sql: SQL, query: str, says: str) -> None:
    with pytest.raises(SQLError, match=says):
        sql.exec(query)
    assert sql.storage.failure is None


def test_a_bound_value_has_a_limit_too(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (x)")
    sql.exec("INSERT INTO t VALUES (?)", b"x" * 4_000_000)
    with pytest.raises(SQLTooLargeError, match="SQLITE_TOOBIG"):
        sql.exec("INSERT INTO t VALUES (?)", b"x" * 5_000_000)


def test_a_stored_value_of_the_largest_size_still_fits(sql: SQL) -> None:
    sql.exec("SELECT 1")  # from here on the limits of SQL hold on the connection
    limits = Limits()
    sql.storage.put("k" * limits.key_bytes_max, b"x" * limits.value_bytes_max)
    assert len(sql.storage.get_many([str(number) for number in range(128)])) == 0


def test_the_text_and_the_parameters_of_a_statement_have_limits(sql: SQL) -> None:
    with pytest.raises(LimitExceededError, match="a query may have 100000 bytes, this one has 150009"):
        sql.exec(f"SELECT '{'ä' * 75_000}'")
    marks = ", ".join("?" * 101)
    with pytest.raises(LimitExceededError, match="may have 100 parameters, this one has 101"):
        sql.exec(f"SELECT 1 IN ({marks})", *range(101))
    with pytest.raises(LimitExceededError, match="may have 100 parameters, this one has 120"):
        sql.exec("SELECT ?120", *range(120))


def test_triggers_run_only_so_deep(sql: SQL) -> None:
    sql.exec("PRAGMA recursive_triggers = ON")
    sql.exec("CREATE TABLE t (n); CREATE TRIGGER again AFTER INSERT ON t BEGIN INSERT INTO t VALUES (new.n + 1); END")
    with pytest.raises(SQLError, match=r"triggers nested too deep|too many levels of trigger recursion"):
        sql.exec("INSERT INTO t VALUES (1)")
    assert column(sql, "SELECT count(*) FROM t") == [0]


def test_limits_are_settings(store: HostStore, room: ObjectId) -> None:
    sql = SQL(store.open(room), Limits(sql_columns_max=3, sql_variables_max=1))
    with pytest.raises(SQLError, match="too many columns"):
        sql.exec("SELECT 1, 2, 3, 4")
    with pytest.raises(LimitExceededError, match="may have 1 parameters"):
        sql.exec("SELECT ?, ?", 1, 2)


# -- what this SQLite offers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("json_extract('{\"a\": [1, 2]}', '$.a[1]')", 2),
        ("'{\"a\": 1}' ->> 'a'", 1),
        ("json(jsonb('[1,2]'))", "[1,2]"),
        ("(SELECT sum(value) FROM json_each('[1, 2, 3]'))", 6),
        ("round(sqrt(2) * pi(), 3)", 4.443),
        ("date('2026-11-24', '+1 day')", "2026-11-25"),
        ("(SELECT group_concat(x, '-') FROM (SELECT 1 AS x UNION SELECT 2))", "1-2"),
        ("(SELECT sum(x) OVER () FROM (SELECT 3 AS x))", 3),
        ("upper('a') || coalesce(NULL, 'b') || iif(1, 'c', 'd')", "Abc"),
    ],
)
def test_json_dates_mathematics_and_windows(sql: SQL, expression: str, value: object) -> None:
    assert column(sql, f"SELECT {expression}") == [value]


def test_full_text_search(sql: SQL) -> None:
    sql.exec("CREATE VIRTUAL TABLE note USING fts5(title, body, tokenize='porter unicode61')")
    sql.exec("INSERT INTO note VALUES (?, ?), (?, ?)", "Tea", "boiling water", "Coffee", "beans")
    found = sql.exec(
        "SELECT title, highlight(note, 1, '<', '>') AS body, bm25(note) AS rank, snippet(note, 1, '', '', '…', 5) AS s "
        "FROM note WHERE note MATCH ? ORDER BY rank",
        "boil",
    ).one()
    assert (found["title"], found["body"]) == ("Tea", "<boiling> water")
    sql.exec("CREATE VIRTUAL TABLE words USING fts5vocab(note, 'row')")
    assert "water" in column(sql, "SELECT term FROM words")
    sql.exec("UPDATE note SET body = 'cold' WHERE title = 'Tea'; INSERT INTO note(note) VALUES ('optimize')")
    sql.exec("DROP TABLE words; DROP TABLE note")


def test_r_trees(sql: SQL) -> None:
    sql.exec("CREATE VIRTUAL TABLE shape USING rtree(id, left, right, top, bottom)")
    sql.exec("INSERT INTO shape VALUES (1, 0, 10, 0, 10), (2, 20, 30, 20, 30)")
    assert column(sql, "SELECT id FROM shape WHERE left <= 5 AND right >= 5") == [1]
    assert column(sql, "SELECT rtreecheck('shape')") == ["ok"]


def test_alter_table_in_all_its_forms(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2); CREATE VIEW v AS SELECT a FROM t")
    sql.exec("ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN b TO c; ALTER TABLE u ADD COLUMN d DEFAULT 7")
    sql.exec("ALTER TABLE u DROP COLUMN c")
    assert sql.exec("SELECT * FROM u").one() == {"a": 1, "d": 7}
    assert column(sql, "SELECT a FROM v") == [1]


def test_analyze_optimize_and_reindex(sql: SQL) -> None:
    sql.exec("CREATE TABLE t (a); CREATE INDEX ta ON t (a); INSERT INTO t VALUES (1), (2)")
    sql.exec("ANALYZE; PRAGMA optimize; REINDEX")
    assert {row["tbl"] for row in sql.exec("SELECT tbl FROM sqlite_stat1")} == {"t"}


def test_user_version_belongs_to_the_app(sql: SQL, log: MemoryLog, store: HostStore) -> None:
    sql.exec("PRAGMA user_version = 7")
    durably(sql, log)
    sql.storage.close()
    again = SQL(store.open(sql.storage.object_id))
    assert again.exec("PRAGMA user_version").one() == {"user_version": 7}


# -- lives -------------------------------------------------------------------------------------------------------------


def test_settings_hold_for_one_life(sql: SQL, store: HostStore, log: MemoryLog) -> None:
    sql.exec("CREATE TABLE t (x)")
    durably(sql, log)
    sql.exec("PRAGMA foreign_keys = OFF; PRAGMA case_sensitive_like = ON; PRAGMA recursive_triggers = ON")
    assert sql.exec("PRAGMA foreign_keys").one() == {"foreign_keys": 0}
    assert column(sql, "SELECT 'A' LIKE 'a'") == [0]
    sql.storage.close()
    again = SQL(store.open(sql.storage.object_id))
    assert again.exec("PRAGMA foreign_keys").one() == {"foreign_keys": 1}
    assert column(again, "SELECT 'A' LIKE 'a'") == [1]


def test_what_sqlite_does_only_alone_is_done_beside_the_read_that_stays_open(sql: SQL, log: MemoryLog) -> None:
    sql.exec(f"{STROKES}; CREATE INDEX by_color ON stroke (color); CREATE VIRTUAL TABLE note USING fts5(text)")
    for statement in (
        "PRAGMA optimize",
        "PRAGMA quick_check",
        "ANALYZE",
        "REINDEX",
        "ALTER TABLE stroke DROP COLUMN width",
        "INSERT INTO note (note) VALUES ('rebuild')",
        "DROP INDEX by_color",
        "DROP TABLE note",
        "DROP TABLE stroke",
    ):
        assert column(sql, "SELECT count(*) FROM stroke") == [0]
        sql.storage.database()  # as at the next turn's first use
        sql.exec(statement)
        if is_dirty(sql):
            durably(sql, log)
    for setting, alike in (("ON", 0), ("OFF", 1)) * 2:  # where another statement is under way, it is silently not set
        sql.storage.database()
        sql.exec(f"PRAGMA case_sensitive_like = {setting}")
        assert column(sql, "SELECT 'A' LIKE 'a'") == [alike]


def test_settings_survive_that_the_file_is_closed_meanwhile(make_store: Any, space: Any, log: MemoryLog) -> None:
    store: HostStore = make_store(log=log, limits=Limits(open_databases_max=1))
    sql = SQL(store.open(space.from_name("lobby")))
    sql.exec("CREATE TABLE t (x)")
    durably(sql, log)
    sql.exec("PRAGMA foreign_keys = OFF; PRAGMA reverse_unordered_selects = ON")
    store.checkpoint()
    other = store.open(space.from_name("other"))
    other.put("a", b"1")
    assert store.open_databases == 1
    sql.storage.put("a", b"1")  # opens the file, and its transaction, before any SQL
    assert sql.exec("PRAGMA foreign_keys").one() == {"foreign_keys": 0}
    assert sql.exec("PRAGMA reverse_unordered_selects").one() == {"reverse_unordered_selects": 1}
    other.rollback()


def test_the_next_life_uses_the_plans_of_the_one_before(sql: SQL, store: HostStore, log: MemoryLog) -> None:
    sql.exec(f"{STROKES}")
    sql.exec("SELECT * FROM stroke")
    durably(sql, log)
    guard = sql.storage.open_guard
    sql.storage.close()
    again = SQL(store.open(sql.storage.object_id))
    assert again.exec("SELECT * FROM stroke").to_array() == []
    assert again.storage.open_guard is guard


def test_an_object_that_uses_no_sql_has_no_guard(store: HostStore, room: ObjectId) -> None:
    storage: ObjectStorage = store.open(room)
    storage.put("a", b"1")
    SQL(storage)
    assert storage.open_guard is None
