"""Naming an object on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.cli.object_name import bindings_in, object_of
from roost.errors import InvalidArgumentError, LimitExceededError
from roost.ids import IdSpace
from roost.storage.store import HostStore

ROOM = IdSpace("ROOM", "ROOM")
CHAT = IdSpace("CHAT", "CHAT")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "objects" / "ROOM").mkdir(parents=True)
    (tmp_path / "history" / "base" / "CHAT").mkdir(parents=True)
    return tmp_path


def test_a_name_leads_to_the_object_that_the_app_has_under_it(data: Path) -> None:
    found = object_of("ROOM:lobby", data)
    assert found == ROOM.from_name("lobby")
    assert (found.binding, found.name) == ("ROOM", "lobby")


def test_a_name_may_have_colons_and_may_be_empty(data: Path) -> None:
    assert object_of("ROOM:a:b", data) == ROOM.from_name("a:b")
    assert object_of("ROOM:", data) == ROOM.from_name("")


@pytest.mark.parametrize("space", [ROOM, CHAT])
def test_the_class_of_an_id_in_digits_is_found(data: Path, space: IdSpace) -> None:
    one = space.unique()
    for text in (str(one), str(one).upper()):
        found = object_of(text, data)
        assert (found, found.binding) == (one, space.binding)


def test_an_id_of_no_class_there_is_refused(data: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is the id of no class in .*; it has objects of CHAT, ROOM"):
        object_of("ab" * 32, data)


def test_a_class_without_objects_is_refused_unless_it_may_be_new(data: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="has no objects of LOBBY; it has objects of CHAT, ROOM"):
        object_of("LOBBY:x", data)
    assert object_of("LOBBY:x", data, known=False).binding == "LOBBY"


@pytest.mark.parametrize("text", ["", "lobby", ":x", "a/b:x", "../x:y", "ab" * 31])
def test_what_names_no_object_is_refused(data: Path, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no object: write BINDING:name"):
        object_of(text, data)


def test_a_name_that_is_too_long_is_refused(data: Path) -> None:
    with pytest.raises(LimitExceededError):
        object_of("ROOM:" + "x" * 2_000, data)


def test_a_directory_of_nothing_has_no_classes(tmp_path: Path) -> None:
    assert bindings_in(tmp_path) == []
    with pytest.raises(InvalidArgumentError, match="it has no objects at all"):
        object_of("ROOM:x", tmp_path)


def test_a_class_whose_objects_are_in_the_journal_alone_is_known(tmp_path: Path) -> None:
    """A new object has no file before its first checkpoint."""
    store = HostStore(tmp_path)
    storage = store.open(ROOM.from_name("new"))
    storage.put("key", b"value")
    storage.commit(lambda error: None)
    store.settle()
    assert not any((tmp_path / "objects").rglob("*.sqlite"))
    assert bindings_in(tmp_path) == ["ROOM"]
    assert object_of("ROOM:other", tmp_path) == ROOM.from_name("other")
    assert object_of(str(ROOM.from_name("new")), tmp_path) == ROOM.from_name("new")
    store.close()
