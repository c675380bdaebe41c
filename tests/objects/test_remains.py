"""A life that has hibernated goes at once, and what user code has kept of it says so."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import InvalidStateError, ObjectResetError
from roost.objects.activation import Activation
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.request import Request
from roost.response import Response

from .harness import Harness, MakeHarness, settle


class Kept:
    """What user code has kept of the life that it was called in."""

    ctx: Any
    ws: WebSocket


class Room(DurableObject):
    async def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["tag"])
        await self.ctx.storage.put("count", 1)
        await self.ctx.storage.set_alarm(10_000_000_000_000)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        self.env.ctx, self.env.ws = self.ctx, ws
        ws.send(message)

    async def alarm(self, info: Any) -> None: ...

    async def pre_shutdown(self, info: Any) -> None:
        await self.ctx.storage.put("count", 2)


async def lived(live: MakeHarness, kept: Any) -> tuple[Harness, Activation]:
    """A room with a socket, after a message."""
    room = live(Room, env=kept)
    answer = room.fetch(upgrade=True)
    room.durable()
    held = room.connect(await answer)
    room.message(held, "hello")
    await settle()
    return room, room.alive


async def hibernated(room: Harness, activation: Activation) -> None:
    activation.hibernate()
    await settle()
    room.durable()
    await settle()
    assert activation.ended


class Nothing:
    """Where the room is to keep something, and nothing is."""

    __slots__ = ("_",)

    def __setattr__(self, name: str, value: object) -> None:
        pass


async def test_it_is_freed_without_the_garbage_collector(live: MakeHarness) -> None:
    room, activation = await lived(live, Nothing())
    parts = [weakref.ref(part) for part in (activation, activation.delivery, activation.sockets, activation.tasks)]
    gc.collect()
    gc.disable()
    try:
        await hibernated(room, activation)
        room.activation = None
        activation.take_apart()
        del activation
        assert [part() for part in parts] == [None] * len(parts)
    finally:
        gc.enable()


async def test_what_was_kept_of_it_says_that_it_has_ended(live: MakeHarness) -> None:
    kept = Kept()
    room, activation = await lived(live, kept)
    await hibernated(room, activation)
    activation.take_apart()
    late: list[Callable[[], Any]] = [
        lambda: kept.ctx.get_web_sockets(),
        lambda: kept.ctx.broadcast("late"),
        lambda: kept.ctx.storage.put("count", 3),
        lambda: kept.ctx.storage.get_alarm(),
        lambda: kept.ctx.storage.delete_alarm(),
        lambda: kept.ws.serialize_attachment("late"),
    ]
    for call in late:
        with pytest.raises(InvalidStateError, match="life of the object has ended"):
            call()
    kept.ws.send("late")
    kept.ws.close()
    assert kept.ctx.id == activation.object_id
    assert "hibernated" in repr(activation)
    await settle()
    assert [effect for effect in room.all_left() if effect[0] == "send"] == [("send", "hello", [1])]


async def test_the_next_life_has_everything(live: MakeHarness) -> None:
    room, activation = await lived(live, Kept())
    await hibernated(room, activation)
    activation.take_apart()
    (held,) = room.roll.sockets
    room.message(held, "again")
    room.durable()
    assert ("send", "again", [1]) in room.all_left()
    assert room.woken == 2


async def test_a_life_that_goes_on_has_no_other_attributes_than_it_has(live: MakeHarness) -> None:
    _, activation = await lived(live, Kept())
    assert not hasattr(activation, "no_such_part")
    with pytest.raises(AssertionError, match="once it has ended"):
        activation.take_apart()
    activation.stop(ObjectResetError("over"))
    assert activation.sockets.over
