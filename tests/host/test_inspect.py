from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .parts import HandClock
from .scripted import ScriptedGateway, host_of, settle


class Room(DurableObject):
    """Stays awake as long as the test wants."""

    hold: asyncio.Event

    async def fetch(self, request: Any) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        if request.path == "/hold":
            await self.hold.wait()
        return Response()


async def enter(request: Any, env: Any) -> Any:
    return await env.ROOM.get_by_name(request.query["room"]).fetch(request)


async def test_a_view_says_who_is_awake_and_why_and_who_sleeps_with_sockets(tmp_path: Path) -> None:
    clock = HandClock()
    Room.hold = asyncio.Event()
    async with host_of(tmp_path, Room, entrypoint=enter, clock=clock, number=0) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.connect("/?room=sleeper")
        await settle()
        clock.advance(12)
        stream = gateway.begin("/hold?room=busy")
        await gateway.request("/?room=idle")
        clock.advance(3)

        view = host.view(sleeping=True)
        objects = {one.name: one for one in view.objects}
        assert objects["busy"].pinned_by == ["1 event under way"]
        assert objects["busy"].idle_seconds is None
        assert objects["idle"].pinned_by == []
        assert objects["idle"].idle_seconds == 3
        assert (objects["sleeper"].state, objects["sleeper"].sockets) == ("hibernated", 1)
        assert objects["idle"].id == str(host.env.ROOM.id_from_name("idle"))
        assert [one.name for one in host.view().objects] == ["busy", "idle"]
        room = view.classes["ROOM"]
        assert (room.cls, room.awake, room.sleeping, room.sockets) == ("Room", 2, 1, 1)
        assert room.meter["events"] == {"fetch": 3}

        Room.hold.set()
        await gateway.answer(stream)


async def test_a_view_is_made_of_plain_values(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.request("/?room=a")
        assert msgspec.json.decode(msgspec.json.encode(host.view()))["classes"]["ROOM"]["awake"] == 1


class Storing(DurableObject):
    async def fetch(self, request: Any) -> Response:
        await self.ctx.storage.put({"a": 1, "b": 2})
        await self.ctx.storage.get("a")
        return Response()


async def test_a_view_has_the_true_counts_of_the_storage(tmp_path: Path) -> None:
    async def storing(request: Any, env: Any) -> Any:
        return await env.STORING.get_by_name("a").fetch(request)

    async with host_of(tmp_path, Storing, entrypoint=storing) as host:
        await ScriptedGateway(host).roll().request("/")
        view = host.view()
        for meter in (view.objects[0].meter, view.classes["STORING"].meter):
            assert (meter["rows_written"], meter["rows_read"], meter["commits"]) == (2, 1, 1)
            assert meter["stored_bytes"] == 3 * 4096
            assert meter["sync_ms"] > 0
