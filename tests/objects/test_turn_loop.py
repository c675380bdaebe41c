from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import ObjectResetError
from roost.events import SocketMessage
from roost.held_socket import HeldSocket
from roost.objects.current_task import restore_current_task
from roost.objects.turn_loop import FINISH, LEAVE, NOTHING, TURNS_AT_ONCE

from .harness import Harness, MakeHarness, Scripted, settle, signal


def handed(room: Harness, held: HeldSocket, data: str) -> int:
    """What is owed for a message that is given to the object as one of many."""
    loop = asyncio.get_running_loop()
    previous = asyncio.current_task(loop)
    try:
        return room.alive.deliver_message(held, data)
    finally:
        restore_current_task(loop, previous)


async def test_an_object_with_much_to_do_lets_the_rest_of_the_loop_have_its_turn(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Scripted) -> str:
        await self.ctx.block_concurrency_while(lambda: go)
        return ""

    env: dict[str, Any] = {"/": blocking}
    room = live(Scripted, env=env)
    answer = room.fetch()
    held = room.hold()
    count = 3 * TURNS_AT_ONCE
    for number in range(count):
        room.message(held, str(number))
    go.set_result(None)
    most = 0
    while len(env["log"]) < count:
        before = len(env["log"])
        await asyncio.sleep(0)
        most = max(most, len(env["log"]) - before)
    assert most <= TURNS_AT_ONCE + 1
    assert env["log"] == [f"message {number}" for number in range(count)]
    await answer


async def test_an_event_that_arrives_while_effects_leave_waits_for_the_turn_to_be_over(live: MakeHarness) -> None:
    async def first(self: Scripted, ws: Any) -> None:
        activation = room.alive
        activation.depart(lambda: activation.deliver(SocketMessage(held, "second")))
        ws.send("one")

    async def second(self: Scripted, ws: Any) -> None:
        ws.send("two")

    room = live(Scripted, env={"first": first, "second": second})
    held = room.hold()
    room.message(held, "first")
    assert [effect[0:2] for effect in room.all_left()] == [
        ("send", "one"),
        ("finished", [1]),
        ("send", "two"),
        ("finished", [1]),
    ]


async def test_a_failure_of_roost_itself_ends_the_object_rather_than_hanging_it(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await asyncio.Event().wait()
        return ""

    async def breaks(self: Scripted, ws: Any) -> None:
        def fails() -> None:
            raise RuntimeError("depart must not raise")

        room.alive.depart(fails)

    room = live(Scripted, env={"/": fetch, "breaks": breaks})
    answer = room.fetch()
    with pytest.raises(RuntimeError, match="depart must not raise"):
        room.message(room.hold(), "breaks")
    with pytest.raises(ObjectResetError, match="internal error"):
        await answer
    await settle()
    assert room.meter.snapshot()["resets"] == {"internal error": 1}


async def test_what_messages_that_came_together_send_leaves_together(live: MakeHarness) -> None:
    async def echo(self: Scripted, ws: Any) -> None:
        ws.send("sent")

    room = live(Scripted, env={"echo": echo})
    held = room.hold()
    room.message(held, "echo")
    room.all_left()
    for _ in range(3):
        assert handed(room, held, "echo") == FINISH
        assert room.all_left() == []
    room.alive.end_turns()
    assert [effect[:2] for effect in room.all_left()] == [("send", "sent")] * 3


async def test_what_was_sent_before_a_message_that_writes_does_not_wait_for_it(live: MakeHarness) -> None:
    async def echo(self: Scripted, ws: Any) -> None:
        ws.send("sent")

    async def put(self: Scripted, ws: Any) -> None:
        ws.send("before")
        await self.ctx.storage.put("key", 1)
        ws.send("stored")

    room = live(Scripted, env={"echo": echo, "put": put})
    held = room.hold()
    room.message(held, "echo")
    room.all_left()
    assert handed(room, held, "echo") == FINISH
    assert handed(room, held, "put") == NOTHING
    assert [effect[:2] for effect in room.all_left()] == [("send", "sent"), ("send", "before")]
    (append,) = room.log.pending()
    append.succeed()
    assert [effect[:2] for effect in room.all_left()] == [("send", "stored"), ("finished", [1])]


async def test_what_a_failed_handler_sent_leaves_with_the_rest_and_its_message_is_finished(live: MakeHarness) -> None:
    async def fails(self: Scripted, ws: Any) -> None:
        ws.send("before")
        raise ValueError("mine")

    room = live(Scripted, env={"fails": fails})
    held = room.hold()
    room.message(held, "wake")
    room.all_left()
    assert handed(room, held, "fails") == LEAVE
    assert handed(room, held, "other") == FINISH
    assert room.all_left() == []
    room.alive.end_turns()
    assert [effect[:2] for effect in room.all_left()] == [("send", "before"), ("finished", [1])]


async def test_a_message_is_not_finished_before_what_it_sent_may_leave(live: MakeHarness) -> None:
    async def echo(self: Scripted, ws: Any) -> None:
        ws.send("sent")

    async def put(self: Scripted, ws: Any) -> None:
        await self.ctx.storage.put("key", 1)

    room = live(Scripted, env={"echo": echo, "put": put})
    held = room.hold()
    room.message(held, "put")
    assert handed(room, held, "echo") == LEAVE
    room.alive.end_turns()
    assert room.all_left() == []
    room.durable()
    assert [effect[:2] for effect in room.all_left()] == [("finished", [1]), ("send", "sent"), ("finished", [1])]


async def test_what_was_sent_before_a_message_that_resets_the_object_is_not_lost(live: MakeHarness) -> None:
    async def echo(self: Scripted, ws: Any) -> None:
        ws.send("sent")

    async def fails(self: Scripted, ws: Any) -> None:
        await self.ctx.storage.put("key", 1)
        ws.send("never")
        self.ctx.abort("enough")

    room = live(Scripted, env={"echo": echo, "fails": fails})
    held = room.hold()
    room.message(held, "echo")
    room.all_left()
    life = room.alive
    assert handed(room, held, "echo") == FINISH
    assert handed(room, held, "fails") == NOTHING
    assert [effect[:2] for effect in room.all_left()] == [("send", "sent"), ("finished", [1])]
    assert life.ended


async def test_an_object_that_is_flooded_lets_the_loop_turn_between_its_messages(live: MakeHarness) -> None:
    """Counted, not timed: what else the loop had to do is done after at most so many turns of the object."""
    handled: list[str] = []

    async def note(self: Scripted, ws: Any) -> None:
        handled.append("flood")

    room = live(Scripted, env={"note": note})
    held = room.hold()
    room.message(held, "note")
    await settle()
    handled.clear()
    loop = asyncio.get_running_loop()
    for _ in range(10 * TURNS_AT_ONCE):
        room.message(held, "note")
    loop.call_soon(handled.append, "other")
    first = len(handled)
    assert first <= TURNS_AT_ONCE
    await settle()
    assert len(handled) == 10 * TURNS_AT_ONCE + 1
    assert handled.index("other") <= 2 * TURNS_AT_ONCE


async def test_messages_of_a_flood_keep_their_order(live: MakeHarness) -> None:
    handled: list[int] = []

    class Ordered(Scripted):
        async def web_socket_message(self, ws: Any, message: Any) -> None:
            handled.append(int(message))
            if int(message) % 7 == 0:
                await asyncio.sleep(0)

    room = live(Ordered, env={})
    held = room.hold()
    for number in range(5 * TURNS_AT_ONCE):
        room.message(held, str(number))
        if number % 50 == 0:
            await asyncio.sleep(0)
    await settle()
    assert handled == list(range(5 * TURNS_AT_ONCE))
