from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import ConstructionError, ObjectResetError, StorageError
from roost.ids import ObjectId
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.request import Request
from roost.response import Response

from .harness import Harness, MakeHarness, settle


class Board(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.board: dict[str, int] = {}

        async def load() -> None:
            self.board = await ctx.storage.get("board") or {}

        ctx.block_concurrency_while(load)

    async def fetch(self, request: Request) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server, ["room-tag"])
            return Response(None, status=101, web_socket=client)
        return Response.json(self.board)

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        self.board[message] = self.board.get(message, 0) + 1
        await self.ctx.storage.put("board", self.board)
        for s in self.ctx.get_web_sockets("room-tag"):
            if s is not ws:
                s.send(message)


async def test_the_whiteboard_of_the_article_runs_and_its_board_survives_sleep(live: MakeHarness) -> None:
    room = live(Board)
    one = room.connect(await room.fetch(upgrade=True))
    two = room.connect(await room.fetch(upgrade=True))
    three = room.connect(await room.fetch(upgrade=True))
    room.message(one, "line")
    assert room.all_left() == []
    room.durable()
    assert room.all_left() == [("send", "line", [2, 3]), ("finished", [1])]
    await settle()
    assert room.alive.pinned_by() == []
    room.alive.hibernate()
    assert room.ended == [None]
    room.message(two, "line")
    room.durable()
    assert room.left() == [("send", "line", [1, 3])]
    assert await room.text() == '{"line":2}'
    assert room.woken == 2
    assert three.ready_state == 1


class Sleeper(DurableObject):
    async def fetch(self, request: Request) -> Response:
        before = asyncio.current_task()
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, 7))
        assert asyncio.current_task() is before
        return Response(str(task.result()))


async def test_timeouts_and_task_groups_work_in_handlers(live: MakeHarness) -> None:
    assert await live(Sleeper).text() == "7"


class Late:
    """A store whose objects must be prepared, which ends when the test says so."""

    def __init__(self, room: Harness) -> None:
        self.ready: list[Callable[[StorageError | None], None]] = []
        room.store.prepare = self._prepare  # type: ignore[method-assign]

    def _prepare(self, object_id: ObjectId, ready: Callable[[StorageError | None], None]) -> bool:
        self.ready.append(ready)
        return False


async def test_the_constructor_waits_until_what_is_stored_can_be_read(live: MakeHarness) -> None:
    room = live(Board)
    late = Late(room)
    first, second = room.fetch(), room.fetch()
    await settle()
    assert not room.alive.constructed
    assert not first.done()
    late.ready.pop()(None)
    assert await (await first).text() == await (await second).text() == "{}"
    assert late.ready == [], "asked once in a life"


async def test_what_cannot_be_read_is_told_and_the_next_event_tries_again(live: MakeHarness) -> None:
    room = live(Board)
    late = Late(room)
    answer = room.fetch()
    late.ready.pop()(StorageError("the disk is full"))
    with pytest.raises(ConstructionError, match="cannot be had now: the disk is full") as caught:
        await answer
    assert isinstance(caught.value.__cause__, StorageError)
    again = room.fetch()
    late.ready.pop()(None)
    assert await (await again).text() == "{}"


async def test_a_life_that_ended_while_it_was_prepared_is_not_constructed(live: MakeHarness) -> None:
    room = live(Board)
    late = Late(room)
    answer = room.fetch()
    room.alive.stop(ObjectResetError("its host stops"))
    with pytest.raises(ObjectResetError, match="its host stops"):
        await answer
    for error in (None, StorageError("the store was closed")):
        late.ready[0](error)
    assert len(room.ended) == 1
