"""What does SQL cost through `sql.exec`, beside bare apsw? Run `python benchmarks/storage_sql.py [DIRECTORY]`.

Both run the same statements on tables of the same form, in one process: each round runs one and then the other, and a
ratio is that of the two best rounds. What is told is time of the processor: neither waits for a disk. The directory
decides which disk is used; by default a temporary one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from roost.errors import StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore

SCHEMA = "CREATE TABLE stroke (id INTEGER PRIMARY KEY, room TEXT, x REAL, y REAL, color INTEGER)"
INDEX = "CREATE INDEX stroke_color ON stroke (color)"
INSERT = "INSERT INTO stroke (room, x, y, color) VALUES (?, ?, ?, ?)"
SELECT = "SELECT * FROM stroke WHERE id = ?"
RANGE = "SELECT * FROM stroke WHERE id > ? LIMIT 100"
NAMES = ("id", "room", "x", "y", "color")
ROWS = 10_000
ROUNDS = 7


class Stroke(msgspec.Struct):
    id: int
    room: str
    x: float
    y: float
    color: int


class Times(NamedTuple):
    """Microseconds of one operation, at best."""

    bare: float
    roost: float

    @property
    def ratio(self) -> float:
        return self.roost / self.bare


class Bare:
    """apsw as one would use it by hand, set as roost sets it."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        for setting in ("journal_mode=WAL", "locking_mode=EXCLUSIVE", "synchronous=OFF"):
            self.connection.execute(f"PRAGMA {setting}").fetchall()
        self.connection.wal_autocheckpoint(0)
        self.connection.execute(SCHEMA)
        self.connection.execute(INDEX)
        self.execute = self.connection.execute


class Roost:
    """The storage of one object. Its log keeps records in memory and confirms them at once."""

    def __init__(self, directory: Path) -> None:
        self.log = MemoryLog()
        self.store = HostStore(directory, log=self.log, limits=Limits(checkpoint_bytes=1 << 40))
        self.storage: ObjectStorage = self.store.open(IdSpace("ROOM", "benchmark").from_name("a"))
        self.storage.cursors.on_first = lambda: None  # `commit` ends the turns
        self.sql = SQL(self.storage)
        self.exec = self.sql.exec
        self.exec(SCHEMA)
        self.exec(INDEX)
        self.commit()

    def commit(self) -> None:
        if self.storage.dirty:
            self.storage.commit(ignore)
        self.storage.cursors.end("the turn is over")
        for append in self.log.pending():
            append.succeed()


def ignore(error: StorageError | None) -> None:
    assert error is None


def compared(bare: Callable[[], object], roost: Callable[[], object], times: int) -> Times:
    """Both, in turn; each runs its operation so many times."""
    bests = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for at, run in enumerate((bare, roost)):
            start = time.thread_time()
            run()
            bests[at] = min(bests[at], (time.thread_time() - start) / times * 1e6)
    return Times(*bests)


def insert(bare: Bare, roost: Roost) -> Times:
    """Inserts inside one turn, as a loop over the items of a message does."""
    execute, run = bare.execute, roost.exec

    def by_hand() -> None:
        execute("BEGIN IMMEDIATE")
        for n in range(ROWS):
            execute(INSERT, ("lobby", n * 0.5, n * 0.25, n % 16))
        execute("COMMIT")

    def through_exec() -> None:
        for n in range(ROWS):
            run(INSERT, "lobby", n * 0.5, n * 0.25, n % 16)
        roost.commit()

    return compared(by_hand, through_exec, ROWS)


def turn(bare: Bare, roost: Roost) -> Times:
    """A turn with one insert, its commit included: roost's captures what it changed for the journal."""
    execute, run = bare.execute, roost.exec

    def by_hand() -> None:
        for n in range(ROWS // 10):
            execute("BEGIN IMMEDIATE")
            execute(INSERT, ("lobby", n * 0.5, n * 0.25, n % 16))
            execute("COMMIT")

    def through_exec() -> None:
        for n in range(ROWS // 10):
            run(INSERT, "lobby", n * 0.5, n * 0.25, n % 16)
            roost.commit()

    return compared(by_hand, through_exec, ROWS // 10)


def one(bare: Bare, roost: Roost, rows: Callable[[apsw.Cursor], Any], **options: Any) -> Times:
    """One row by its key, by hand and from `one()`."""
    execute, run = bare.execute, roost.exec

    def by_hand() -> None:
        for n in range(1, ROWS):
            rows(execute(SELECT, (n,)))

    def through_exec() -> None:
        for n in range(1, ROWS):
            run(SELECT, n, **options).one()

    return compared(by_hand, through_exec, ROWS)


def hundred(
    bare: Bare, roost: Roost, rows: Callable[[apsw.Cursor], Any], got: Callable[[Any], Any], **options: Any
) -> Times:
    """A hundred rows at once."""
    execute, run = bare.execute, roost.exec

    def by_hand() -> None:
        for n in range(ROWS // 50):
            assert len(rows(execute(RANGE, (n,)))) == 100

    def through_exec() -> None:
        for n in range(ROWS // 50):
            assert len(got(run(RANGE, n, **options))) == 100

    return compared(by_hand, through_exec, ROWS // 50)


def tuples(cursor: apsw.Cursor) -> list[tuple[Any, ...]]:
    return cursor.fetchall()


def dicts(cursor: apsw.Cursor) -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in cursor]


def strokes(cursor: apsw.Cursor) -> list[Stroke]:
    return [Stroke(*row) for row in cursor]


def first_time(bare: Bare, roost: Roost) -> Times:
    """A statement that was never seen: compiled, and by roost judged."""
    numbers = iter(range(1, 1 << 30))
    execute, run = bare.execute, roost.exec

    def by_hand() -> None:
        for _ in range(500):
            execute(f"SELECT x, {next(numbers)} FROM stroke WHERE id = 1").fetchall()

    def through_exec() -> None:
        for _ in range(500):
            run(f"SELECT x, {next(numbers)} FROM stroke WHERE id = 1").one()

    return compared(by_hand, through_exec, 500)


def main() -> None:
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    base = Path(tempfile.mkdtemp(prefix="roost-sql-", dir=given))
    try:
        bare, roost = Bare(base / "bare.sqlite"), Roost(base / "roost")
        print(f"apsw {apsw.apsw_version()}, Python {sys.version.split()[0]}; µs at best: bare apsw, roost, ratio")
        for what, found in (
            ("insert, in a turn of many", insert(bare, roost)),
            ("turn with one insert, commit included", turn(bare, roost)),
            ("select one row: a tuple by hand, a dict by roost", one(bare, roost, apsw.Cursor.fetchall)),
            ("select one row: a Struct, row_type=", one(bare, roost, strokes, row_type=Stroke)),
            ("select 100: tuples, raw().to_array()", hundred(bare, roost, tuples, lambda c: c.raw().to_array())),
            ("select 100: dicts, to_array()", hundred(bare, roost, dicts, lambda c: c.to_array())),
            ("select 100: tuples by hand, dicts by roost", hundred(bare, roost, tuples, lambda c: c.to_array())),
            ("select 100: dicts, iterated", hundred(bare, roost, dicts, list)),
            ("select 100: a Struct, row_type=", hundred(bare, roost, strokes, lambda c: c.to_array(), row_type=Stroke)),
            ("a statement seen for the first time", first_time(bare, roost)),
        ):
            print(f"  {what:<48} {found.bare:8.2f} {found.roost:8.2f} {found.ratio:6.2f}x")
        roost.store.close()
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
