from __future__ import annotations

import asyncio
from typing import Any

from roost.objects.web_socket_pair import WebSocketPair

from .harness import MakeHarness, Scripted, settle, signal


async def test_every_reason_is_told_in_words(live: MakeHarness) -> None:
    go = signal()

    async def everything(self: Any) -> str:
        for end in WebSocketPair():
            end.accept()
        self.task = asyncio.create_task(asyncio.Event().wait(), name="poll")
        self.ctx.wait_until(asyncio.Event().wait())
        await self.ctx.storage.put("a", 1)
        await self.ctx.block_concurrency_while(lambda: asyncio.shield(go))
        return ""

    room = live(Scripted, env={"/": everything})
    room.fetch().add_done_callback(lambda answer: answer.exception())
    room.fetch().add_done_callback(lambda answer: answer.exception())
    await settle()
    assert room.alive.pinned_by() == [
        "1 event under way",
        "1 event waiting",
        "critical section",
        "wait_until",
        "writes that are not durable yet",
        "active WebSocket",
        "task poll",
    ]
    assert room.alive.idle_since is None


async def test_an_object_under_construction_is_pinned(live: MakeHarness) -> None:
    def construct(self: Scripted) -> None:
        self.ctx.block_concurrency_while(signal)

    room = live(Scripted, env={"construct": construct})
    room.message(room.hold(), "x")
    assert room.alive.pinned_by() == ["1 event waiting", "being constructed", "critical section"]


async def test_hibernating_sockets_do_not_pin(live: MakeHarness) -> None:
    room = live(Scripted, env={})
    held = room.hold()
    room.clock.advance(5)
    room.message(held, "x")
    room.clock.advance(20)
    assert room.alive.pinned_by() == []
    assert room.alive.idle_since == room.clock.now - 20


async def test_time_in_which_only_a_pin_kept_it_awake_is_metered_by_reason(live: MakeHarness) -> None:
    async def start(self: Any) -> str:
        self.task = asyncio.create_task(asyncio.Event().wait(), name="poll")
        return ""

    room = live(Scripted, env={"/": start})
    await room.text()
    await settle()
    assert room.alive.idle_since is None
    room.clock.advance(2)
    assert room.alive.idle_since is None
    room.message(room.hold(), "x")
    room.clock.advance(1)
    assert room.alive.idle_since is None
    assert room.meter.snapshot()["pinned_ms"] == {"task": 3000}
    assert room.meter.active_ms == 0
