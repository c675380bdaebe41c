"""Objects from before history was kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import HistoryError, StorageCorruptError
from roost.history.adoption import adopt
from roost.history.base import Base
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.ids import IdSpace
from roost.storage.layout import DataDirectory
from roost.storage.store import HostStore
from roost.storage.template import Template

LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")
HALL = IdSpace("HALL", "HALL").from_name("hall")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with two objects."""
    store = HostStore(tmp_path)
    for one in (LOBBY, HALL):
        storage = store.open(one)
        for value in (b"one", b"two"):
            storage.put("key", value)
            storage.commit(lambda error: None)
    store.close()
    return tmp_path


def bytes_of(data: Path, commit: int) -> bytes:
    return b"".join(ObjectHistory(data, LOBBY).state_at(commit).images.values())


def test_the_history_of_every_object_begins_with_what_it_holds(data: Path) -> None:
    assert adopt(data, now_ms=5_000) == 2
    (version,) = ObjectHistory(data, HALL).versions()
    assert version.time_ms == 5_000
    (version,) = ObjectHistory(data, LOBBY).versions()
    assert bytes_of(data, version.commit) == DataDirectory(data).object_path("ROOM", LOBBY.key).read_bytes()
    with pytest.raises(HistoryError):
        ObjectHistory(data, LOBBY).state_at(version.commit - 1)


def test_commits_that_follow_are_later(data: Path) -> None:
    adopt(data, now_ms=5_000)
    store = HostStore(data)
    storage = store.open(LOBBY)
    storage.put("key", b"three")
    number = storage.commit(lambda error: None)
    store.settle()
    assert [version.commit for version in ObjectHistory(data, LOBBY).versions()][-1] == number
    store.close()


def test_adopting_again_changes_nothing(data: Path) -> None:
    adopt(data, now_ms=5_000)
    assert adopt(data, now_ms=9_000) == 0
    assert ObjectHistory(data, LOBBY).versions()[0].time_ms == 5_000


def test_what_never_committed_is_no_object(tmp_path: Path) -> None:
    path = DataDirectory(tmp_path).object_path("ROOM", LOBBY.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(Template().image)
    assert adopt(tmp_path, now_ms=1) == 0
    assert Base(Shelf(tmp_path)).about("ROOM", LOBBY.key) is None


def test_a_file_that_is_no_database_is_named(data: Path) -> None:
    path = DataDirectory(data).object_path("ROOM", LOBBY.key)
    path.write_bytes(path.read_bytes()[:4096].ljust(9000, b"x"))
    with pytest.raises(StorageCorruptError, match=f"{LOBBY}.sqlite is no database"):
        adopt(data, now_ms=1)


def test_a_directory_without_objects_is_adopted_at_once(tmp_path: Path) -> None:
    DataDirectory(tmp_path)
    assert adopt(tmp_path, now_ms=1) == 0
