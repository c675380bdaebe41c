"""An object's present state, read beside the host that serves it."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from roost.errors import StorageCorruptError, StorageError
from roost.history import live_state as module
from roost.history.folding import fold
from roost.history.live_state import FileImages, copy_live, live_state
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.keeper import Keeper, NothingKept
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.store import HostStore
from roost.storage.sums import keep_sums, sums_path

SPACE = IdSpace("ROOM", "ROOM")
LOBBY = SPACE.from_name("lobby")
BLOB = bytes(range(256)) * 32


class FoldsAtOnce(NothingKept):
    """A keeper that makes archives before it returns."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        fold(self.data, segment)
        done(True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def make_store(data: Path) -> Iterator[Callable[..., HostStore]]:
    opened: list[HostStore] = []

    def make(keeper: Keeper | None = None) -> HostStore:
        store = HostStore(data, limits=Limits(journal_segment_bytes=64 * 1024), keeper=keeper)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


def put(store: HostStore, object_id: ObjectId = LOBBY, /, **values: bytes) -> None:
    storage = store.open(object_id)
    for key, value in values.items():
        storage.put(key, value)
    storage.commit(lambda error: None)
    store.settle()
    storage.close()


def many_commits(store: HostStore) -> None:
    """So many that every segment of the journal is used again."""
    for number in range(60):
        put(store, SPACE.from_name("other"), noise=random.randbytes(20_000))
        put(store, LOBBY, counter=b"%d" % number)


def stored(data: Path, object_id: ObjectId = LOBBY) -> dict[str, bytes] | None:
    """The keys and values that a copy of the live object holds; every page of it was checked."""
    path = data / "copy"
    with path.open("w+b") as file:
        if copy_live(data, object_id, file) is None:
            return None
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(connection.execute("SELECT key, value FROM _roost_kv"))
    finally:
        connection.close()


def test_what_only_the_journal_holds_is_there(data: Path, make_store: Callable[..., HostStore]) -> None:
    store = make_store()
    put(store, a=b"1")
    put(store, SPACE.from_name("other"), a=b"x")
    put(store, a=b"2", b=BLOB)
    assert stored(data) == {"a": b"2", "b": BLOB}
    store.checkpoint()
    put(store, a=b"3")
    assert stored(data) == {"a": b"3", "b": BLOB}
    store.close()
    assert stored(data) == {"a": b"3", "b": BLOB}


def test_an_object_that_never_stored_anything_has_no_state(data: Path, make_store: Callable[..., HostStore]) -> None:
    put(make_store(), a=b"1")
    assert stored(data, SPACE.from_name("nobody")) is None
    assert live_state(data, SPACE.from_name("nobody")) is None


def test_a_state_has_every_page_and_the_number_of_its_commit(data: Path, make_store: Callable[..., HostStore]) -> None:
    store = make_store()
    put(store, a=BLOB)
    writer = store.open_writer(LOBBY)
    assert writer is not None
    state = live_state(data, LOBBY)
    assert state is not None
    assert (state.commit, state.size_pages) == (writer.number, writer.database.size_pages)
    assert sorted(state.images) == list(range(1, state.size_pages + 1))
    assert all(len(image) == PAGE_BYTES for image in state.images.values())


@pytest.mark.parametrize("keeps", [True, False], ids=["with archives", "without archives"])
def test_a_file_that_changes_while_it_is_copied_is_mended(
    data: Path, make_store: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    """Half of the file is from before a checkpoint and half from after it, and the segments in between are gone."""
    store = make_store(FoldsAtOnce(data) if keeps else None)
    put(store, **{f"key {number}": BLOB for number in range(20)}, counter=b"0")
    store.checkpoint()
    copy_file = module._copy_file
    torn: list[bool] = []

    def copy_torn(path: Path, into: IO[bytes]) -> None:
        if torn:
            return copy_file(path, into)
        before = path.read_bytes()
        put(store, **{f"key {number}": BLOB[::-1] for number in range(20)})
        many_commits(store)
        store.checkpoint()
        after = path.read_bytes()
        torn.append(before != after)
        half = len(before) // PAGE_BYTES // 2 * PAGE_BYTES
        into.write(before[:half] + after[half:])
        into.flush()

    monkeypatch.setattr(module, "_copy_file", copy_torn)
    assert stored(data) == {f"key {number}": BLOB[::-1] for number in range(20)} | {"counter": b"59"}
    assert torn == [True]


def test_a_host_that_is_always_faster_is_an_error_and_no_loop_without_end(
    data: Path, make_store: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(make_store(), a=b"1")
    monkeypatch.setattr(module, "_copy_once", lambda *arguments: None)
    with pytest.raises(StorageError, match="faster than they are read"):
        stored(data)


def test_pages_are_numbered_from_one(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"a" * PAGE_BYTES + b"b" * PAGE_BYTES)
        file.flush()
        images = FileImages(file)
    assert dict(images) == {1: b"a" * PAGE_BYTES, 2: b"b" * PAGE_BYTES}
    for beyond in (0, 3):
        with pytest.raises(KeyError):
            images[beyond]


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.history.live_state.time.sleep", lambda seconds: None)


def file_of(data: Path, object_id: ObjectId = LOBBY) -> Path:
    return data / "objects" / "ROOM" / object_id.to_string()[:2] / f"{object_id}.sqlite"


def rot(path: Path, page: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * PAGE_BYTES + 100] ^= 4
    path.write_bytes(raw)


def stopped(data: Path, make_store: Callable[..., HostStore]) -> Path:
    """The file of an object that no record of the journal leads back to any more."""
    store = make_store(FoldsAtOnce(data))
    put(store, **{f"key {number}": BLOB for number in range(4)})
    store.checkpoint()
    many_noises(store)
    store.close()
    return file_of(data)


def many_noises(store: HostStore) -> None:
    for _ in range(60):
        put(store, SPACE.from_name("other"), noise=random.randbytes(20_000))


@pytest.mark.parametrize("page", [1, 3])
def test_a_page_that_is_not_what_was_written_is_told_and_not_copied(
    data: Path, make_store: Callable[..., HostStore], page: int
) -> None:
    path = stopped(data, make_store)
    rot(path, page)
    with pytest.raises(StorageCorruptError, match=rf"not what was written: page {page}.*`roost repair {LOBBY}`"):
        stored(data)
    assert stored(data, SPACE.from_name("other")) is not None


def test_pages_that_are_gone_are_told(data: Path, make_store: Callable[..., HostStore]) -> None:
    path = stopped(data, make_store)
    os.truncate(path, 2 * PAGE_BYTES)
    with pytest.raises(StorageCorruptError, match="pages 3, 4"):
        stored(data)
    path.unlink()
    with pytest.raises(StorageCorruptError, match="pages 1, 2, 3"):
        live_state(data, LOBBY)


def test_a_page_that_a_record_writes_anew_is_whole(data: Path, make_store: Callable[..., HostStore]) -> None:
    store = make_store(FoldsAtOnce(data))
    put(store, a=BLOB)
    store.checkpoint()
    rot(file_of(data), 1)
    assert stored(data) == {"a": BLOB}


def test_a_file_without_checksums_is_copied_as_it_is(data: Path, make_store: Callable[..., HostStore]) -> None:
    path = stopped(data, make_store)
    sums_path(path).unlink()
    raw = bytearray(path.read_bytes())
    raw[24:28] = b"\0\0\0\1"  # a counter that SQLite does not check
    path.write_bytes(raw)
    assert stored(data) == {f"key {number}": BLOB for number in range(4)}


def test_a_checkpoint_between_the_copy_and_its_check_is_no_damage(
    data: Path, make_store: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages are from before it and the checksums from after it, and the segments in between are gone."""
    path = stopped(data, make_store)
    store = make_store(FoldsAtOnce(data))
    copy_file = module._copy_file
    copied: list[Path] = []

    def overtaken(path: Path, into: IO[bytes]) -> None:
        copy_file(path, into)
        if not copied:
            put(store, **{f"key {number}": BLOB[::-1] for number in range(4)})
            store.checkpoint()
            many_noises(store)
        copied.append(path)

    monkeypatch.setattr(module, "_copy_file", overtaken)
    assert stored(data) == {f"key {number}": BLOB[::-1] for number in range(4)}
    assert copied[0] == path


def test_what_does_not_match_for_a_moment_is_looked_at_again(
    data: Path, make_store: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stopped(data, make_store)
    rot(path, 3)

    def mend(seconds: float) -> None:
        with path.open("r+b") as file:
            keep_sums(path, file.fileno(), [3])

    monkeypatch.setattr("roost.history.live_state.time.sleep", mend)
    assert stored(data) is not None


def test_a_file_that_the_disk_cannot_read_is_told_with_what_to_do(
    data: Path, make_store: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(data, make_store)

    def unreadable(path: Path, into: IO[bytes]) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "_copy_file", unreadable)
    with pytest.raises(StorageCorruptError, match=r"cannot be read from the disk.*`roost repair"):
        stored(data)
