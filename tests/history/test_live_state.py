"""An object's present state, read beside the host that serves it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from roost.errors import StorageError
from roost.history import live_state as module
from roost.history.folding import fold
from roost.history.live_state import FileImages, copy_live, live_state
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.keeper import Keeper, NothingKept
from roost.storage.record import PAGE_BYTES
from roost.storage.store import HostStore

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
