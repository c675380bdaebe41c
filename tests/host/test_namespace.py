from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.host import namespace
from roost.host.namespace import LOCATION_HINTS, Namespace
from roost.ids import IdSpace, ObjectId
from roost.request import Request


class KeepingCaller:
    def __init__(self) -> None:
        self.calls: list[tuple[ObjectId, Request]] = []

    def fetch(self, object_id: ObjectId, request: Request) -> asyncio.Future[Any]:
        self.calls.append((object_id, request))
        return asyncio.get_running_loop().create_future()


@pytest.fixture
def caller() -> KeepingCaller:
    return KeepingCaller()


@pytest.fixture
def rooms(caller: KeepingCaller) -> Namespace:
    return Namespace(IdSpace("ROOM", "ROOM"), caller)


def test_ids_come_from_names_strings_and_chance(rooms: Namespace) -> None:
    lobby = rooms.id_from_name("lobby")
    assert lobby == rooms.id_from_name("lobby")
    assert lobby.name == "lobby"
    assert rooms.id_from_string(str(lobby).upper()) == lobby
    assert rooms.new_unique_id() != rooms.new_unique_id()
    with pytest.raises(WrongTypeError, match="must be a str, got int"):
        rooms.id_from_name(3)  # type: ignore[arg-type]
    with pytest.raises(LimitExceededError):
        rooms.id_from_name("x" * 1_025)
    with pytest.raises(InvalidArgumentError, match="64 hex digits"):
        rooms.id_from_string("abc")


def test_making_a_stub_calls_nobody(rooms: Namespace, caller: KeepingCaller) -> None:
    stub = rooms.get(rooms.id_from_name("lobby"))
    assert stub.id == rooms.id_from_name("lobby")
    assert stub.name == rooms.get_by_name("lobby").name == "lobby"
    assert caller.calls == []


def test_an_id_of_another_class_is_refused(rooms: Namespace, caller: KeepingCaller) -> None:
    other = Namespace(IdSpace("GAME", "GAME"), caller)
    with pytest.raises(InvalidArgumentError, match="is an id of GAME, this namespace is ROOM"):
        rooms.get(other.id_from_name("lobby"))
    with pytest.raises(InvalidArgumentError, match="not valid for this namespace"):
        rooms.id_from_string(str(other.id_from_name("lobby")))
    with pytest.raises(WrongTypeError, match="got str; id_from_string"):
        rooms.get(str(rooms.id_from_name("lobby")))  # type: ignore[arg-type]


def test_hints_are_taken_and_unknown_ones_listed(rooms: Namespace) -> None:
    for hint in LOCATION_HINTS:
        rooms.get_by_name("lobby", location_hint=hint)
    with pytest.raises(InvalidArgumentError, match=r"'moon'.*wnam, enam"):
        rooms.get_by_name("lobby", location_hint="moon")


def test_a_jurisdiction_cannot_be_promised(rooms: Namespace) -> None:
    with pytest.raises(InvalidArgumentError, match="jurisdiction 'eu'"):
        rooms.jurisdiction("eu")
    with pytest.raises(InvalidArgumentError, match="jurisdiction 'eu'"):
        rooms.new_unique_id(jurisdiction="eu")


async def test_a_call_is_sent_when_it_is_made(rooms: Namespace, caller: KeepingCaller) -> None:
    stub = rooms.get_by_name("lobby")
    stub.fetch("http://object/a")
    stub.fetch("http://object/b", method="POST", body="text")
    stub.fetch(Request("http://object/c", headers={"X-Kept": "1"}))
    assert [request.url for _, request in caller.calls] == ["http://object/a", "http://object/b", "http://object/c"]
    assert caller.calls[1][1].method == "POST"
    assert caller.calls[2][1].headers["x-kept"] == "1"


async def test_a_relative_url_is_refused(rooms: Namespace, caller: KeepingCaller) -> None:
    with pytest.raises(InvalidArgumentError, match="absolute URL"):
        rooms.get_by_name("lobby").fetch("/path")
    assert caller.calls == []


def test_names_are_remembered_up_to_a_bound(rooms: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "NAMES_MAX", 3)
    space = IdSpace("ROOM", "ROOM")
    for _ in range(2):
        for name in "abcdefg":
            found = rooms.id_from_name(name)
            assert (found, found.name, found.binding) == (space.from_name(name), name, "ROOM")
            assert rooms.get_by_name(name).id == found
            assert len(rooms._keys) <= 3
    first, second = rooms.id_from_name("a"), rooms.id_from_name("a")
    assert first is not second, "what one holder does to its id is no other's business"
