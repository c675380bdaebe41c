"""Calls that do not end the way they should; that they do end is shown in `test_host.py` and `test_server.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roost.errors import InvalidStateError, UnavailableError
from roost.host.app import app_of_classes
from roost.link.directory import LocalDirectory
from roost.link.frames import ObjectRef
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.request import Request
from roost.response import Response

from .scripted import ScriptedGateway, host_of, settle

DIRECTORY = LocalDirectory([0, 1])


class Invented:
    """Looks like a client end."""

    def bind_to_response(self) -> None: ...


class Room(DurableObject):
    """Answers with a socket, or what looks like one, or waits."""

    go: asyncio.Event

    async def fetch(self, request: Any) -> Response:
        if request.path == "/wait":
            await self.go.wait()
        if not request.is_upgrade:
            return Response("text")
        client, server = WebSocketPair()
        if request.path == "/invented":
            return Response(None, status=101, web_socket=Invented())
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Room.go = asyncio.Event()


UPGRADE = {"headers": {"Upgrade": "websocket"}}


async def test_a_request_for_an_object_of_another_host_is_refused(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, directory=DIRECTORY) as host:
        names = map(str, range(100))
        there = next(i for i in map(host.env.ROOM.id_from_name, names) if DIRECTORY.owner(i.key) == 1)
        with pytest.raises(UnavailableError, match="lives on host 1, this is host 0"):
            host.calls.fetch(ObjectRef("ROOM", there.key, None), Request("http://x/"), print, print)


async def test_a_client_end_of_no_pair_is_refused(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room) as host:
        with pytest.raises(InvalidStateError, match="no end of a WebSocketPair"):
            await host.env.ROOM.get_by_name("x").fetch("http://x/invented", **UPGRADE)
        assert host.sockets.grants == {}


async def test_an_answer_that_nobody_waits_for_any_more_drops_its_socket(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room) as host:
        call = host.env.ROOM.get_by_name("x").fetch("http://x/wait", **UPGRADE)
        await settle()
        call.cancel()
        Room.go.set()
        await settle()
        assert host.sockets.grants == {}
        (place,) = host.activations.places.values()
        assert len(place.roll) == 0


async def test_a_call_that_was_cancelled_before_it_left_its_object_is_not_made(tmp_path: Path) -> None:
    class Hasty(DurableObject):
        async def fetch(self, request: Any) -> Any:
            self.env.ROOM.get_by_name("x").fetch("http://x/").cancel()
            return Response("never mind")

    async with host_of(tmp_path, Room, Hasty) as host:
        await host.env.HASTY.get_by_name("x").fetch("http://x/")
        await settle()
        assert [place.cls for place in host.activations.places.values()] == [Hasty]


async def test_a_call_from_the_entrypoint_runs_the_object_at_once(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room) as host:
        call: Any = host.env.ROOM.get_by_name("x").fetch("http://x/")
        assert call.done()
        assert (await call).status == 200


async def test_a_response_passes_through_an_object_with_its_socket(tmp_path: Path) -> None:
    class Door(DurableObject):
        async def fetch(self, request: Any) -> Any:
            return await self.env.ROOM.get_by_name("x").fetch(request)

    async def enter(request: Any, env: Any) -> Any:
        return await env.DOOR.get_by_name("x").fetch(request)

    async with host_of(tmp_path, app=app_of_classes(Room, Door, entrypoint=enter)) as host:
        gateway = ScriptedGateway(host).roll()
        grant = await gateway.granted("/")
        assert grant.object.binding == "ROOM"
        gateway.open(grant)
        await settle()


async def test_a_call_that_roost_fails_to_deliver_fails_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host_of(tmp_path, Room) as host:

        def fail(*_: Any) -> None:
            raise ZeroDivisionError("a mistake")

        monkeypatch.setattr(host.activations, "place", fail)
        reported = host.observer.wait_for("object.uncalled")
        with pytest.raises(ZeroDivisionError):
            await host.env.ROOM.get_by_name("x").fetch("http://x/")
        assert reported.done()
