"""Statements made to do harm, and at random: none reaches what is hidden, escapes, or leaves a transaction open."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.errors import RoostError, StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore

SECRET = b"the secret that nobody may see"
SPACE = IdSpace("ROOM", "secret")
WORDS = """
    SELECT INSERT INTO UPDATE DELETE FROM WHERE VALUES SET CREATE TABLE VIEW INDEX TRIGGER VIRTUAL USING DROP ALTER
    RENAME TO ADD COLUMN TEMP TEMPORARY IF NOT EXISTS AS ON BEGIN END COMMIT ROLLBACK SAVEPOINT RELEASE ATTACH
    DETACH DATABASE VACUUM PRAGMA EXPLAIN QUERY PLAN ANALYZE REINDEX WITH RECURSIVE UNION ALL JOIN ORDER BY LIMIT
    RETURNING OR REPLACE ABORT FAIL IGNORE CONFLICT DO REFERENCES FOREIGN KEY PRIMARY UNIQUE DEFAULT CASCADE AFTER
    BEFORE EACH ROW WITHOUT ROWID INDEXED COLLATE MATCH LIKE IN IS NULL CASE WHEN THEN ELSE CAST RAISE OVER
    PARTITION
"""
NAMES = """
    _roost_kv _ROOST_KV "_roost_kv" [_Roost_meta] `_roost_kv` main._roost_kv temp.t t u x key value _roost_new _roost
    sqlite_master sqlite_schema sqlite_sequence sqlite_stat1 sqlite_temp_master dbstat pragma_table_info json_each
    main temp f f_data fts5 fts4 rtree dbstat content='_roost_kv' rowid new.x old.x f.rank
"""
VALUES = (
    "1 -1 0 NULL 'a' x'00' ? :a 9223372036854775807 1e999 zeroblob(99999999) randomblob(10) '_roost_kv' /tmp/escape"
)
CALLS = """
    count(*) load_extension('x') writefile('a','b') readfile('/etc/passwd') sqlite_version() fts3_tokenizer('a')
    printf('%.*c',999999999,'x') hex(zeroblob(9999999)) group_concat(value) last_insert_rowid() rtreecheck('t')
    writable_schema=ON journal_mode=DELETE foreign_keys=OFF user_version=7 table_info(t) highlight(f,0,'a','b')
"""
SIGNS = "( ) ( ) , , ; ; = * . + || -- /* */ < > '' \" \n"
TOKENS = st.sampled_from([*WORDS.split(), *NAMES.split(), *VALUES.split(), *CALLS.split(), *SIGNS.split(" ")])

SHAPES = [
    "SELECT {e} FROM {n} WHERE {e}",
    "INSERT INTO {n} VALUES ({e}, {e})",
    "INSERT OR ROLLBACK INTO {n} SELECT {e}, {e} FROM {n}",
    "UPDATE {n} SET {c} = {e} WHERE {e}",
    "DELETE FROM {n} WHERE {e}",
    "CREATE TABLE {n} AS SELECT {e} FROM {n}",
    "CREATE TABLE {n} (a REFERENCES {n} ({c}) ON DELETE CASCADE)",
    "CREATE VIEW {n} AS SELECT {e} FROM {n}; SELECT * FROM {n}",
    "CREATE TRIGGER g AFTER INSERT ON {n} BEGIN DELETE FROM {n}; INSERT INTO {n} VALUES ({e}, {e}); END",
    "CREATE VIRTUAL TABLE {n} USING {m}(a, content={n}); INSERT INTO {n}({n}) VALUES ('rebuild'); SELECT * FROM {n}",
    "ALTER TABLE {n} RENAME TO {n}",
    "ALTER TABLE {n} ADD COLUMN z DEFAULT {e} REFERENCES {n}",
    "DROP TABLE IF EXISTS {n}",
    "PRAGMA {p} = {e}",
    "PRAGMA {p}({n})",
    "WITH RECURSIVE r(a) AS (SELECT {e} UNION ALL SELECT a FROM r, {n} LIMIT 5) SELECT * FROM r",
    "INSERT INTO {n} VALUES ({e}, {e}) RETURNING (SELECT {c} FROM {n})",
    "INSERT INTO {n} VALUES ({e}, {e}) ON CONFLICT DO UPDATE SET {c} = (SELECT {c} FROM {n})",
]
PARTS = {
    "n": st.sampled_from(
        ["t", "u", "_roost_kv", "_ROOST_meta", '"_roost_kv"', "f", "_roost", "_roost_x", "sqlite_master", "temp.t"]
    ),
    "c": st.sampled_from(["x", "key", "value", "rowid", "name", "sql"]),
    "e": st.sampled_from(
        [
            "1",
            "x",
            "value",
            "'_roost_kv'",
            "(SELECT value FROM _roost_kv)",
            "(SELECT count(*) FROM _roost_kv)",
            "zeroblob(5000000)",
            "EXISTS (SELECT 1 FROM u)",
            "load_extension('x')",
            "RAISE(ROLLBACK, 'x')",
        ]
    ),
    "m": st.sampled_from(["fts5", "fts4", "rtree", "fts5vocab", "dbstat"]),
    "p": st.sampled_from(
        [
            "writable_schema",
            "journal_mode",
            "foreign_keys",
            "recursive_triggers",
            "user_version",
            "table_info",
            "optimize",
        ]
    ),
}


def ignore(error: StorageError | None) -> None:
    assert error is None


class Target:
    """An object with a secret, whose hidden tables are looked at from beneath."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = MemoryLog()
        limits = Limits(sql_seconds_max=0.5, sql_memory_bytes_max=32 * 1024 * 1024)
        self.limits = limits
        self.store = HostStore(directory, log=self.log, limits=limits)
        self.open()
        self.sql.storage.put("secret", SECRET)
        self.sql.exec("CREATE TABLE t (x, y); CREATE TABLE u (x, y); CREATE VIRTUAL TABLE f USING fts5(x, y)")
        self.sql.exec("INSERT INTO t VALUES (1, 2); INSERT INTO u VALUES (1, 2); INSERT INTO f VALUES ('a', 'b')")
        self.commit()
        self.before = self.hidden()

    def open(self) -> None:
        self.sql = SQL(self.store.open(SPACE.from_name("lobby")), self.limits)

    def commit(self) -> None:
        if self.sql.storage.dirty:
            self.sql.storage.commit(ignore)
        self.sql.storage.cursors.end("the turn is over")
        for append in self.log.pending():
            append.succeed()

    def hidden(self) -> list[object]:
        connection = self.sql.storage.database().connection
        run = connection.execute
        return [
            run("SELECT * FROM _roost_kv").fetchall(),
            [row for row in run("SELECT * FROM _roost_meta ORDER BY key") if row[0] != "commit"],
            run("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE lower(name) GLOB '_roost_*'").fetchall(),
            [row[:3] for row in run("SELECT * FROM pragma_database_list") if row[1] == "main"],
            run("SELECT count(*) FROM sqlite_temp_master").get,
            [connection.pragma(name) for name in ("journal_mode", "locking_mode", "writable_schema", "query_only")],
            connection.pragma("application_id"),
            sorted(path.name for path in self.directory.iterdir()),
        ]

    def attack(self, query: str) -> None:
        """Run it as a user would, read what it gives, end the turn, and look what became of it."""
        with contextlib.suppress(RoostError):  # any other error is a failure of the test
            for row in self.sql.exec(query).raw():
                assert SECRET not in row, query
        storage = self.sql.storage
        if storage.failure is not None:
            assert isinstance(storage.failure, StorageError)
            storage.close()
            self.open()
            storage = self.sql.storage
        assert storage.database().connection.in_transaction == storage.uncommitted, query
        try:
            self.commit()
        except StorageError:  # a deferred constraint: the turn never was
            storage.close()
            self.open()
        assert self.sql.storage.get("secret") == SECRET, query
        assert not self.sql.storage.database().connection.in_transaction, query
        assert self.hidden() == self.before, query

    def close(self) -> None:
        self.sql.storage.close()
        self.store.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    target = Target(tmp_path / "data")
    yield target
    target.close()


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@FUZZ
@given(queries=st.lists(st.lists(TOKENS, min_size=1, max_size=25).map(" ".join), min_size=1, max_size=5))
def test_no_words_in_any_order_do_harm(queries: list[str]) -> None:
    played(queries)


def filled(shape: str) -> st.SearchStrategy[str]:
    holes = shape.count("{")
    return st.tuples(*(PARTS[part[0]] for part in shape.split("{")[1:])).map(
        lambda parts: "".join(a + b for a, b in zip(pieces(shape), [*parts, ""], strict=True)) if holes else shape
    )


def pieces(shape: str) -> list[str]:
    first, *others = shape.split("{")
    return [first, *(other[2:] for other in others)]


@FUZZ
@given(queries=st.lists(st.sampled_from(SHAPES).flatmap(filled), min_size=1, max_size=8))
def test_no_statements_that_make_sense_do_harm_either(queries: list[str]) -> None:
    played(queries)


def played(queries: list[str]) -> None:
    base = Path(tempfile.mkdtemp(prefix="roost-hostile-"))
    target = Target(base / "data")
    try:
        for query in queries:
            target.attack(query)
    finally:
        target.close()
        shutil.rmtree(base)


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(a.x) FROM n a, n b, n c",
        "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, zeroblob(1000) FROM n",
        "SELECT count(*) FROM t a, t b, t c, t d, json_each(printf('[%.*c1]', 200000, '0')) e",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "-" * 99_000 + "1",
        "SELECT " + "1," * 40_000 + "1",
        "SELECT CASE" + " WHEN 1 THEN 1" * 7000 + " END",
        "INSERT INTO t VALUES " + ",".join(["(1, 2)"] * 15_000),
        "CREATE TABLE w (" + ",".join(f"c{n}" for n in range(20_000)) + ")",
        "SELECT * FROM " + ",".join(["t"] * 65),
        "SELECT json_extract('" + "[" * 45_000 + "', '$')",
        "SELECT x FROM t WHERE x LIKE '" + "%_" * 40_000 + "'",
        "SELECT replace(printf('%.*c', 4000000, 'a'), 'a', printf('%.*c', 4000000, 'b'))",
        "SELECT instr(a, a || 'b') FROM (SELECT printf('%.*c', 2000000, 'a') AS a)",
        "SELECT replace(a, a || 'b', '') FROM (SELECT printf('%.*c', 2000000, 'a') AS a)",
        "SELECT trim(printf('%.*c', 2000000, 'b'), printf('%.*c', 2000000, 'a') || 'b')",
        "SELECT hex(hex(hex(hex(zeroblob(1000000)))))",
        "SELECT quote(zeroblob(4000000))",
        "SELECT group_concat(printf('%.*c', 1000000, 'x')) FROM json_each('[1,2,3,4,5,6,7,8,9]')",
        "SELECT f FROM f WHERE f MATCH '" + "a OR " * 15_000 + "a'",
        "SELECT f FROM f WHERE f MATCH '" + "NEAR(" * 20_000 + "'",
        "INSERT INTO f(f, rank) VALUES ('pgsz', 1); INSERT INTO f(f) VALUES ('delete-all'); SELECT * FROM f",
        "INSERT INTO f(f, rank) VALUES ('rank', 'load_extension(1)'); SELECT * FROM f('a') ORDER BY rank",
        "PRAGMA foreign_keys(0); PRAGMA writable_schema(1); DELETE FROM sqlite_master",
        "PRAGMA main.writable_schema = 1",
        "PRAGMA table_info(t'); DROP TABLE t; --)",
        "PRAGMA table_info('t''); DROP TABLE _roost_kv; --')",
        "SELECT * FROM pragma_table_info('_roost_kv')",
        "SELECT * FROM pragma_writable_schema",
        "EXPLAIN QUERY PLAN SELECT * FROM _roost_kv",
        "CREATE TABLE a (b GENERATED ALWAYS AS ((SELECT value FROM _roost_kv)))",
        "CREATE TABLE a (b DEFAULT (load_extension('x')))",
        "CREATE INDEX i ON t (load_extension(x))",
        "CREATE TABLE a (b CHECK (sqlite_version() > 0)); INSERT INTO a VALUES (1)",
        "CREATE VIRTUAL TABLE v USING fts5vocab('_roost_kv', 'row'); SELECT * FROM v",
        "CREATE VIRTUAL TABLE v USING fts5(a, tokenize='/tmp/evil.so')",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'x'); END; INSERT INTO t VALUES (1, 2)",
        "CREATE TABLE d (a REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER g AFTER INSERT ON u BEGIN INSERT INTO t VALUES (1, 2); END; INSERT INTO u VALUES (1, 2)",
    ],
    ids=lambda query: query[:60],
)
def test_bombs_and_tricks_harm_nobody(target: Target, query: str) -> None:
    target.attack(query)
    target.attack("SELECT count(*) FROM sqlite_master")
