from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import WrongTypeError
from roost.objects.web_socket import WebSocket

from .harness import MakeHarness, Scripted, settle, signal
from .test_sockets import inside

# -- the limit on events of sockets ------------------------------------------------------------------------------------


async def test_an_event_of_a_socket_that_takes_too_long_resets_the_object(live: MakeHarness) -> None:
    go = signal()

    async def limit(self: Scripted, ws: WebSocket) -> None:
        self.ctx.set_hibernatable_web_socket_event_timeout(1500)

    async def waits(self: Scripted, ws: WebSocket) -> None:
        await asyncio.shield(go)

    room = live(Scripted, env={"limit": limit, "waits": waits})
    held = room.hold()
    room.message(held, "limit")
    room.message(held, "waits")
    room.clock.advance(1.4)
    assert room.ended == []
    room.clock.advance(0.2)
    assert str(room.ended[0]) == "an event of a WebSocket took longer than 1500 ms"
    assert held.ready_state == 1
    await settle()


async def test_an_event_that_ends_in_time_leaves_no_timer(live: MakeHarness) -> None:
    go = signal()

    async def waits(self: Scripted, ws: WebSocket) -> None:
        self.ctx.set_hibernatable_web_socket_event_timeout(1500)
        await go

    room = live(Scripted, env={"waits": waits})
    room.message(room.hold(), "waits")
    assert room.clock.waiting() == 1
    go.set_result(None)
    await settle()
    assert room.clock.waiting() == 0


# -- wait_until --------------------------------------------------------------------------------------------------------


async def test_wait_until_keeps_the_object_in_memory_and_does_not_delay_the_reply(live: MakeHarness) -> None:
    go = signal()

    async def fetch(self: Scripted) -> str:
        async def work() -> None:
            await go
            self.log.append("worked")

        self.ctx.wait_until(work())
        return "replied"

    env: dict[str, Any] = {"/": fetch}
    room = live(Scripted, env=env)
    assert await room.text() == "replied"
    await settle()
    assert room.alive.pinned_by() == ["wait_until"]
    go.set_result(None)
    await settle()
    assert (env["log"], room.alive.pinned_by(), room.clock.waiting()) == (["worked"], [], 0)


async def test_a_failure_under_wait_until_is_reported(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        async def work() -> None:
            raise LookupError("later")

        self.ctx.wait_until(work())
        return "replied"

    room = live(Scripted, env={"/": fetch})
    happened = room.observer.wait_for("object.handler_failed")
    assert await room.text() == "replied"
    assert str((await happened)["error"]) == "later"


async def test_wait_until_ends_after_its_limit(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        self.ctx.wait_until(asyncio.Event().wait())
        return "replied"

    room = live(Scripted, env={"/": fetch})
    await room.text()
    await settle()
    happened = room.observer.wait_for("object.handler_failed")
    room.clock.advance(900)
    assert "may take 900 seconds" in str((await happened)["error"])
    assert room.alive.pinned_by() == []


async def test_wait_until_takes_an_awaitable(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="wait_until takes an awaitable, got function"):
            self.ctx.wait_until(lambda: None)  # type: ignore[arg-type]

    await inside(live, step)
