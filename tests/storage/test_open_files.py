"""Which files are open: those used last, and not many more; and none is closed before it is up to date."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.database import Database
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore
from roost.storage.writer import Writer

MakeStore = Callable[..., HostStore]


def put(storage: ObjectStorage, key: str, value: bytes) -> list[StorageError | None]:
    told: list[StorageError | None] = []
    storage.put(key, value)
    storage.commit(told.append)
    return told


def test_files_used_longest_ago_are_closed_beyond_the_limit(make_store: MakeStore, space: IdSpace) -> None:
    store = make_store(limits=Limits(open_databases_max=3, journal_segment_bytes=64 * 1024))
    handles = [store.open(space.from_name(f"room {number}")) for number in range(10)]
    for handle in handles:
        put(handle, "a", handle.object_id.key)
        store.settle()
    assert store.open_databases == 3
    assert [handle.get("a") for handle in handles] == [handle.object_id.key for handle in handles]
    store.settle()
    assert store.open_databases == 3
    for handle in handles:
        put(handle, "b", b"1")
    store.settle()
    assert all(handle.get("b") == b"1" for handle in handles)


def test_files_in_the_middle_of_something_stay_open(make_store: MakeStore, space: IdSpace, log: MemoryLog) -> None:
    store = make_store(log=log, limits=Limits(open_databases_max=1))
    in_turn, pending, other = (store.open(space.from_name(name)) for name in ("turn", "pending", "other"))
    in_turn.put("a", b"1")
    put(pending, "a", b"1")
    other.put("a", b"1")
    assert store.open_databases == 3
    assert in_turn.get("a") == pending.get("a") == other.get("a") == b"1"


def test_a_crowd_of_first_writes_waits_for_no_checkpoint(
    make_store: MakeStore, space: IdSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_goes_on, write = threading.Event(), Database.write_pages

    def slow(database: Database, mark: int) -> None:
        disk_goes_on.wait()
        write(database, mark)

    monkeypatch.setattr(Database, "write_pages", slow)
    store = make_store(limits=Limits(open_databases_max=3, resting_databases_max=1))
    handles = [store.open(space.from_name(f"room {number}")) for number in range(60)]
    told = [put(handle, "a", handle.object_id.key) for handle in handles]
    store._log.flush()
    for post in list(store._posted):
        post()
    store._posted.clear()
    assert told == [[None]] * 60
    for handle in handles:
        put(handle, "b", b"2")
        handle.close()
    assert store.open_databases == 60
    disk_goes_on.set()
    store.settle()
    assert store.open_databases <= 3
    assert [store.open(handle.object_id).get("b") for handle in handles] == [b"2"] * 60


def test_files_of_objects_that_sleep_are_closed_beyond_their_own_limit(make_store: MakeStore, space: IdSpace) -> None:
    store = make_store(limits=Limits(open_databases_max=100, resting_databases_max=3))
    handles = [store.open(space.from_name(f"room {number}")) for number in range(10)]
    for handle in handles:
        put(handle, "a", b"1")
    store.settle()
    assert store.open_databases == 10
    for handle in handles[:8]:
        handle.close()
    store.settle()
    assert store.open_databases == 5
    assert store.open(space.from_name("room 0")).get("a") == b"1"
    awake = store.open(space.from_name("room 7"))
    assert awake.get("a") == b"1"
    store.settle()
    assert store.open_databases == 6
    assert {store.open(space.from_name(f"room {number}")).get("a") for number in range(10)} == {b"1"}


def test_with_many_open_files_each_gets_its_checkpoint_earlier(make_store: MakeStore, space: IdSpace) -> None:
    store = make_store(limits=Limits(checkpoint_bytes=1 << 30, checkpoint_bytes_total=1 << 20))
    first = store.open(space.from_name("first"))
    for _ in range(100):
        put(first, "a", os.urandom(1000))
    store.settle()
    writer: Any = first._writer
    assert writer.database.wal_bytes > 300_000
    others = [store.open(space.from_name(f"room {number}")) for number in range(4)]
    for handle in others:
        put(handle, "a", b"1")
    put(first, "a", b"1")
    store.settle()
    assert writer.database.wal_bytes == 0


def test_no_more_files_are_open_than_the_process_may_have(
    make_store: MakeStore, space: IdSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (212, 4096))
    store = make_store()
    for number in range(10):
        put(store.open(space.from_name(f"room {number}")), "a", b"1")
        store.settle()
    assert store.open_databases == 6


def test_closing_many_files_takes_a_few_at_a_time(make_store: MakeStore, space: IdSpace, log: MemoryLog) -> None:
    """However many are open beyond the limit, a look at them costs a few steps."""
    store = make_store(log=log, limits=Limits(open_databases_max=5))
    handles = [store.open(space.from_name(f"room {number}")) for number in range(120)]
    for handle in handles:
        put(handle, "a", b"1")
    assert store.open_databases == 120  # nothing is durable yet
    asked: list[Writer] = []
    may_checkpoint = Writer.may_checkpoint

    def counted(writer: Writer) -> bool:
        asked.append(writer)
        return may_checkpoint(writer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "may_checkpoint", counted)
        store.settle()
    assert store.open_databases == 5
    assert len(asked) < 120 * 40
    assert [handle.get("a") for handle in handles] == [b"1"] * 120


def test_files_that_cannot_be_brought_up_to_date_keep_no_others_open(
    make_store: MakeStore, space: IdSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(limits=Limits(open_databases_max=3))
    write_pages = Database.write_pages
    stuck = {store.path(space.from_name(f"stuck {number}")) for number in range(20)}

    def refusing(database: Database, mark: int) -> None:
        if database.path in stuck:
            raise OSError(errno.ENOSPC, "no space left on device")
        write_pages(database, mark)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "write_pages", refusing)
        for kind in ("stuck", "free"):
            for number in range(20):
                put(store.open(space.from_name(f"{kind} {number}")), "a", b"1")
                store.settle()
        for _ in range(5):
            store._open.make_room()
            store.settle()
        assert store.open_databases <= len(stuck) + 3
    store.close()
    assert make_store().recovered.objects == 0
