"""The storage of a host: recovery at the start, what stays open, the end."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roost.errors import DataDirectoryError, StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage import database
from roost.storage.files import ScriptedFiles
from roost.storage.journal.log import MemoryLog
from roost.storage.object_file import open_or_make
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

MakeStore = Callable[..., HostStore]


def put(storage: ObjectStorage, key: str, value: bytes) -> list[StorageError | None]:
    told: list[StorageError | None] = []
    storage.put(key, value)
    storage.commit(told.append)
    return told


def crashed(directory: Path) -> Path:
    """The directory as a crash now would leave it."""
    copy = directory.with_name(f"{directory.name}-crashed")
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("lock"))
    return copy


def test_everything_confirmed_is_there_after_a_crash(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    store = make_store()
    ids = [space.from_name(f"room {number}") for number in range(10)]
    told = [put(store.open(object_id), "a", object_id.key) for object_id in ids]
    store.settle()
    assert told == [[None]] * 10
    store = make_store(crashed(tmp_path / "data"))
    assert (store.recovered.objects, store.recovered.commits) == (10, 10)
    assert [store.open(object_id).get("a") for object_id in ids] == [object_id.key for object_id in ids]


def test_a_clean_end_leaves_nothing_to_recover(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store()
    put(store.open(room), "a", b"1")
    store.close()
    store = make_store()
    assert store.recovered.commits == 0
    assert store.open(room).get("a") == b"1"


def test_an_end_in_the_middle_of_a_turn_drops_that_turn(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store()
    storage = store.open(room)
    put(storage, "a", b"1")
    storage.delete_all()
    storage.put("b", b"1")
    store.close()
    assert make_store().open(room).get("a") == b"1"


def test_a_closed_store_opens_nothing(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store()
    store.close()
    with pytest.raises(StorageError, match="the store was closed"):
        store.open(room).put("a", b"1")


def test_one_host_at_a_time_owns_a_slot(make_store: MakeStore) -> None:
    make_store()
    with pytest.raises(DataDirectoryError, match="in use by another roost"):
        make_store()
    make_store(slot=1)


def test_the_slot_is_given_back_when_the_store_cannot_be_opened(make_store: MakeStore, tmp_path: Path) -> None:
    files = ScriptedFiles()
    files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    with pytest.raises(StorageFullError):
        make_store(files=files)
    make_store()


def test_checkpoints_bring_the_file_up_to_date_and_let_go(
    make_store: MakeStore, room: ObjectId, log: MemoryLog
) -> None:
    store = make_store(log=log, limits=Limits(checkpoint_bytes=20_000))
    storage = store.open(room)
    numbers = []
    for n in range(12):
        storage.put(f"key {n}", b"x" * 1000)
        numbers.append(storage.commit(lambda error: None))
    assert log.let_go_of == {}
    store.settle()
    assert log.let_go_of == {room.key: numbers[-1]}
    writer: Any = storage._writer
    assert writer.database.wal_bytes == 0


def test_a_checkpoint_waits_until_every_commit_is_durable(
    make_store: MakeStore, room: ObjectId, log: MemoryLog
) -> None:
    store = make_store(log=log, limits=Limits(checkpoint_bytes=1))
    storage = store.open(room)
    put(storage, "a", b"1")
    put(storage, "b", b"1")
    first, second = log.pending()
    first.succeed()
    store._open.checkpoints.wait()
    assert log.let_go_of == {}
    second.succeed()
    store._open.checkpoints.wait()
    assert log.let_go_of == {room.key: second.record.commit}


def test_the_journal_stays_small_however_much_is_written(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    store = make_store()
    idle = store.open(space.from_name("idle"))
    busy = store.open(space.from_name("busy"))
    put(idle, "a", b"kept")
    for _ in range(300):
        put(busy, "a", os.urandom(2000))
        store.settle()
    segments = list((tmp_path / "data" / "hosts" / "0").glob("journal-*"))
    assert len(segments) <= 5
    store = make_store(crashed(tmp_path / "data"))
    assert store.open(idle.object_id).get("a") == b"kept"
    assert store.open(busy.object_id).get("a") == busy.get("a")


def test_an_object_that_deleted_everything_leaves_no_file(
    make_store: MakeStore, room: ObjectId, tmp_path: Path
) -> None:
    store = make_store()
    storage = store.open(room)
    put(storage, "a", b"1")
    storage.delete_all()
    storage.commit(lambda error: None)
    store.close()
    assert [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()] == []
    store = make_store()
    storage = store.open(room)
    assert storage.get("a") is None
    put(storage, "a", b"2")
    store.close()
    assert make_store().open(room).get("a") == b"2"


def test_a_deletion_is_not_undone_by_a_crash(make_store: MakeStore, room: ObjectId, tmp_path: Path) -> None:
    store = make_store()
    storage = store.open(room)
    put(storage, "a", b"1")
    store.checkpoint()
    storage.delete_all()
    storage.commit(lambda error: None)
    store.settle()
    assert make_store(crashed(tmp_path / "data")).open(room).get("a") is None


def test_a_deletion_that_was_not_confirmed_loses_nothing(make_store: MakeStore, room: ObjectId, tmp_path: Path) -> None:
    files = ScriptedFiles()
    store = make_store(files=files)
    storage = store.open(room)
    put(storage, "a", b"1")
    store.checkpoint()
    storage.delete_all()
    storage.put("b", b"1")
    copy = crashed(tmp_path / "data")
    storage.rollback()
    assert make_store(copy).open(room).get("a") == b"1"


def test_numbers_grow_across_restarts_even_when_the_clock_goes_back(make_store: MakeStore, room: ObjectId) -> None:
    class Clock:
        now = 1_800_000_000_000

        def monotonic(self) -> float:
            return 0.0

        def now_ms(self) -> int:
            return self.now

        def call_later(self, seconds: float, callback: Callable[[], object]) -> Any:
            raise AssertionError("storage asks for no timers")

    clock, numbers = Clock(), []
    for _ in range(4):
        store = make_store(clock=clock)
        storage = store.open(room)
        for value in (b"1", b"2"):
            storage.put("a", value)
            numbers.append(storage.commit(lambda error: None))
        store.close()
        clock.now -= 1_000_000
    assert numbers == sorted(set(numbers))


def test_no_room_costs_a_turn_and_nothing_else(make_store: MakeStore, space: IdSpace) -> None:
    files = ScriptedFiles()
    store = make_store(files=files)
    first, second = store.open(space.from_name("a")), store.open(space.from_name("b"))
    assert put(first, "a", b"1") == [] == put(second, "a", b"1")
    store.settle()
    files.refuse_write = OSError(errno.ENOSPC, "no space")
    told = put(first, "a", b"2")
    files.refuse_write = OSError(errno.ENOSPC, "no space")
    with full_disk_ending(files, store):
        pass
    assert [type(error) for error in told] == [StorageFullError]
    with pytest.raises(StorageFullError):
        first.get("a")
    first.close()
    again = store.open(space.from_name("a"))
    assert again.get("a") == b"1"
    assert second.get("a") == b"1"
    told = put(again, "a", b"3")
    told_second = put(second, "a", b"3")
    store.settle()
    assert told == told_second == [None]


class full_disk_ending:
    """The disk is full until the journal has found out, but can be written where something has to be unmade."""

    def __init__(self, files: ScriptedFiles, store: HostStore) -> None:
        self.files, self.store = files, store

    def __enter__(self) -> None:
        ordinary = ScriptedFiles.write
        refused = self.files.refuse_write
        self.files.refuse_write = None

        def write(fd: int, data: bytes | memoryview, offset: int) -> int:
            del self.files.write
            ordinary(self.files, fd, data, offset)
            assert refused is not None
            raise refused

        self.files.write = write  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self.store.settle()


async def test_a_whole_group_comes_back_in_one_call_of_the_loop(make_store: MakeStore, space: IdSpace) -> None:
    files = ScriptedFiles()
    store = make_store(files=files)
    handles = [store.open(space.from_name(f"room {number}")) for number in range(20)]
    done = asyncio.Event()
    told: list[StorageError | None] = []
    posts: list[Callable[[], None]] = []
    post = store._log._post  # type: ignore[attr-defined]

    def counted(function: Callable[[], None]) -> None:
        posts.append(function)
        post(function)

    def callback(error: StorageError | None) -> None:
        told.append(error)
        if len(told) == 20:
            done.set()

    store._log._post = counted  # type: ignore[attr-defined]
    files.held.clear()
    for handle in handles:
        handle.put("a", b"1")
        handle.commit(callback)
    assert told == []
    files.held.set()
    await done.wait()
    assert told == [None] * 20
    assert len(posts) <= 3  # the one that kept the thread busy, and the rest


async def test_closing_on_the_loop_finishes_what_is_under_way(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store()
    told = put(store.open(room), "a", b"1")
    store.close()
    assert told == [None]
    store.close()


def test_a_file_that_may_not_grow_costs_its_object_a_turn_and_no_other(make_store: MakeStore, space: IdSpace) -> None:
    store = make_store(limits=Limits(journal_segment_bytes=64 * 1024, checkpoint_bytes=1 << 30))
    greedy, modest = store.open(space.from_name("greedy")), store.open(space.from_name("modest"))
    put(greedy, "a", b"1")
    store.settle()  # else both of its commits may be one batch, and fail together
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        refused = put(greedy, "b", os.urandom(500_000))
        store.settle()
        assert [type(error) for error in refused] == [StorageFullError]
        told = put(modest, "a", b"2")
        store.settle()
        assert told == [None]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    greedy.close()
    greedy = store.open(greedy.object_id)
    assert (greedy.get("a"), greedy.get("b")) == (b"1", None)
    told = put(greedy, "b", os.urandom(500_000))
    store.settle()
    assert told == [None]


def test_a_store_with_a_child_beside_it_leaves_everything_up_to_date_and_no_child(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    store = make_store(limits=Limits(checkpoint_bytes=1), beside=True)
    for number in range(5):
        storage = store.open(space.from_name(f"room {number}"))
        storage.put("a", b"%d" % number)
        storage.commit(lambda error: None)
    store.settle()
    background: Any = store._background
    assert background.pid is not None
    store.close()
    assert background.pid is None
    again = make_store()
    assert again.recovered.objects == 0
    assert [again.open(space.from_name(f"room {number}")).get("a") for number in range(5)] == [
        b"%d" % number for number in range(5)
    ]


def test_a_store_that_is_only_closed_starts_no_child(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store(beside=True)
    storage = store.open(room)
    storage.put("a", b"1")
    storage.commit(lambda error: None)
    store.close()
    assert make_store().recovered.objects == 0


async def test_a_first_commit_makes_no_file_on_the_loop(
    make_store: MakeStore, space: IdSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Path, threading.Thread]] = []

    def make(path: Path) -> int:
        made.append((path, threading.current_thread()))
        return open_or_make(path)

    monkeypatch.setattr(database, "open_or_make", make)
    store = make_store(limits=Limits(journal_segment_bytes=64 * 1024, open_databases_max=5))
    rooms = [space.from_name(f"room {number}") for number in range(40)]
    durable: list[StorageError | None] = []
    for number, room in enumerate(rooms):
        storage = store.open(room)
        storage.put("a", b"1")
        storage.commit(durable.append)
        if number == 4:
            store._log.flush()
            assert not list((tmp_path / "data" / "objects").rglob("*"))
    store.checkpoint()
    assert len({path for path, _ in made}) == len(durable) == 40
    assert threading.current_thread() not in {thread for _, thread in made}
    assert [store.open(room).get("a") for room in rooms] == [b"1"] * 40


def test_an_object_that_a_crash_left_without_a_file_is_whole(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    store = make_store()
    for number in range(20):
        put(store.open(space.from_name(f"room {number}")), "a", b"%d" % number)
    store.settle()
    assert not list((tmp_path / "data" / "objects").rglob("*.sqlite"))
    again = make_store(crashed(tmp_path / "data"))
    assert [again.open(space.from_name(f"room {number}")).get("a") for number in range(20)] == [
        b"%d" % number for number in range(20)
    ]
