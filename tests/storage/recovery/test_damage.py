"""A file that is not what was written: its object is put in quarantine and says so, and all others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.store import HostStore
from roost.storage.sums import sums_path, unchecked_pages

MakeStore = Callable[..., HostStore]


@pytest.fixture
def hall(space: IdSpace) -> ObjectId:
    return space.from_name("hall")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def commit(store: HostStore, object_id: ObjectId, key: str = "key", value: bytes = b"v" * 9000) -> None:
    storage = store.open(object_id)
    storage.put(key, value)
    storage.commit(lambda error: None)
    store.settle()


def stored(make_store: MakeStore, *objects: ObjectId) -> None:
    store = make_store()
    for object_id in objects:
        commit(store, object_id)
    store.close()


def file_of(data: Path, object_id: ObjectId) -> Path:
    digits = object_id.key.hex()
    return data / "objects" / "ROOM" / digits[:2] / f"{digits}.sqlite"


def rot(path: Path, at: int, bit: int = 4) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def test_a_rotten_file_is_refused_with_what_to_do_and_others_go_on(
    make_store: MakeStore, data: Path, room: ObjectId, hall: ObjectId
) -> None:
    stored(make_store, room, hall)
    rot(file_of(data, room), 3 * PAGE_BYTES + 5)
    store = make_store()
    told: list[tuple[ObjectId, str]] = []
    store.on_quarantined = lambda object_id, reason: told.append((object_id, reason))
    with pytest.raises(StorageCorruptError, match=f"page 4.*`roost repair {room.key.hex()}`"):
        store.open(room).get("key")
    with pytest.raises(StorageCorruptError):
        store.open(room).put("key", b"over it")
    assert store.open(hall).get("key") == b"v" * 9000
    assert [object_id for object_id, _ in told] == [room]


def test_it_stays_in_quarantine_over_a_restart_until_that_is_lifted(
    make_store: MakeStore, data: Path, room: ObjectId
) -> None:
    stored(make_store, room)
    rot(file_of(data, room), 3 * PAGE_BYTES + 5)
    store = make_store()
    with pytest.raises(StorageCorruptError):
        store.open(room).get("key")
    store.close()
    rot(file_of(data, room), 3 * PAGE_BYTES + 5)
    store = make_store()
    with pytest.raises(StorageCorruptError):
        store.open(room).get("key")
    Quarantine(data).lift(room.key)
    assert store.open(room).get("key") == b"v" * 9000


@pytest.mark.parametrize("at", [0, 18, 71, 100, PAGE_BYTES - 1])
def test_a_first_page_that_is_no_objects_any_more_is_not_taken_for_a_new_object(
    make_store: MakeStore, data: Path, room: ObjectId, at: int
) -> None:
    stored(make_store, room)
    rot(file_of(data, room), at, bit=1)  # at 71 this is the difference between an object that committed and one to be
    store = make_store()
    with pytest.raises(StorageCorruptError):
        store.open(room).get("key")
    with pytest.raises(StorageCorruptError):
        store.open(room).put("key", b"over it")


def test_what_sqlite_finds_while_an_object_lives_puts_it_in_quarantine(
    make_store: MakeStore, data: Path, room: ObjectId, hall: ObjectId
) -> None:
    stored(make_store, room, hall)
    sums_path(file_of(data, room)).unlink()
    with file_of(data, room).open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES * 2)
    store = make_store()
    with pytest.raises(StorageCorruptError, match="roost repair"):
        store.open(room).get("key")
    with pytest.raises(StorageCorruptError, match="roost repair"):
        store.open(room).get("key")
    assert [case.key for case in Quarantine(data).cases()] == [room.key.hex()]
    assert store.open(hall).get("key") == b"v" * 9000


def test_a_file_that_was_mended_while_its_host_runs_is_opened_anew(
    make_store: MakeStore, data: Path, room: ObjectId
) -> None:
    stored(make_store, room)
    whole = file_of(data, room).read_bytes()
    sums_path(file_of(data, room)).unlink()
    with file_of(data, room).open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES * 2)
    store = make_store()
    with pytest.raises(StorageCorruptError):
        store.open(room).get("key")
    file_of(data, room).write_bytes(whole)
    Quarantine(data).lift(room.key)
    assert store.open(room).get("key") == b"v" * 9000


def test_a_checkpoint_and_a_recovery_sum_every_page(make_store: MakeStore, data: Path, room: ObjectId) -> None:
    store = make_store()
    commit(store, room)
    store.checkpoint()
    path = file_of(data, room)
    assert unchecked_pages(path, path.stat().st_size // PAGE_BYTES) == 0


def test_a_file_from_before_there_were_checksums_gets_them(make_store: MakeStore, data: Path, room: ObjectId) -> None:
    stored(make_store, room)
    path = file_of(data, room)
    sums_path(path).unlink()
    store = make_store()
    commit(store, room, "another", b"small")
    store.close()
    assert unchecked_pages(path, path.stat().st_size // PAGE_BYTES) == 0


def test_an_object_that_is_gone_leaves_no_checksums(make_store: MakeStore, data: Path, room: ObjectId) -> None:
    stored(make_store, room)
    store = make_store()
    storage: ObjectStorage = store.open(room)
    storage.delete_all()
    storage.commit(lambda error: None)
    storage.close()
    store.close()
    assert file_of(data, room).exists() == sums_path(file_of(data, room)).exists()
    if file_of(data, room).exists():  # its number must be remembered for a while
        assert make_store().open(room).get("key") is None


def test_what_was_undone_is_not_summed(make_store: MakeStore, data: Path, room: ObjectId) -> None:
    store = make_store()
    commit(store, room)
    storage = store.open(room)
    storage.put("more", b"x" * 20_000)
    storage.rollback()
    store.checkpoint()
    store.close()
    assert make_store().open(room).get("more") is None


def test_a_long_file_is_looked_at_as_far_as_the_limit_goes(make_store: MakeStore, data: Path, room: ObjectId) -> None:
    store = make_store()
    for number in range(20):
        commit(store, room, f"key {number}", bytes([number]) * 8000)
    store.close()
    rot(file_of(data, room), 30 * PAGE_BYTES + 5)
    store = make_store(limits=Limits(checked_at_open_bytes=8 * PAGE_BYTES, journal_segment_bytes=64 * 1024))
    assert store.open(room).get("key 0") == bytes(8000)
    store.close()
    with pytest.raises(StorageCorruptError, match="page 31"):
        make_store().open(room).get("key 0")
