"""What statements of users may not do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from roost.errors import (
    InvalidStateError,
    SQLError,
    SQLForbiddenError,
    SQLTimeoutError,
    SQLTooLargeError,
    StorageError,
    StorageFullError,
    TurnRolledBackError,
)
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def ignore(error: StorageError | None) -> None:
    assert error is None


def schema(sql: SQL) -> list[tuple[object, ...]]:
    return sql.exec("SELECT type, name, sql FROM sqlite_master ORDER BY name").raw().to_array()


@pytest.fixture
def full(sql: SQL) -> SQL:
    """An object with a table of the user's, and with something in the hidden ones."""
    sql.storage.put("secret", b"hidden value")
    sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 2)")
    sql.storage.commit(ignore)
    return sql


# -- statements that are not allowed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["BEGIN", "begin immediate", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "/**/BEGIN"],
)
def test_transactions_are_for_the_methods_that_the_error_names(full: SQL, statement: str) -> None:
    with pytest.raises(SQLForbiddenError, match=r"transaction\(\) or ctx\.storage\.transaction_sync\(\)") as caught:
        full.exec(statement)
    assert caught.value.code_name == "SQLITE_AUTH"
    full.storage.put("a", b"1")
    with pytest.raises(SQLForbiddenError):
        full.exec(statement)
    full.storage.commit(ignore)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("ATTACH ':memory:' AS other", "others cannot be attached"),
        ("ATTACH 'x' AS other KEY 'y'", "others cannot be attached"),
        ("DETACH main", "others cannot be attached"),
        ("VACUUM", "VACUUM is not allowed"),
        ("vacuum main", "VACUUM is not allowed"),
        ("VACUUM INTO '/tmp/roost-test-escape.sqlite'", "VACUUM is not allowed"),
        ("-- a\n/* b */ ; VACUUM", "VACUUM is not allowed"),
        ("CREATE TEMP TABLE a (b)", "temporary"),
        ("CREATE TEMPORARY VIEW a AS SELECT 1", "temporary"),
        ("CREATE TABLE temp.a (b)", "temporary"),
        ("CREATE VIEW temp.a AS SELECT 1", "temporary"),
        ("CREATE INDEX temp.a ON t (x)", "TEMP index on non-TEMP table"),
        ("CREATE TEMP TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END", "temporary"),
        ("CREATE VIRTUAL TABLE temp.a USING fts5(b)", "temporary"),
        ("CREATE VIRTUAL TABLE a USING fts4(b)", "virtual tables of fts4 are not allowed, only those of fts5"),
        ("CREATE VIRTUAL TABLE a USING dbstat", "virtual tables of dbstat"),
        ("CREATE VIRTUAL TABLE a USING geopoly(b)", "virtual tables of geopoly"),
        ("CREATE VIRTUAL TABLE a USING csv(filename='/etc/passwd')", "virtual tables of csv"),
        ("SELECT * FROM dbstat", "the table dbstat cannot be read"),
        ("SELECT * FROM pragma_database_list", "the table pragma_database_list cannot be read"),
        ("SELECT * FROM pragma_function_list", "cannot be read"),
        ("SELECT load_extension('x')", r"the function load_extension\(\) is not allowed"),
        ("SELECT sqlite_version()", r"the function sqlite_version\(\) is not allowed"),
        ("SELECT fts3_tokenizer('simple')", r"fts3_tokenizer\(\) is not allowed"),
        ("SELECT writefile('a', 'b')", "no such function"),
    ],
)
def test_what_reaches_beyond_the_objects_own_tables_is_refused(full: SQL, statement: str, says: str) -> None:
    before = schema(full)
    with pytest.raises(SQLError, match=says):
        full.exec(statement)
    assert full.storage.failure is None
    assert schema(full) == before
    assert not Path("/tmp/roost-test-escape.sqlite").exists()


@pytest.mark.parametrize(
    "pragma",
    [
        "journal_mode = DELETE",
        "locking_mode = NORMAL",
        "synchronous = FULL",
        "writable_schema = ON",
        "wal_checkpoint(TRUNCATE)",
        "wal_autocheckpoint = 1",
        "max_page_count = 1",
        "page_size = 512",
        "application_id = 1",
        "schema_version = 1",
        "data_version = 1",
        "trusted_schema = ON",
        "cell_size_check = OFF",
        "mmap_size = 1000000",
        "temp_store = FILE",
        "temp_store_directory = '/tmp'",
        "cache_size = 1",
        "auto_vacuum = FULL",
        "incremental_vacuum(1)",
        "secure_delete = ON",
        "query_only = ON",
        "threads = 4",
        "hard_heap_limit = 1",
        "soft_heap_limit = 1",
        "busy_timeout = 1",
        "encoding = 'UTF-16'",
        "integrity_check",
        "database_list",
        "function_list",
        "module_list",
        "pragma_list",
        "compile_options",
        "foreign_keys = 2",
        "foreign_keys = 'maybe'",
        "foreign_keys('1; DROP TABLE t')",
        "MAIN.journal_mode",
        '"journal_mode" = DELETE',
        "table_info",
    ],
)
def test_pragmas_outside_of_the_list_are_refused_and_change_nothing(full: SQL, pragma: str) -> None:
    with pytest.raises(SQLError):
        full.exec(f"PRAGMA {pragma}")
    with pytest.raises(SQLError):
        full.exec(f"EXPLAIN PRAGMA {pragma}")
    connection = full.storage.database().connection
    assert [connection.pragma(name) for name in ("journal_mode", "locking_mode", "writable_schema", "query_only")] == [
        "wal",
        "exclusive",
        0,
        0,
    ]


@pytest.mark.parametrize(
    "pragma",
    [
        "table_list",
        "table_info(t)",
        "main.table_xinfo('t')",
        "data_version",
        "page_size",
        "foreign_keys",
        "case_sensitive_like = on",
        "defer_foreign_keys = 1",
        "ignore_check_constraints = OFF",
        "legacy_alter_table = no",
        "recursive_triggers = true",
        "reverse_unordered_selects(0)",
        "foreign_key_check",
        "foreign_key_check(t)",
        "foreign_key_list(t)",
        "index_list(t)",
        "quick_check",
        "quick_check(3)",
        "quick_check(t)",
        "optimize",
        "optimize(0x10002)",
        "user_version",
        "user_version = 3",
    ],
)
def test_pragmas_of_the_list_work(full: SQL, pragma: str) -> None:
    full.exec(f"PRAGMA {pragma}").to_array()
    if full.storage.dirty:
        full.storage.commit(ignore)


# -- what is roost's own -----------------------------------------------------------------------------------------------

READS = [
    "SELECT * FROM _roost_kv",
    'SELECT value FROM "_ROOST_KV"',
    "SELECT value FROM [_Roost_kv]",
    "SELECT value FROM `_roost_kv`",
    "SELECT value FROM main._roost_kv",
    "SELECT count(*) FROM _roost_kv",
    "SELECT 1 FROM _roost_meta",
    "SELECT x FROM t WHERE EXISTS (SELECT 1 FROM _roost_kv)",
    "SELECT (SELECT value FROM _roost_kv LIMIT 1)",
    "WITH a AS (SELECT * FROM _roost_kv) SELECT * FROM a",
    "VALUES ((SELECT value FROM _roost_kv))",
    "INSERT INTO t (x) SELECT value FROM _roost_kv",
    "UPDATE t SET x = (SELECT value FROM _roost_kv)",
    "UPDATE t SET x = k.value FROM _roost_kv k",
    "CREATE TABLE copied AS SELECT * FROM _roost_kv",
    "SELECT * FROM t JOIN _roost_kv",
    "SELECT x FROM t UNION SELECT value FROM _roost_kv",
    "EXPLAIN SELECT * FROM _roost_kv",
    "INSERT INTO t (x) VALUES (1) RETURNING (SELECT value FROM _roost_kv)",
]
WRITES = [
    "INSERT INTO _roost_kv VALUES ('a', x'00')",
    "REPLACE INTO _roost_meta VALUES ('commit', 0)",
    "UPDATE _roost_meta SET value = 0",
    "DELETE FROM _ROOST_KV",
    "DROP TABLE _roost_kv",
    "ALTER TABLE _roost_kv ADD COLUMN z",
    "ALTER TABLE _roost_kv RENAME TO mine",
    "CREATE INDEX mine ON _roost_kv (value)",
    "CREATE TRIGGER mine AFTER INSERT ON _roost_kv BEGIN SELECT 1; END",
    "CREATE TABLE _roost_alarms (name)",
    "CREATE TABLE _RoOsT_mine (a)",
    'CREATE TABLE "_roost_mine" (a)',
    "CREATE VIEW _roost_view AS SELECT 1",
    "CREATE INDEX _roost_index ON t (x)",
    "CREATE TRIGGER _roost_trigger AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE _roost_fts USING fts5(a)",
    "CREATE VIRTUAL TABLE _roost USING fts5(a)",  # its own tables would bear such names
    "CREATE VIRTUAL TABLE _roost USING rtree(id, a, b)",
    "ALTER TABLE t RENAME TO _roost_mine",
    "ALTER TABLE t RENAME TO _ROOST_MINE",
    "CREATE TABLE child (k REFERENCES _roost_kv (key))",
    "CREATE TABLE child (k, FOREIGN KEY (k) REFERENCES '_Roost_kv' (key) ON DELETE CASCADE)",
    "ALTER TABLE t ADD COLUMN k REFERENCES _roost_kv (key)",
    "CREATE VIRTUAL TABLE peek USING fts5(value, content=_roost_kv, content_rowid=key)",
    "CREATE VIRTUAL TABLE peek USING fts5(value, content='_ROOST_kv')",
    "CREATE VIEW peek AS SELECT * FROM _roost_kv",
    "CREATE TRIGGER peek AFTER INSERT ON t BEGIN INSERT INTO _roost_kv VALUES ('a', 'b'); END",
    "UPDATE sqlite_master SET name = '_roost_x' WHERE name = 't'",
    "DELETE FROM sqlite_master",
    "INSERT INTO sqlite_schema VALUES ('table', 'a', 'a', 0, 'CREATE TABLE a (b)')",
]


@pytest.mark.parametrize("statement", READS)
def test_hidden_tables_cannot_be_read(full: SQL, statement: str) -> None:
    with pytest.raises(SQLForbiddenError, match=r"_roost_|_ROOST_|_Roost_"):
        full.exec(statement)
    assert full.storage.failure is None


@pytest.mark.parametrize("statement", WRITES)
def test_hidden_names_cannot_be_written_made_or_reached_for(full: SQL, statement: str) -> None:
    before = schema(full)
    with pytest.raises(SQLError):
        full.exec(statement)
    assert full.storage.failure is None
    assert schema(full) == before
    assert full.storage.get("secret") == b"hidden value"
    full.storage.put("still", b"works")
    full.storage.commit(ignore)


def test_a_full_text_table_cannot_be_renamed_so_that_its_tables_are_hidden(full: SQL) -> None:
    full.exec("CREATE VIRTUAL TABLE note USING fts5(a); INSERT INTO note VALUES ('kept')")
    with pytest.raises(SQLForbiddenError, match="_roost_"):
        full.exec("ALTER TABLE note RENAME TO _roost")
    assert full.exec("SELECT a FROM note").one() == {"a": "kept"}


def test_a_view_that_an_import_brought_shows_nothing_hidden(full: SQL) -> None:
    connection = full.storage.database().connection
    full.storage.write(lambda _: connection.execute("CREATE VIEW peek AS SELECT value FROM _roost_kv"))
    full.storage.write(
        lambda _: connection.execute("CREATE TRIGGER tap AFTER INSERT ON t BEGIN DELETE FROM _roost_kv; END")
    )
    with pytest.raises(SQLForbiddenError, match="_roost_kv cannot be read"):
        full.exec("SELECT * FROM peek")
    with pytest.raises(SQLForbiddenError, match="_roost_kv cannot be"):
        full.exec("INSERT INTO t (x) VALUES (1)")
    full.exec("CREATE TABLE other (a)")  # what was there before does not forbid anything else
    assert full.storage.get("secret") == b"hidden value"


def test_a_table_of_documents_that_an_import_brought_is_not_read_for_full_text(full: SQL) -> None:
    """FTS5 compiles a statement of its own when it first needs a row, however late that is."""
    connection = full.storage.database().connection
    full.storage.write(
        lambda _: connection.execute(
            "CREATE VIRTUAL TABLE peek USING fts5(value, content='_roost_kv', content_rowid='key')"
        )
    )
    full.storage.write(lambda _: connection.execute("INSERT INTO peek(rowid, value) VALUES (1, 'word'), (2, 'word')"))
    with pytest.raises(SQLError):
        full.exec("SELECT CASE WHEN rowid > 1 THEN value END FROM peek('word')").to_array()
    with pytest.raises(SQLError):
        full.exec("INSERT INTO peek(peek) VALUES ('rebuild')")


def test_the_schema_shows_that_hidden_tables_are_there(full: SQL) -> None:
    names = {row["name"] for row in full.exec("SELECT name FROM sqlite_master")}
    assert {"_roost_kv", "_roost_meta", "t"} <= names
    assert {row["name"] for row in full.exec("PRAGMA table_list")} >= {"_roost_kv", "t"}


def test_a_users_text_never_finds_the_compiled_form_of_roosts_own(full: SQL) -> None:
    full.storage.get("secret")
    with pytest.raises(SQLForbiddenError):
        full.exec("SELECT value FROM _roost_kv WHERE key = ?", "secret")
    full.storage.put("other", b"1")
    for own in (
        "INSERT INTO _roost_kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        "SELECT key, value FROM _roost_meta",
    ):
        with pytest.raises(SQLForbiddenError):
            full.exec(own, *(["a", b"b"] if "?" in own else []))
    for own in ("COMMIT", "BEGIN IMMEDIATE"):
        with pytest.raises(SQLForbiddenError):
            full.exec(own)
    full.storage.commit(ignore)
    with pytest.raises(SQLForbiddenError):
        full.exec("BEGIN IMMEDIATE")


def test_a_users_statement_is_judged_again_when_the_schema_changed(full: SQL) -> None:
    query = "SELECT * FROM v"
    full.exec("CREATE VIEW v AS SELECT x FROM t")
    assert full.exec(query).one() == {"x": 2}
    connection = full.storage.database().connection
    full.storage.write(lambda _: connection.execute("DROP VIEW v"))
    full.storage.write(lambda _: connection.execute("CREATE VIEW v AS SELECT value AS x FROM _roost_kv"))
    with pytest.raises(SQLForbiddenError):
        full.exec(query)


def test_the_tables_of_a_full_text_index_may_be_read_and_not_written(full: SQL) -> None:
    full.exec("CREATE VIRTUAL TABLE note USING fts5(a); INSERT INTO note VALUES ('x')")
    assert full.exec("SELECT count(*) AS n FROM note_data").one()["n"] > 0
    for statement in ("DELETE FROM note_data", "INSERT INTO note_content VALUES (5, 'y')", "DROP TABLE note_idx"):
        with pytest.raises(SQLError, match="may not be"):
            full.exec(statement)


def test_what_an_index_is_made_of_is_mended_not_the_objects_failure(full: SQL) -> None:
    full.exec("CREATE TABLE doc (a); CREATE VIRTUAL TABLE note USING fts5(a, content=doc)")
    full.exec("INSERT INTO note(rowid, a) VALUES (1, 'not in doc')")
    with pytest.raises(SQLError, match="SQLITE_CORRUPT_VTAB"):
        full.exec("INSERT INTO note(note, rank) VALUES ('integrity-check', 1)")
    assert full.storage.failure is None
    full.exec("INSERT INTO note(note) VALUES ('rebuild')")


# -- time and memory ---------------------------------------------------------------------------------------------------


class Ticking:
    """A clock on which each look takes a second."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


@pytest.fixture
def ticking(store: HostStore, room: ObjectId) -> SQL:
    sql = SQL(store.open(room), monotonic=Ticking())
    sql.exec("CREATE TABLE t (x)")
    sql.storage.commit(ignore)
    return sql


def test_a_query_that_takes_too_long_is_interrupted_and_the_object_goes_on(ticking: SQL) -> None:
    ticking.storage.put("a", b"1")
    with pytest.raises(SQLTimeoutError, match="it took longer than 5 seconds") as caught:
        ticking.exec(ENDLESS)
    assert caught.value.code_name == "SQLITE_INTERRUPT"
    assert ticking.exec("SELECT 1 AS one").one() == {"one": 1}
    ticking.storage.commit(ignore)
    assert ticking.storage.get("a") == b"1"


def test_reading_on_may_take_the_same_time_again_for_each_step(ticking: SQL) -> None:
    numbers = ticking.exec(ENDLESS.replace("count(*)", "x"))
    assert [next(numbers)["x"] for _ in range(2000)] == list(range(1, 2001))
    slow = ticking.exec(ENDLESS.replace("count(*)", "x") + " WHERE x % 100000 < 20")
    with pytest.raises(SQLTimeoutError):
        slow.to_array()
    with pytest.raises(InvalidStateError, match="reading failed"):
        slow.to_array()


def test_a_write_that_takes_too_long_rolls_the_turn_back(ticking: SQL, store: HostStore, log: MemoryLog) -> None:
    log.pending()[0].succeed()
    ticking.storage.put("a", b"1")
    with pytest.raises(TurnRolledBackError, match="it took longer than 5 seconds"):
        ticking.exec(f"INSERT INTO t {ENDLESS.replace('count(*)', 'x')}")
    with pytest.raises(TurnRolledBackError):
        ticking.storage.get("a")
    ticking.storage.close()
    again = SQL(store.open(ticking.storage.object_id))
    assert again.exec("SELECT count(*) AS n FROM t").one() == {"n": 0}
    assert again.storage.get("a") is None


def test_another_object_notices_nothing(ticking: SQL, store: HostStore, space: IdSpace) -> None:
    other = SQL(store.open(space.from_name("other")))
    other.exec("CREATE TABLE t (x)")
    other.exec("INSERT INTO t VALUES (1), (2)")
    rows = iter(other.exec("SELECT x FROM t"))
    assert next(rows) == {"x": 1}
    with pytest.raises(SQLTimeoutError):
        ticking.exec(ENDLESS)
    assert next(rows) == {"x": 2}
    other.storage.commit(ignore)


def test_roosts_own_statements_are_never_interrupted(ticking: SQL) -> None:
    for number in range(200):
        ticking.storage.put(f"{number}", b"x" * 100)
    assert ticking.storage.database().guard is not None
    ticking.storage.delete_all()
    assert ticking.storage.get("1") is None


def test_the_time_is_a_setting(store: HostStore, room: ObjectId) -> None:
    clock = Ticking()
    sql = SQL(store.open(room), Limits(sql_seconds_max=100), clock)
    with pytest.raises(SQLTimeoutError, match="100 seconds"):
        sql.exec(ENDLESS)
    assert 100 < clock.looks < 110


def test_real_time_is_what_counts(store: HostStore, room: ObjectId) -> None:
    sql = SQL(store.open(room), Limits(sql_seconds_max=0.05))
    started = time.monotonic()
    with pytest.raises(SQLTimeoutError):
        sql.exec(ENDLESS)
    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize(
    "query",
    [
        """
        SELECT x FROM (
            WITH RECURSIVE n(i, x) AS (SELECT 1, randomblob(1000000) UNION ALL SELECT i + 1, randomblob(1000000) FROM n)
            SELECT * FROM n
        ) ORDER BY x
        """,
        """
        WITH RECURSIVE n(x) AS (SELECT hex(randomblob(100000)) UNION SELECT hex(randomblob(100000)) FROM n)
        SELECT count(*) FROM n
        """,
    ],
)
def test_a_query_that_needs_too_much_memory_is_interrupted(store: HostStore, room: ObjectId, query: str) -> None:
    sql = SQL(store.open(room), Limits(sql_memory_bytes_max=32 * 1024 * 1024, sql_seconds_max=60))
    before = apsw.memory_used()
    with pytest.raises(SQLTooLargeError, match="33554432 bytes"):
        sql.exec(query)
    assert apsw.memory_used() - before < 8 * 1024 * 1024
    assert sql.exec("SELECT 1 AS one").one() == {"one": 1}


def test_a_result_that_is_too_large_for_memory_can_still_be_iterated(store: HostStore, room: ObjectId) -> None:
    sql = SQL(store.open(room), Limits(sql_result_bytes_max=1_000_000))
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT zeroblob(10000) AS b FROM n"
    )
    for read in (lambda: sql.exec(many).to_array(), lambda: sql.exec(many).raw().to_array()):
        with pytest.raises(SQLTooLargeError, match="1000000 bytes of memory at once; iterate"):
            read()
    assert sum(len(row["b"]) for row in sql.exec(many)) == 5_000_000


# -- the connection ----------------------------------------------------------------------------------------------------


def test_the_defences_of_sqlite_are_up(full: SQL) -> None:
    connection = full.storage.database().connection
    assert connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1) == 1
    assert connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1) == 0
    assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1) == 0
    assert connection.limit(apsw.SQLITE_LIMIT_ATTACHED) == 0


def test_they_are_up_again_after_everything_was_deleted(full: SQL) -> None:
    full.storage.delete_all()
    assert full.storage.database().connection.limit(apsw.SQLITE_LIMIT_ATTACHED) == 0
    for statement in ("SELECT * FROM _roost_kv", "ATTACH ':memory:' AS a"):
        with pytest.raises(SQLForbiddenError):
            full.exec(statement)


def test_a_connection_that_had_to_be_made_anew_is_guarded_too(
    make_store: Callable[..., HostStore], log: MemoryLog, room: ObjectId
) -> None:
    store = make_store(log=log)
    sql = SQL(store.open(room))
    sql.exec("CREATE TABLE t (x)")
    sql.storage.commit(ignore)
    log.pending()[0].succeed()
    sql.exec("INSERT INTO t VALUES (1)")
    sql.storage.commit(lambda error: None)
    log.pending()[0].fail(StorageFullError("no space left"))  # undone: the connection is another afterwards
    again = SQL(store.open(room))
    with pytest.raises(SQLForbiddenError):
        again.exec("SELECT * FROM _roost_kv")
    assert again.exec("SELECT count(*) AS n FROM t").one() == {"n": 0}
