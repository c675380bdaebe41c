"""Checkpoints: beside the loop, and harmless when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import StorageError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.database import Database
from roost.storage.log import MemoryLog
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


def test_a_turn_waits_while_pages_are_moved(
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
    assert [handle.get("a") for handle in others] == [b"1"] * 5  # the first one's pages are still moving
    may_move.set()
    store_of(storage).settle()
    assert all(writer_of(handle).up_to_date for handle in (storage, *others))


def test_one_that_finds_no_room_is_tried_again_later(
    storage: ObjectStorage, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import apsw

    real = Database.move_pages
    tries: list[int] = []

    def full(database: Database) -> None:
        database._moved.set()
        tries.append(1)
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(Database, "move_pages", full)
    commit(storage, b"1")
    store_of(storage).settle()
    assert len(tries) == 1
    assert log.let_go_of == {}
    assert "could not be brought up to date" in caplog.text
    monkeypatch.setattr(Database, "move_pages", real)
    commit(storage, b"2")
    store_of(storage).settle()
    assert log.let_go_of == {storage.object_id.key: writer_of(storage).number}


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
