from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import ObjectResetError
from roost.events import SocketMessage
from roost.objects.turn_loop import TURNS_AT_ONCE

from .harness import MakeHarness, Scripted, settle, signal


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
