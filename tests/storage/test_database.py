"""One object's file: captured, undone, moved, reset."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from roost.storage import memory_wal
from roost.storage.alarms import alarms
from roost.storage.background.background_writer import BackgroundLostError
from roost.storage.database import Database, Images
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.sums import damaged_pages
from roost.storage.template import Template


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects" / "ROOM" / "ab" / "object.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path, Template(), 1000)
    yield database
    database.close()


def write(database: Database, *statements: str) -> tuple[Images, int]:
    database.begin()
    if not database.born:
        database.mark_born()
    for statement in statements:
        database.connection.execute(statement)
    images, size = database.commit()
    database.born = True
    return images, size


def put(database: Database, key: str, value: str = "v") -> tuple[Images, int]:
    return write(database, f"INSERT OR REPLACE INTO _roost_kv VALUES ('{key}', '{value}')")


def keys(database: Database) -> list[str]:
    return [str(key) for (key,) in database.connection.execute("SELECT key FROM _roost_kv ORDER BY key")]


def test_its_settings_are_what_the_engine_counts_on(database: Database) -> None:
    pragma = database.connection.pragma
    assert pragma("locking_mode") == "exclusive"
    assert pragma("synchronous") == 0
    assert pragma("foreign_keys") == 1
    assert pragma("temp_store") == 2
    assert pragma("max_page_count") == 1000
    assert pragma("wal_autocheckpoint") == 0
    assert pragma("page_size") == PAGE_BYTES
    assert not list(database.path.parent.glob("*-shm"))


def test_the_images_of_all_commits_make_the_file(database: Database, tmp_path: Path) -> None:
    pages: dict[int, bytes] = {}
    size = 0
    for number in range(60):
        images, size = put(database, f"key {number}", "x" * (number * 100))
        pages |= {page: bytes(image) for page, image in images.items()}
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(b"".join(pages.get(page, bytes(PAGE_BYTES)) for page in range(1, size + 1)))
    connection = apsw.Connection(str(copy))
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT count(*) FROM _roost_kv").get == 60
    connection.close()


def test_the_first_commit_carries_the_whole_template(database: Database) -> None:
    images, size = put(database, "a")
    assert sorted(images) == [1, 2, 3]
    assert size == 3
    assert sorted(put(database, "b")[0]) == [2]


def test_a_commit_that_changes_nothing_captures_nothing(database: Database) -> None:
    put(database, "a")
    assert write(database, "DELETE FROM _roost_kv WHERE key = 'missing'") == ({}, 0)


@pytest.mark.parametrize("after", ["DELETE FROM _roost_kv", "CREATE TABLE t (x)", None])
def test_undo_goes_back_to_an_earlier_commit(database: Database, after: str | None) -> None:
    put(database, "a")
    mark = database.mark
    if after is None:
        database.reset()
        database.commit()
    else:
        write(database, after)
        write(database, "INSERT INTO _roost_kv VALUES ('later', 1)")
    database.begin()
    database.connection.execute("INSERT INTO _roost_kv VALUES ('open', 1)")
    database.undo(mark)
    assert keys(database) == ["a"]
    assert database.born
    assert put(database, "b")[1] == 3
    assert keys(database) == ["a", "b"]


def test_undoing_everything_makes_it_unborn_again(database: Database) -> None:
    put(database, "a")
    database.undo(0)
    assert keys(database) == []
    assert not database.born


def test_a_checkpoint_moves_everything_into_the_file(database: Database) -> None:
    put(database, "a", "x" * 20_000)
    assert database.wal_bytes > 20_000
    assert not Database.exists(database.path)
    database.begin_checkpoint()
    database.move_pages()
    database.sync()
    assert database.wal_bytes == 0
    assert Database.exists(database.path)
    assert sorted(put(database, "b")[0]) != []
    assert keys(database) == ["a", "b"]


def test_a_spilled_and_rolled_back_transaction_leaves_no_trace_in_the_capture(database: Database) -> None:
    database.connection.execute("PRAGMA cache_size=10").fetchall()
    put(database, "a")
    database.begin()
    for number in range(300):
        database.connection.execute("INSERT INTO _roost_kv VALUES (?, ?)", (f"k{number}", "x" * 3000))
    database.rollback()
    images, size = put(database, "b")
    assert len(images) == 1
    assert size == 3


def test_reset_empties_it_and_makes_the_hidden_tables_anew(database: Database) -> None:
    put(database, "a", "x" * 50_000)
    write(database, "CREATE TABLE mine (x)", "CREATE INDEX i ON mine (x)", "INSERT INTO mine VALUES (1)")
    assert not database.is_empty()
    database.reset()
    database.commit()
    assert database.is_empty()
    assert keys(database) == []
    assert database.size_bytes() <= 4 * PAGE_BYTES
    assert database.connection.pragma("journal_mode") == "wal"


def test_one_with_an_alarm_or_the_news_of_a_failed_one_is_not_empty(database: Database) -> None:
    database.reset()
    alarms.put(database.connection, "x", 1)
    assert not database.is_empty()
    alarms.delete(database.connection, "x")
    assert database.is_empty()
    alarms.add_failed(database.connection, alarms.FailedAlarm("x", 1, 2, "error"))
    assert not database.is_empty()


def test_what_was_in_the_log_only_is_gone_with_it(path: Path) -> None:
    database = Database(path, Template(), 1000)
    put(database, "confirmed")
    database.begin_checkpoint()
    database.move_pages()
    put(database, "in the log only")
    database.close()
    database = Database(path, Template(), 1000)
    assert keys(database) == ["confirmed"]
    database.close()


def test_a_write_ahead_log_that_an_older_version_left_is_removed_and_never_read(path: Path) -> None:
    database = Database(path, Template(), 1000)
    put(database, "confirmed")
    database.begin_checkpoint()
    database.move_pages()
    database.close()
    plain = apsw.Connection(str(path))
    plain.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    plain.execute("INSERT INTO _roost_kv VALUES ('never confirmed', 1)")
    log = path.with_name(path.name + "-wal")
    left = log.read_bytes()
    plain.close()
    log.write_bytes(left)
    database = Database(path, Template(), 1000)
    assert keys(database) == ["confirmed"]
    assert not log.exists()
    database.close()


def test_no_file_is_made_before_the_first_checkpoint(database: Database, tmp_path: Path) -> None:
    for number in range(50):
        put(database, f"key {number}", "x" * 3000)
    database.undo(database.mark)
    assert len(keys(database)) == 50
    assert list(tmp_path.iterdir()) == []
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    database.sync()
    assert [entry.name for entry in database.path.parent.iterdir()] == ["object.sqlite", "object.sums"]
    assert database.path.stat().st_mode & 0o777 == 0o600
    assert content(database.path) == keys(database)


def test_a_log_that_is_emptied_before_any_checkpoint_makes_the_file(database: Database) -> None:
    put(database, "a", "x" * 20_000)
    put(database, "b")
    database.begin_checkpoint()
    database.move_pages()
    assert content(database.path) == ["a", "b"]
    put(database, "c")
    database.undo(0)
    assert keys(database) == ["a", "b"]


def test_an_empty_log_can_be_emptied_and_makes_no_file(database: Database) -> None:
    database.begin_checkpoint()
    database.move_pages()
    assert not database.path.exists()
    put(database, "a")
    assert keys(database) == ["a"]


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_left_of_one_that_never_was_does_no_harm(path: Path, background: Any, beside: bool) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(Template().image[: PAGE_BYTES // 2])
    for suffix in ("-wal", "-journal"):
        path.with_name(path.name + suffix).write_bytes(b"left by a version that logged to the disk")
    path.with_suffix(".sums").write_bytes(os.urandom(512))
    database = Database(path, Template(), 1000)
    put(database, "a")
    assert keys(database) == ["a"]
    if beside:
        database.write_beside(database.mark, background)
    else:
        database.write_pages(database.mark)
        database.sync()
    database.close()
    assert content(path) == ["a"]
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["object.sqlite", "object.sums"]
    with path.open("rb") as file:
        assert damaged_pages(path, file.fileno()) == []


def test_nobody_else_can_write_to_the_file_once_the_log_was_emptied(database: Database) -> None:
    put(database, "a")
    database.begin_checkpoint()
    database.move_pages()
    put(database, "b")
    command = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('DELETE FROM _roost_kv')"
    other = subprocess.run([sys.executable, "-c", command, str(database.path)], capture_output=True, text=True)
    assert "BusyError" in other.stderr


def test_a_file_that_cannot_be_opened_leaves_the_log_as_it_is(database: Database) -> None:
    put(database, "a", "x" * 20_000)
    database.write_pages(database.mark)
    os.rename(database.path, database.path.with_name("away"))
    database.begin_checkpoint()
    with pytest.raises(apsw.CantOpenError):
        database.move_pages()
    os.rename(database.path.with_name("away"), database.path)
    assert keys(database) == ["a"]
    database.begin_checkpoint()
    database.move_pages()
    assert keys(database) == content(database.path) == ["a"]


def test_a_commit_touches_no_disk(database: Database) -> None:
    put(database, "a")
    database.begin_checkpoint()
    database.move_pages()
    before = {path: path.stat().st_mtime_ns for path in database.path.parent.iterdir()}
    for number in range(50):
        put(database, f"key {number}", "x" * 3000)
    assert {path: path.stat().st_mtime_ns for path in database.path.parent.iterdir()} == before


def test_pages_are_written_while_commits_go_on(database: Database) -> None:
    put(database, "a", "x" * 20_000)
    mark = database.durable_mark = database.mark
    put(database, "b", "y" * 20_000)
    database.write_pages(mark)
    database.sync()
    assert content(database.path) == ["a"]
    assert keys(database) == ["a", "b"]
    assert database.wal_bytes > 40_000
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    database.sync()
    assert content(database.path) == ["a", "b"]
    before = database.path.stat().st_mtime_ns
    database.begin_checkpoint()
    database.move_pages()
    assert (database.wal_bytes, database.path.stat().st_mtime_ns) == (0, before)  # all of it was there
    put(database, "c")
    assert keys(database) == ["a", "b", "c"]


def content(path: Path) -> list[str]:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    connection = apsw.Connection(str(copy))
    assert connection.pragma("integrity_check") == "ok"
    found = [str(key) for (key,) in connection.execute("SELECT key FROM _roost_kv ORDER BY key")]
    connection.close()
    copy.unlink()
    return found


def test_the_file_shrinks_with_the_database(database: Database) -> None:
    put(database, "a", "x" * 200_000)
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    large = database.path.stat().st_size
    database.reset()
    database.commit()
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    assert database.path.stat().st_size == database.size_pages * PAGE_BYTES < large
    put(database, "b", "y" * 100_000)
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    assert content(database.path) == ["b"]


@pytest.mark.parametrize("left", [b"", bytes(4096), b"half"])
def test_what_a_power_failure_left_of_a_new_file_is_made_anew(path: Path, left: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(left)
    assert not Database.exists(path)
    database = Database(path, Template(), 1000)
    put(database, "a")
    assert keys(database) == ["a"]
    database.close()


# -- the read that stays open ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["_File", "_NewFile"])
def test_statements_ask_the_file_for_no_lock_once_it_is_ready(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "_File":
        database = Database(path, Template(), 1000)
        put(database, "a")
        database.write_pages(database.mark)
        database.close()
    asked: list[int] = []
    pass_on = getattr(memory_wal, kind).xFileControl

    def ask(file: Any, op: int, pointer: int) -> bool:
        asked.append(op)
        return bool(pass_on(file, op, pointer))

    monkeypatch.setattr(getattr(memory_wal, kind), "xFileControl", ask, raising=False)
    database = Database(path, Template(), 1000)
    put(database, "a")
    asked.clear()
    assert keys(database) == ["a"]
    assert asked  # else nothing is proven
    database.ready()
    asked.clear()
    assert keys(database) == ["a"]
    assert asked == []
    put(database, "b")
    asked.clear()
    assert keys(database) == ["a", "b"]
    assert asked == []  # the commit did not end it
    database.close()


def test_a_checkpoint_is_not_refused_for_the_open_read(database: Database) -> None:
    database.ready()
    put(database, "a", "x" * 20_000)
    database.begin_checkpoint()
    database.move_pages()
    assert database.wal_bytes == 0
    database.ready()
    put(database, "b")
    database.durable_mark = database.mark
    database.write_pages(database.mark)
    assert content(database.path) == keys(database) == ["a", "b"]


def test_a_turn_waits_while_pages_are_moved(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.ready()
    put(database, "a")
    database.begin_checkpoint()
    monkeypatch.setattr(database._moved, "wait", database.move_pages)  # as another thread does while this one waits
    database.ready()
    assert database.wal_bytes == 0
    assert keys(database) == ["a"]


def test_everything_is_deleted_and_undone_beside_the_open_read(database: Database) -> None:
    database.ready()
    put(database, "a")
    mark = database.mark
    database.reset()
    database.ready()
    assert keys(database) == []
    database.undo(mark)
    database.ready()
    assert keys(database) == ["a"]
    write(database, "CREATE TABLE t (x)")
    database.begin()
    database.connection.execute("INSERT INTO t VALUES (1)")
    database.undo(database.mark)
    database.ready()
    assert database.connection.execute("SELECT count(*) FROM t").get == 0


def test_after_a_commit_that_failed_it_reads_and_writes_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.ready()
    put(database, "a")
    mark = database.mark
    with monkeypatch.context() as patched:
        patched.setattr(memory_wal.Wal, "xWrite", _no_room)
        with pytest.raises(apsw.FullError):
            put(database, "b")
    database.undo(mark)
    database.ready()
    assert keys(database) == ["a"]
    put(database, "c")
    assert keys(database) == ["a", "c"]


def _no_room(_wal: memory_wal.Wal, _data: bytes, _offset: int) -> None:
    raise apsw.FullError("no room")


def test_a_read_that_cannot_be_opened_leaves_the_error_to_the_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, "a")
    database.undo(database.mark)
    database.connection.close(True)
    database.connection = database._connect()  # has nothing in its cache
    with monkeypatch.context() as patched:
        patched.setattr(memory_wal.Wal, "xRead", _broken)
        database.ready()
        with pytest.raises(apsw.IOError):
            keys(database)
    database.ready()
    assert keys(database) == ["a"]


def _broken(_wal: memory_wal.Wal, _amount: int, _offset: int) -> bytes:
    raise apsw.IOError("broken")


def test_its_size_is_bounded(database: Database) -> None:
    with pytest.raises(apsw.FullError):
        put(database, "a", "x" * (1001 * PAGE_BYTES))


def test_removing_leaves_no_file(database: Database) -> None:
    put(database, "a")
    database.write_pages(database.mark)
    database.sync()
    database.remove()
    assert list(database.path.parent.iterdir()) == []
    with contextlib.suppress(FileNotFoundError):
        database.remove()


def test_another_process_writes_what_this_one_would_have_written(database: Database, background: Any) -> None:
    for number in range(150):
        put(database, f"key {number % 40}", f"{number}" * 500)
    database.write_beside(database.mark, background)
    there = database.path.read_bytes()
    assert sorted(background.errands[0].pages) == background.errands[0].pages
    database.path.unlink()
    database._written, database._named = 0, False
    database.write_pages(database.mark)
    database.sync()
    assert database.path.read_bytes() == there
    fd = os.open(database.path, os.O_RDONLY)
    assert damaged_pages(database.path, fd) == []
    os.close(fd)


def test_another_process_is_asked_only_for_what_is_new(database: Database, background: Any) -> None:
    put(database, "a", "x" * 20_000)
    database.write_beside(database.mark, background)
    assert background.errands[0].is_new
    put(database, "b")
    database.write_beside(database.mark, background)
    assert not background.errands[1].is_new
    assert 0 < len(background.errands[1].pages) < len(background.errands[0].pages)
    database.write_beside(database.mark, background)
    assert (background.errands[2].pages, background.errands[2].size_pages) == ([], 0)


def test_pages_moved_since_the_last_sync_get_their_checksums_from_the_other_process(
    database: Database, background: Any
) -> None:
    put(database, "a")
    database.begin_checkpoint()
    database.move_pages()
    database.ready()
    database.write_beside(database.mark, background)
    assert background.errands[0].unsummed
    database.write_beside(database.mark, background)
    assert not background.errands[1].unsummed


def test_what_another_process_has_not_done_counts_as_not_done(database: Database, background: Any) -> None:
    put(database, "a")
    background.lose = BackgroundLostError("gone")
    with pytest.raises(BackgroundLostError):
        database.write_beside(database.mark, background)
    background.lose = None
    database.write_beside(database.mark, background)
    assert background.errands[1] == background.errands[0]
