"""Write-ahead logs in memory: SQLite finds in them what it wrote, and the disk never sees them."""

from __future__ import annotations

import os
import random
from pathlib import Path

import apsw
import pytest

from roost.storage import memory_wal
from roost.storage.memory_wal import Wal


def opened(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), vfs=memory_wal.NAME)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    for setting in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    connection.wal_autocheckpoint(0)
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "object.sqlite"


def test_commits_are_read_back_and_no_file_is_made(path: Path) -> None:
    memory_wal.begin(str(path))
    connection = opened(path)
    connection.execute("CREATE TABLE t (a, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, os.urandom(500)) for n in range(200)])
    assert connection.execute("SELECT count(*), sum(a) FROM t").get == (200, 19900)
    assert connection.pragma("integrity_check") == "ok"
    assert [entry.name for entry in path.parent.iterdir()] == ["object.sqlite"]
    connection.close()
    memory_wal.end(str(path))


def test_a_checkpoint_brings_everything_into_the_file(path: Path) -> None:
    wal = memory_wal.begin(str(path))
    connection = opened(path)
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
    assert wal.xFileSize() > 0
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert wal.xFileSize() == 0
    connection.execute("INSERT INTO t VALUES (3)")
    connection.close()
    memory_wal.end(str(path))
    plain = apsw.Connection(str(path))
    assert plain.execute("SELECT count(*) FROM t").get == 2
    plain.close()


def test_what_was_cut_off_never_was_after_opening_again(path: Path) -> None:
    wal = memory_wal.begin(str(path))
    connection = opened(path)
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    kept = len(wal.pages)
    connection.execute("INSERT INTO t VALUES (2)")
    connection.close()
    wal.cut(kept)
    connection = opened(path)
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    connection.close()
    memory_wal.end(str(path))


def test_transactions_that_spill_and_roll_back_leave_it_whole(path: Path) -> None:
    memory_wal.begin(str(path))
    connection = opened(path)
    connection.execute("PRAGMA cache_size=10; CREATE TABLE t (a INTEGER PRIMARY KEY, b)").fetchall()
    chance = random.Random(5)
    model: dict[int, bytes] = {}
    for turn in range(30):
        connection.execute("BEGIN")
        changes = {chance.randrange(300): chance.randbytes(chance.randrange(3000)) for _ in range(60)}
        for item in changes.items():
            connection.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", item)
        if turn % 3 == 0:
            connection.execute("ROLLBACK")
        else:
            connection.execute("COMMIT")
            model |= changes
        if turn % 7 == 0:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    assert dict(connection.execute("SELECT a, b FROM t")) == model
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    memory_wal.end(str(path))


def image_of(path: Path, *statements: str) -> bytes:
    plain = apsw.Connection(str(path))
    for statement in ("PRAGMA page_size=4096", "PRAGMA journal_mode=WAL", *statements):
        plain.execute(statement).fetchall()
    plain.close()
    image = path.read_bytes()
    path.unlink()
    return image


def test_a_new_database_needs_no_file_before_its_log_is_emptied(path: Path) -> None:
    image = image_of(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    path.with_name(path.name + "-journal").write_bytes(b"of somebody else")
    wal = memory_wal.begin(str(path), image)
    connection = opened(path)
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    connection.execute("INSERT INTO t VALUES (2)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]
    assert connection.pragma("integrity_check") == "ok"
    assert not path.exists()
    path.write_bytes(image)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    wal.image = None
    connection.execute("INSERT INTO t VALUES (3)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,), (3,)]
    connection.close()
    memory_wal.end(str(path))
    plain = apsw.Connection(str(path))
    assert plain.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]
    plain.close()


def test_any_range_reads_as_of_a_file() -> None:
    wal, file = Wal(), bytearray()
    for offset, data in [(0, os.urandom(32))] + [
        piece
        for frame in range(4)
        for piece in ((32 + frame * 4120, os.urandom(24)), (32 + frame * 4120 + 24, os.urandom(4096)))
    ]:
        wal.xWrite(data, offset)
        file += data
    assert wal.xFileSize() == len(file)
    chance = random.Random(1)
    for _ in range(300):
        start, size = chance.randrange(len(file) + 10), chance.randrange(9000)
        assert wal.xRead(size, start) == bytes(file[start : start + size])
    wal.xTruncate(32 + 2 * 4120)
    assert wal.xRead(1 << 20, 0) == bytes(file[: 32 + 2 * 4120])
    wal.xTruncate(0)
    assert (wal.xFileSize(), wal.xRead(100, 0)) == (0, b"")
