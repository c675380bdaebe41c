from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from roost.errors import (
    DurableObjectAbort,
    InvalidArgumentError,
    InvalidStateError,
    LimitExceededError,
    ObjectResetError,
    WrongTypeError,
)
from roost.held_socket import HeldSocket
from roost.objects.auto_response import WebSocketRequestResponsePair
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair

from .harness import MakeHarness, Scripted, settle
from .test_sockets import inside


async def test_ctx_knows_the_object_and_its_storage(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        assert self.ctx.id.name == "x"
        assert repr(self.ctx).startswith("<DurableObjectState of <ObjectId ROOM 'x'")
        self.ctx.storage.kv.put("a", 1)

    room = await inside(live, step)
    assert len(room.log.pending()) == 1


# -- automatic responses -----------------------------------------------------------------------------------------------


async def test_an_automatic_response_is_told_to_the_gateways_and_outlives_the_activation(live: MakeHarness) -> None:
    pair = WebSocketRequestResponsePair("ping", "pong")

    def step(self: Scripted, ws: WebSocket) -> None:
        assert self.ctx.get_web_socket_auto_response() is None
        self.ctx.set_web_socket_auto_response(pair)
        self.ctx.set_web_socket_auto_response(pair)
        assert self.ctx.get_web_socket_auto_response() == pair

    room = await inside(live, step)
    assert room.left() == [("auto", ("ping", "pong"))]
    room.alive.hibernate()

    async def later(self: Scripted) -> str:
        assert self.ctx.get_web_socket_auto_response() == pair
        self.ctx.set_web_socket_auto_response(None)
        return str(self.ctx.get_web_socket_auto_response())

    room.env["/"] = later
    assert await room.text() == "None"
    assert room.left() == [("auto", None)]


async def test_what_is_no_pair_or_too_long_is_refused(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="expected a WebSocketRequestResponsePair or None, got tuple"):
            self.ctx.set_web_socket_auto_response(("ping", "pong"))  # type: ignore[arg-type]
        with pytest.raises(LimitExceededError, match="2048 bytes of UTF-8, this one has 2049"):
            self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("x" * 2049, "pong"))

    room = await inside(live, step)
    assert room.left() == []


async def test_the_time_of_the_last_automatic_response_is_an_aware_datetime(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        assert self.ctx.get_web_socket_auto_response_timestamp(ws) is None
        held: HeldSocket = ws._held  # type: ignore[assignment]
        held.auto_response_ms = 1_700_000_000_123
        expected = dt.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=dt.UTC)
        assert self.ctx.get_web_socket_auto_response_timestamp(ws) == expected

    await inside(live, step)


async def test_questions_about_hibernating_sockets_are_not_for_others(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        server = WebSocketPair().server
        with pytest.raises(InvalidStateError, match="get_tags is for WebSockets taken with accept_web_socket"):
            self.ctx.get_tags(server)
        with pytest.raises(InvalidStateError, match="this end was not accepted yet"):
            self.ctx.get_web_socket_auto_response_timestamp(server)
        with pytest.raises(WrongTypeError, match="get_tags takes a WebSocket, got str"):
            self.ctx.get_tags("ws")  # type: ignore[arg-type]

    await inside(live, step)


# -- the limit on events of sockets ------------------------------------------------------------------------------------


async def test_the_limit_on_events_is_checked(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        self.ctx.set_hibernatable_web_socket_event_timeout(1500)
        assert self.ctx.get_hibernatable_web_socket_event_timeout() == 1500
        self.ctx.set_hibernatable_web_socket_event_timeout(0)
        assert self.ctx.get_hibernatable_web_socket_event_timeout() is None
        with pytest.raises(LimitExceededError, match=r"may be 604800000 milliseconds \(seven days\), got 604800001"):
            self.ctx.set_hibernatable_web_socket_event_timeout(604_800_001)
        with pytest.raises(InvalidArgumentError, match="must not be negative"):
            self.ctx.set_hibernatable_web_socket_event_timeout(-1)
        with pytest.raises(WrongTypeError, match="must be an int of milliseconds or None, got float"):
            self.ctx.set_hibernatable_web_socket_event_timeout(1.5)  # type: ignore[arg-type]

    await inside(live, step)


# -- abort -------------------------------------------------------------------------------------------------------------


async def test_abort_resets_the_object_drops_the_writes_of_the_turn_and_tells_the_caller_why(live: MakeHarness) -> None:
    async def abort(self: Scripted) -> str:
        await self.ctx.storage.put("kept", 1)
        await asyncio.sleep(0)
        await self.ctx.storage.put("dropped", 1)
        try:
            self.ctx.abort("board is broken")
        except Exception:  # noqa: BLE001 - that this does not catch it is the point
            return "caught"

    async def read(self: Scripted) -> str:
        return f"{await self.ctx.storage.get('kept')} {await self.ctx.storage.get('dropped')}"

    room = live(Scripted, env={"/": abort, "/read": read})
    answer = room.fetch()
    await settle()
    room.durable()
    with pytest.raises(ObjectResetError, match=r"^board is broken$"):
        await answer
    assert room.meter.snapshot()["resets"] == {"abort": 1}
    assert await room.text("/read") == "1 None"
    assert room.woken == 2


async def test_catching_the_abort_changes_nothing(live: MakeHarness) -> None:
    async def abort(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(DurableObjectAbort):
            self.ctx.abort()
        ws.send("still here")

    room = live(Scripted, env={"abort": abort})
    held = room.hold()
    room.message(held, "abort")
    assert str(room.ended[0]) == "the object asked to be reset"
    assert ("finished", [1]) in room.all_left()
    assert "object.handler_failed" not in room.names()


async def test_what_was_sent_before_the_dropped_write_still_leaves_and_what_came_after_does_not(
    live: MakeHarness,
) -> None:
    async def abort(self: Scripted, ws: WebSocket) -> None:
        ws.send("before")
        await self.ctx.storage.put("dropped", 1)
        ws.send("after")
        self.ctx.abort("enough")

    room = live(Scripted, env={"abort": abort})
    room.message(room.hold(), "abort")
    assert room.all_left() == [("send", "before", [1]), ("finished", [1])]
    assert room.log.pending() == []


async def test_abort_from_a_timer_of_the_loop_resets_at_once(live: MakeHarness) -> None:
    raised: list[str] = []

    async def go(self: Scripted, ws: WebSocket) -> None:
        def later() -> None:
            with pytest.raises(DurableObjectAbort):
                self.ctx.abort("from a timer")
            raised.append("aborted")

        asyncio.get_running_loop().call_soon(later)

    room = live(Scripted, env={"go": go})
    room.message(room.hold(), "go")
    await settle()
    assert raised == ["aborted"]
    assert str(room.ended[0]) == "from a timer"
