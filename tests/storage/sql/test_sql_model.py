"""Random histories of SQL, keys and transactions against a plain sqlite3, crashes and reopening included."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roost.errors import SQLConstraintError, SQLError, StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.kv import KeyRange
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore

ROOM = IdSpace("ROOM", "secret").from_name("lobby")
LIMITS = Limits(checkpoint_bytes=40_000)
IDS = st.integers(1, 12)
TEXTS = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["a", "b", "x" * 3000]))
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans(), st.binary(max_size=9))
KEYS = st.sampled_from(["a", "b", "c", "ä", "\U0001f600"])

STATEMENTS = st.one_of(
    st.tuples(st.just("INSERT INTO t (id, name, n) VALUES (?, ?, ?)"), st.tuples(IDS, TEXTS, NUMBERS)),
    st.tuples(st.just("INSERT OR IGNORE INTO t (id, name) VALUES (?, ?)"), st.tuples(IDS, TEXTS)),
    st.tuples(st.just("REPLACE INTO t (id, name, n) VALUES (?, ?, ?)"), st.tuples(IDS, TEXTS, NUMBERS)),
    st.tuples(
        st.just("INSERT INTO t (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
        st.tuples(IDS, TEXTS),
    ),
    st.tuples(st.just("INSERT INTO t (name, n) SELECT NULL, n FROM t WHERE id > ? LIMIT 3"), st.tuples(IDS)),
    st.tuples(st.just("UPDATE t SET n = ? WHERE id >= ?"), st.tuples(NUMBERS, IDS)),
    st.tuples(st.just("UPDATE t SET id = id + 1 WHERE id = ?"), st.tuples(IDS)),
    st.tuples(st.just("DELETE FROM t WHERE id = ?"), st.tuples(IDS)),
    st.tuples(st.just("INSERT INTO child (t) VALUES (?)"), st.tuples(IDS)),
    st.tuples(st.just("DELETE FROM child WHERE id % 2 = ?"), st.tuples(st.integers(0, 1))),
    st.tuples(st.just("INSERT INTO note (text) VALUES (?)"), st.tuples(st.sampled_from(["one two", "two three"]))),
    st.tuples(st.just("DELETE FROM note WHERE rowid = ?"), st.tuples(IDS)),
    st.tuples(st.just("CREATE TABLE IF NOT EXISTS extra (x)"), st.just(())),
    st.tuples(st.just("INSERT INTO extra VALUES (?)"), st.tuples(NUMBERS)),
    st.tuples(st.just("ALTER TABLE extra ADD COLUMN y DEFAULT 7"), st.just(())),
    st.tuples(st.just("CREATE INDEX IF NOT EXISTS tn ON t (n)"), st.just(())),
    st.tuples(st.just("DROP INDEX IF EXISTS tn"), st.just(())),
    st.tuples(st.just("DROP TABLE IF EXISTS extra"), st.just(())),
)
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n, CHECK (name <> 'b' OR id < 9));
    CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t (id) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE log (what, id);
    CREATE TRIGGER gone AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('gone', old.id); END;
    CREATE VIRTUAL TABLE note USING fts5(text);
"""
QUERIES = [
    "SELECT * FROM t ORDER BY id",
    "SELECT id, n FROM t WHERE n > 0 ORDER BY n, id",
    "SELECT * FROM child ORDER BY id",
    "SELECT * FROM log ORDER BY rowid",
    "SELECT rowid, text FROM note WHERE note MATCH 'two' ORDER BY rowid",
    "SELECT * FROM extra ORDER BY rowid",
    "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_roost%' ESCAPE '\\' ORDER BY name",
]


def fresh_model() -> sqlite3.Connection:
    model = sqlite3.connect(":memory:", isolation_level=None)
    model.execute("PRAGMA foreign_keys = ON")
    model.execute("PRAGMA recursive_triggers = OFF")
    return model


class Histories(RuleBasedStateMachine):
    """The model has the keys in a table of its own, so that its transactions are those of everything."""

    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="roost-sql-model-"))
        self.log = MemoryLog()
        self.store = HostStore(self.base, log=self.log, limits=LIMITS)
        self.model = fresh_model()
        self.model.execute("CREATE TABLE hidden (key PRIMARY KEY, value)")
        self.depth = 0
        self.in_turn = False
        self.open()
        self.run(SCHEMA)
        self.commit()

    def open(self) -> None:
        self.sql = SQL(self.store.open(ROOM))
        self.sql.storage.cursors.on_first = lambda: None

    def touch(self) -> None:
        if not self.in_turn:
            self.model.execute("BEGIN")
            self.in_turn = True

    def run(self, query: str) -> None:
        self.sql.exec(query)
        self.model.executescript(query)

    @rule(statement=STATEMENTS)
    def statement(self, statement: tuple[str, tuple[Any, ...]]) -> None:
        query, values = statement
        self.touch()
        expected, changed = outcome(lambda: self.model.execute(query, values).rowcount)
        refused, written = outcome(lambda: self.sql.exec(query, *values).rows_written)
        assert (refused is None) == (expected is None), f"{query} {values}: {refused} and {expected}"
        assert isinstance(refused, SQLConstraintError) == isinstance(expected, sqlite3.IntegrityError)
        assert self.sql.storage.failure is None
        assert changed <= written or refused is not None

    @rule(key=KEYS, value=st.binary(max_size=20))
    def put(self, key: str, value: bytes) -> None:
        self.touch()
        self.sql.storage.put(key, value)
        self.model.execute("REPLACE INTO hidden VALUES (?, ?)", (key, value))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.touch()
        existed = self.model.execute("DELETE FROM hidden WHERE key = ?", (key,)).rowcount
        assert self.sql.storage.delete(key) == bool(existed)

    @precondition(lambda self: self.depth < 3)
    @rule()
    def begin_transaction(self) -> None:
        self.touch()
        self.model.execute(f"SAVEPOINT s{self.depth}")
        self.sql.storage.begin_nested()
        self.depth += 1

    @precondition(lambda self: self.depth)
    @rule(kept=st.booleans())
    def end_transaction(self, kept: bool) -> None:
        self.depth -= 1
        if kept:
            self.model.execute(f"RELEASE s{self.depth}")
            self.sql.storage.commit_nested()
        else:
            self.model.execute(f"ROLLBACK TO s{self.depth}")
            self.model.execute(f"RELEASE s{self.depth}")
            self.sql.storage.rollback_nested()

    @precondition(lambda self: not self.depth)
    @rule()
    def commit(self) -> None:
        if self.in_turn:
            self.model.execute("COMMIT")
            self.in_turn = False
        if self.sql.storage.dirty:
            self.sql.storage.commit(told)
        self.sql.storage.cursors.end("the turn is over")
        for append in self.log.pending():
            append.succeed()

    @rule()
    def roll_back(self) -> None:
        if self.in_turn:
            self.model.execute("ROLLBACK")
            self.in_turn = False
        self.depth = 0
        self.sql.storage.rollback()

    @precondition(lambda self: not self.depth)
    @rule()
    def delete_all(self) -> None:
        self.roll_back()
        self.sql.storage.delete_all()
        self.model.close()
        self.model = fresh_model()
        self.model.execute("CREATE TABLE hidden (key PRIMARY KEY, value)")
        self.touch()
        self.sql.exec(SCHEMA)
        for part in SCHEMA.split(";\n"):
            if part.strip():
                self.model.execute(part + (";" if "BEGIN" in part else ""))
        self.commit()

    @rule(reopened=st.booleans())
    def next_life(self, reopened: bool) -> None:
        self.roll_back()
        self.sql.storage.close()
        self.store.settle()
        if reopened:
            self.store.close()
            self.store = HostStore(self.base, log=self.log, limits=LIMITS)
        self.open()

    @invariant()
    def everything_is_the_same(self) -> None:
        if not hasattr(self, "sql"):
            return
        for query in QUERIES:
            try:
                expected = self.model.execute(query).fetchall()
            except sqlite3.OperationalError:
                continue  # there is no such table now
            if "sqlite_master" in query:
                expected = [row for row in expected if "hidden" not in row[0]]
            found = self.sql.exec(query).raw().to_array()
            assert [typed(row) for row in found] == [typed(row) for row in expected], query
        hidden = self.model.execute("SELECT key, value FROM hidden").fetchall()
        assert sorted(self.sql.storage.select(KeyRange())) == sorted(hidden)
        connection = self.sql.storage.database().connection
        assert connection.in_transaction == self.sql.storage.uncommitted or self.sql.storage.depth

    def teardown(self) -> None:
        self.sql.storage.close()
        self.store.close()
        self.model.close()
        shutil.rmtree(self.base)


def outcome(run: Callable[[], int]) -> tuple[Exception | None, int]:
    """The error, or the number of rows."""
    try:
        return None, run()
    except (sqlite3.Error, SQLError) as error:
        return error, 0


def typed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((type(value), value) for value in row)


def told(error: StorageError | None) -> None:
    assert error is None


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
