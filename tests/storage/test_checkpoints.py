"""Checkpoints: beside the loop, and harmless when they fail."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from roost.errors import StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage import checkpoints
from roost.storage.background.background_writer import BackgroundLostError
from roost.storage.background.errands import UnsyncedError
from roost.storage.database import Database
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore
from roost.storage.writer import Writer


@pytest.fixture
def storage(make_store: Callable[..., HostStore], log: MemoryLog, room: ObjectId) -> ObjectStorage:
    return make_store(log=log, limits=Limits(checkpoint_bytes=1)).open(room)


def commit(storage: ObjectStorage, value: bytes) -> None:
    storage.put("a", value)
    storage.commit(lambda error: None)


def writer_of(storage: ObjectStorage) -> Writer:
    writer = storage._writer
    assert writer is not None
    return writer


def store_of(storage: ObjectStorage) -> HostStore:
    store = storage._writers
    assert isinstance(store, HostStore)
    return store


def test_a_turn_goes_on_while_the_file_is_synced(
    storage: ObjectStorage, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync = threading.Event()
    sync = Database.sync

    def held(database: Database) -> None:
        may_sync.wait()
        sync(database)

    monkeypatch.setattr(Database, "sync", held)
    commit(storage, b"1")
    log.pending()[0].succeed()
    commit(storage, b"2")
    assert storage.get("a") == b"2"
    assert log.let_go_of == {}
    may_sync.set()
    store_of(storage).settle()
    assert storage.get("a") == b"2"
    assert writer_of(storage).up_to_date


def test_a_turn_waits_while_the_log_is_emptied(
    storage: ObjectStorage, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    begun = threading.Event()
    move = Database.move_pages

    def slow(database: Database) -> None:
        begun.wait()
        order.append("moved")
        move(database)

    monkeypatch.setattr(Database, "move_pages", slow)
    commit(storage, b"1")
    log.pending()[0].succeed()
    making: Any = store_of(storage)._open.checkpoints
    while not making._moving:
        step = next(iter(making._steps))
        making._follow(step, step.result.result())
    begun.set()
    storage.get("a")
    order.append("read")
    assert order == ["moved", "read"]
    store_of(storage).settle()


def test_an_object_that_waits_for_its_checkpoint_is_not_held_up(
    storage: ObjectStorage, log: MemoryLog, space: IdSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_move = threading.Event()
    move = Database.move_pages

    def held(database: Database) -> None:
        may_move.wait()
        move(database)

    monkeypatch.setattr(Database, "move_pages", held)
    others = [store_of(storage).open(space.from_name(f"other {number}")) for number in range(5)]
    for handle in (storage, *others):
        commit(handle, b"1")
    for append in log.pending():
        append.succeed()
    assert [handle.get("a") for handle in others] == [b"1"] * 5  # the first one's log is still being emptied
    may_move.set()
    store_of(storage).settle()
    assert all(writer_of(handle).up_to_date for handle in (storage, *others))


@pytest.mark.parametrize("step", ["write_pages", "move_pages"])
def test_one_that_finds_no_room_is_tried_again_later(
    storage: ObjectStorage, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    monkeypatch.setattr(checkpoints, "_RETRY_SECONDS", 0.0)
    real = getattr(Database, step)
    tries: list[int] = []

    def full(database: Database, *_: int) -> None:
        database._moved.set()
        tries.append(1)
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Database, step, full)
    commit(storage, b"1")
    store_of(storage).settle()
    assert tries
    assert (log.let_go_of == {}) == (step == "write_pages")
    assert "no space left" in caplog.text
    monkeypatch.setattr(Database, step, real)
    commit(storage, b"2")
    store_of(storage).settle()
    assert log.let_go_of == {storage.object_id.key: writer_of(storage).number}
    assert writer_of(storage).database.wal_bytes == 0


def test_commits_under_way_hold_up_no_checkpoint_and_are_no_part_of_it(storage: ObjectStorage, log: MemoryLog) -> None:
    """The file holds what is durable and nothing else, though the object never comes to rest."""
    commit(storage, b"1")
    commit(storage, b"2")
    first, second = log.pending()
    first.succeed()
    store: Any = store_of(storage)
    writer = writer_of(storage)
    store._open.checkpoints.begin(writer)
    store._open.checkpoints.wait()
    assert log.let_go_of == {storage.object_id.key: first.record.commit}
    assert not writer.settled
    assert value_in(writer.database.path) == b"1"
    second.succeed()
    store.settle()
    assert value_in(writer.database.path) == b"2"
    assert storage.get("a") == b"2"


def value_in(path: Path) -> bytes:
    """What the file alone holds, as another program would read it."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    connection = apsw.Connection(str(copy))
    value = connection.execute("SELECT value FROM _roost_kv WHERE key = 'a'").get
    connection.close()
    copy.unlink()
    assert isinstance(value, bytes)
    return value


def test_a_failed_commit_after_a_checkpoint_takes_nothing_durable_back(storage: ObjectStorage, log: MemoryLog) -> None:
    commit(storage, b"1")
    log.pending()[0].succeed()
    commit(storage, b"2")
    store: Any = store_of(storage)
    store._open.checkpoints.begin(writer_of(storage))
    store._open.checkpoints.wait()
    log.pending()[0].fail(StorageFullError("no space left for the journal"))
    storage.close()
    again = store.open(storage.object_id)
    assert again.get("a") == b"1"
    commit(again, b"3")
    store.settle()
    assert value_in(writer_of(again).database.path) == b"3"


def test_an_object_that_never_rests_does_not_grow_its_log_without_end(
    make_store: Callable[..., HostStore], log: MemoryLog, room: ObjectId
) -> None:
    store = make_store(log=log, limits=Limits(checkpoint_bytes=64 * 1024))
    storage = store.open(room)
    largest = 0
    for number in range(1000):
        commit(storage, b"%d" % number * 1000)
        pending = log.pending()
        if len(pending) > 1:
            pending[-2].succeed()  # there is always one under way
        assert not writer_of(storage).settled
        store._open.checkpoints.wait()
        while store._posted:
            store._posted.popleft()()
        largest = max(largest, writer_of(storage).database.wal_bytes)
    assert largest < 1_000_000  # of eight million
    store.settle()


def test_an_old_segment_is_let_go_of_though_the_object_never_rests(storage: ObjectStorage, log: MemoryLog) -> None:
    store: Any = store_of(storage)
    commit(storage, b"1")
    commit(storage, b"2")
    old = log.pending()
    store._open.bring_up_to_date({storage.object_id.key})
    commit(storage, b"3")
    for append in old:
        append.succeed()
    store._open.checkpointed(writer_of(storage))
    store._open.checkpoints.wait()
    assert not writer_of(storage).settled
    assert log.let_go_of == {storage.object_id.key: old[-1].record.commit}
    assert not writer_of(storage).overdue
    log.flush()


def test_a_file_that_cannot_be_synced_is_not_used_again(
    storage: ObjectStorage, log: MemoryLog, room: ObjectId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(database: Database) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(Database, "sync", broken)
    commit(storage, b"1")
    store: Any = store_of(storage)
    store.settle()
    assert log.let_go_of == {}
    storage.close()
    with pytest.raises(StorageError, match="cannot be made durable: disk gone"):
        store.open(room).get("a")


def test_a_busy_object_is_brought_up_to_date_once_for_so_many_bytes_not_with_each_commit(
    make_store: Callable[..., HostStore], log: MemoryLog, room: ObjectId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next commit is always there before the file is synced, so the log cannot be emptied right then."""
    synced: list[int] = []
    sync = Database.sync

    def counted(database: Database) -> None:
        synced.append(database.wal_bytes)
        sync(database)

    monkeypatch.setattr(Database, "sync", counted)
    due = 256 * 1024
    store = make_store(log=log, limits=Limits(checkpoint_bytes=due))
    storage = store.open(room)
    for number in range(600):
        commit(storage, b"%d" % number)
        log.pending()[0].succeed()
        if store._open.checkpoints._steps:  # the file is being synced: the next commit comes meanwhile
            commit(storage, b"next")
            store._open.checkpoints.wait()
            log.pending()[0].succeed()
        assert writer_of(storage).database.wal_bytes < 2 * due
    assert 5 <= len(synced) <= 600 * 3 * 4120 // due + 1


@pytest.fixture
def beside(storage: ObjectStorage, background: Any) -> ObjectStorage:
    """The storage, in a store that has a background writer."""
    store: Any = store_of(storage)
    store._open.checkpoints._background = background
    return storage


def test_the_background_writer_brings_files_up_to_date(
    beside: ObjectStorage, log: MemoryLog, background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "write_pages", None)
    monkeypatch.setattr(Database, "sync", None)
    commit(beside, b"1")
    log.pending()[0].succeed()
    store_of(beside).settle()
    assert len(background.errands) == 1
    assert writer_of(beside).up_to_date
    assert log.let_go_of == {beside.object_id.key: writer_of(beside).number}


def test_where_the_background_writer_is_gone_the_host_does_its_work(
    beside: ObjectStorage, log: MemoryLog, background: Any
) -> None:
    background.refuse = BackgroundLostError("gone")
    commit(beside, b"1")
    log.pending()[0].succeed()
    store_of(beside).settle()
    assert len(background.errands) == 1
    assert writer_of(beside).up_to_date


def test_no_room_for_the_background_writer_keeps_the_journal_from_letting_go(
    beside: ObjectStorage, log: MemoryLog, background: Any
) -> None:
    background.refuse = OSError(errno.ENOSPC, "No space left on device")
    commit(beside, b"1")
    log.pending()[0].succeed()
    store_of(beside).settle()
    assert log.let_go_of == {}
    assert writer_of(beside).failure is None
    background.refuse = None
    store_of(beside).checkpoint()
    assert writer_of(beside).up_to_date


def test_a_file_that_the_background_writer_cannot_sync_is_not_used_again(
    beside: ObjectStorage, log: MemoryLog, background: Any, room: ObjectId
) -> None:
    background.refuse = UnsyncedError(errno.EIO, "disk gone")
    commit(beside, b"1")
    log.pending()[0].succeed()
    store_of(beside).settle()
    assert log.let_go_of == {}
    beside.close()
    with pytest.raises(StorageError, match=r"cannot be made durable: .*disk gone"):
        store_of(beside).open(room).get("a")
