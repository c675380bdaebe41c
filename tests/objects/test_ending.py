"""Whatever ends an activation: nobody is left waiting, and nothing of it reaches the world any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import (
    ConstructionError,
    InputGateBrokenError,
    InvalidStateError,
    ObjectResetError,
    OutputGateBrokenError,
    StorageError,
    StorageFullError,
)
from roost.objects.durable_object import DurableObject
from roost.objects.lifecycle import State
from roost.objects.web_socket import WebSocket

from .harness import MakeHarness, Scripted, settle, signal


class Refuses(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.storage.kv.put("dropped", 1)
        ctx.broadcast("hello")
        if env["fails"]:
            raise LookupError("no board")

    async def fetch(self, request: Any) -> Any:
        from roost.response import Response

        return Response(str(await self.ctx.storage.get("dropped")))

    async def web_socket_message(self, ws: WebSocket, message: str) -> None: ...


async def test_an_error_of_the_constructor_fails_what_waits_and_its_sends_vanish(live: MakeHarness) -> None:
    env = {"fails": True}
    room = live(Refuses, env=env)
    held = room.hold()
    with pytest.raises(ConstructionError, match="no board") as caught:
        await room.fetch()
    assert isinstance(caught.value.__cause__, LookupError)
    room.message(held, "x")
    assert room.all_left() == []
    assert room.log.pending() == []
    assert held.ready_state == 1
    assert room.woken == 2
    assert room.meter.snapshot()["resets"] == {"constructor": 2}
    env["fails"] = False
    answer = room.fetch()
    room.durable()
    assert await (await answer).text() == "1"
    assert room.all_left() == [("broadcast", "hello", None, []), ("finished", [1])]


def blocked_until(go: asyncio.Future[None]) -> Any:
    """A handler that keeps everything else waiting, and then resets the object."""

    async def blocking(self: Scripted, *_: Any) -> str:
        async def section() -> None:
            await go
            raise LookupError("x")

        await self.ctx.block_concurrency_while(section)
        return ""

    return blocking


async def test_what_waits_at_a_reset_goes_to_the_next_life_in_its_order(live: MakeHarness) -> None:
    go = signal()
    env: dict[str, Any] = {"/": blocked_until(go)}
    room = live(Scripted, env=env)
    one, two = room.hold(), room.hold()
    answers = [room.fetch(), room.fetch()]
    room.message(one, "a")
    room.message(two, "b")
    room.message(one, "c")
    room.close(two)
    room.fail(one, ValueError("frame"))
    go.set_result(None)
    for answer in answers:
        with pytest.raises(InputGateBrokenError):
            await answer
    assert room.all_left() == []
    assert list(room.roll.sockets) == [one, two]
    room.message(one, "d")
    heard = ["message a", "message b", "message c", "closed 1000  True", "error frame", "message d"]
    assert env["log"] == heard
    assert room.all_left() == [("finished", [1]), ("finished", [2]), ("finished", [1]), ("finished", [1])]
    assert len(room.roll) == 0


async def test_a_message_whose_handler_had_begun_is_not_heard_again(live: MakeHarness) -> None:
    go = signal()
    env: dict[str, Any] = {"begin": blocked_until(go)}
    room = live(Scripted, env=env)
    one, two = room.hold(), room.hold()
    room.message(one, "begin")
    room.message(two, "next")
    go.set_result(None)
    await settle()
    assert room.all_left() == [("finished", [1])]
    room.wake().start()
    assert env["log"] == ["message begin", "message next"]
    assert (one.ready_state, two.ready_state) == (1, 1)


async def test_after_a_lost_write_only_sockets_whose_messages_had_begun_close(live: MakeHarness) -> None:
    async def write(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.sync()

    env: dict[str, Any] = {"write": write}
    room = live(Scripted, env=env)
    one, two = room.hold(), room.hold()
    room.message(one, "write")
    room.message(one, "lost with it")
    room.message(two, "waits")
    room.log.pending()[0].fail(StorageFullError("no room"))
    await settle()
    lost_write = "the object could not store what this message changed"
    assert room.all_left() == [("close", 1, 1011, lost_write), ("finished", [1, 1])]
    room.wake().start()
    assert env["log"] == ["message write", "message waits"]
    assert two.ready_state == 1


async def test_while_the_storage_is_broken_no_life_begins_and_what_waits_is_kept(live: MakeHarness) -> None:
    async def write(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)

    env: dict[str, Any] = {"write": write}
    room = live(Scripted, env=env)
    one, two = room.hold(), room.hold()
    room.message(one, "write")
    room.log.pending()[0].fail(StorageError("broken"))
    room.message(two, "waits")
    assert [type(cause) for cause in room.ended] == [OutputGateBrokenError] * 2
    assert room.leftovers != []
    assert env["log"] == ["message write"]
    assert two.ready_state == 1


async def test_what_waits_when_the_host_stops_closes_its_socket(live: MakeHarness) -> None:
    go = signal()
    room = live(Scripted, env={"begin": blocked_until(go)})
    one, two, three = room.hold(), room.hold(), room.hold()
    room.message(one, "begin")
    room.message(two, "next")
    room.close(three)
    room.alive.stop(ObjectResetError("moved"))
    restarted = "the object was restarted"
    closes = [("close", 1, 1012, restarted), ("close", 2, 1012, restarted)]
    assert room.all_left() == [*closes, ("finished", [1, 2])]
    assert room.leftovers == []
    assert list(room.roll.sockets) == [one, two]


async def test_an_end_that_the_class_has_no_method_for_is_not_left_over(live: MakeHarness) -> None:
    room = live(Refuses, env={"fails": True})
    held = room.hold()
    room.close(held)
    assert room.leftovers == []
    assert len(room.roll) == 0


async def test_what_waits_goes_before_the_tasks_of_the_next_life(live: MakeHarness) -> None:
    """So that a life which its own tasks end at once has heard something."""

    def construct(self: Scripted) -> None:
        async def first() -> None:
            self.ctx.abort("at once")

        env["task"] = asyncio.create_task(first())

    env: dict[str, Any] = {"construct": construct}
    room = live(Scripted, env=env)
    held = room.hold()
    room.message(held, "a")
    await settle()
    room.message(held, "b")
    await settle()
    assert env["log"] == ["message a", "message b"]
    assert len(room.ended) == 2


async def test_a_request_that_fails_in_a_constructor_gets_its_error_also_while_draining(live: MakeHarness) -> None:
    go = signal()

    def construct(self: Scripted) -> None:
        async def load() -> None:
            await go
            raise LookupError("no board")

        self.ctx.block_concurrency_while(load)

    room = live(Scripted, env={"construct": construct})
    answer = room.fetch()
    drained = room.alive.drain()
    go.set_result(None)
    with pytest.raises(ConstructionError, match="no board"):
        await answer
    assert drained.done()


async def test_code_of_a_life_that_has_ended_is_cancelled_and_reaches_nothing(live: MakeHarness) -> None:
    seen: list[str] = []

    async def zombie(self: Scripted, ws: WebSocket) -> None:
        task = asyncio.create_task(asyncio.sleep(1000))
        try:
            await task
        finally:
            seen.append("cancelled")
            ws.send("from the dead")
            with pytest.raises(InvalidStateError, match="life of the object has ended"):
                await self.ctx.storage.get("a")
            with pytest.raises(InvalidStateError, match="life of the object has ended"):
                self.ctx.block_concurrency_while(signal)
            await asyncio.sleep(0)
            seen.append("through")

    async def abort(self: Scripted, ws: WebSocket) -> None:
        self.ctx.abort("x")

    room = live(Scripted, env={"zombie": zombie, "abort": abort})
    held = room.hold()
    room.message(held, "zombie")
    room.message(held, "abort")
    await settle()
    assert seen == ["cancelled", "through"]
    assert room.all_left() == [("finished", [1, 1])]


async def test_what_was_lined_up_at_the_gate_is_cancelled_too(live: MakeHarness) -> None:
    seen: list[str] = []
    ready, go = signal(), signal()

    async def waits(self: Scripted) -> str:
        try:
            await ready
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    async def blocking(self: Scripted) -> str:
        async def section() -> None:
            await go
            self.ctx.abort("x")

        await self.ctx.block_concurrency_while(section)
        return "never"

    room = live(Scripted, env={"/waits": waits, "/": blocking})
    answers = [room.fetch("/waits"), room.fetch("/")]
    await settle()
    ready.set_result(None)
    await settle()
    go.set_result(None)
    for answer in answers:
        with pytest.raises(ObjectResetError):
            await answer
    await settle()
    assert seen == ["cancelled"]


async def test_each_caller_gets_an_error_of_its_own(live: MakeHarness) -> None:
    async def waits(self: Scripted) -> str:
        await asyncio.Event().wait()
        return "never"

    room = live(Scripted, env={"/": waits})
    answers = [room.fetch(), room.fetch()]
    room.alive.stop(ObjectResetError("moved"))
    errors = await asyncio.gather(*answers, return_exceptions=True)
    assert [str(error) for error in errors] == ["moved", "moved"]
    assert errors[0] is not errors[1]


async def test_an_answer_that_is_held_still_leaves_after_a_stop(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        return "stored"

    room = live(Scripted, env={"/": fetch})
    answer = room.fetch()
    activation = room.alive
    activation.stop(ObjectResetError("moved"))
    assert activation.state is State.STOPPED
    assert not answer.done()
    room.durable()
    assert await (await answer).text() == "stored"


async def test_a_request_for_a_life_that_has_ended_fails(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        return "x"

    room = live(Scripted, env={"/": fetch})
    await room.text()
    activation = room.alive
    activation.hibernate()
    room.activation = activation
    with pytest.raises(ObjectResetError, match="has ended"):
        await room.fetch()
    room.activation = None


async def test_hibernation_is_refused_while_the_object_is_pinned(live: MakeHarness) -> None:
    async def waits(self: Scripted) -> str:
        await asyncio.Event().wait()
        return "never"

    room = live(Scripted, env={"/": waits})
    answer = room.fetch()
    with pytest.raises(AssertionError, match="pinned by 1 event under way"):
        room.alive.hibernate()
    assert not answer.done()
    room.alive.stop(ObjectResetError("over"))
    with pytest.raises(ObjectResetError):
        await answer


async def test_a_drain_waits_for_what_is_under_way_and_for_its_effects(live: MakeHarness) -> None:
    go = signal()

    async def slow(self: Any) -> str:
        self.background = asyncio.create_task(asyncio.Event().wait())
        await go
        await self.ctx.storage.put("a", 1)
        return "slow"

    room = live(Scripted, env={"/": slow})
    answer = room.fetch()
    drained = room.alive.drain()
    assert room.alive.state is State.DRAINING
    assert room.alive.drain() is drained
    go.set_result(None)
    await settle()
    assert not drained.done()
    room.durable()
    await drained
    assert await (await answer).text() == "slow"


async def test_a_drain_of_an_object_with_nothing_to_do_is_done_at_once(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        return "x"

    room = live(Scripted, env={"/": fetch})
    await room.text()
    assert room.alive.drain().done()


async def test_a_commit_that_the_storage_refuses_breaks_the_output_gate(live: MakeHarness) -> None:
    async def write(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)
        ws.send("never")

    room = live(Scripted, env={"write": write})
    held = room.hold()
    room.log.refuse_with = StorageError("no")
    room.message(held, "write")
    assert room.all_left() == [
        ("close", 1, 1011, "the object could not store what this message changed"),
        ("finished", [1]),
    ]
    assert room.clock.waiting() == 0


async def test_sockets_accepted_for_an_answer_that_never_left_leave_the_roll(live: MakeHarness) -> None:
    from roost.objects.web_socket_pair import WebSocketPair

    async def fetch(self: Scripted) -> str:
        self.ctx.accept_web_socket(WebSocketPair().server)
        self.ctx.abort("x")

    room = live(Scripted, env={"/": fetch})
    with pytest.raises(ObjectResetError):
        await room.fetch(upgrade=True)
    assert len(room.roll) == 0


async def test_a_dropped_close_leaves_the_socket_open_and_a_dropped_attachment_is_told_all_the_same(
    live: MakeHarness,
) -> None:
    async def abort(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("dropped", 1)
        ws.serialize_attachment("kept")
        ws.close(4000)
        self.ctx.abort("x")

    room = live(Scripted, env={"abort": abort})
    held = room.hold()
    room.message(held, "abort")
    assert room.all_left() == [("attach", 1, held.attachment), ("finished", [1])]
    assert held.ready_state == 1


async def test_code_of_a_life_that_has_ended_cannot_change_the_sockets_of_the_next(live: MakeHarness) -> None:
    from roost.objects.web_socket_pair import WebSocketPair

    kept: list[Any] = []

    async def go(self: Scripted, ws: WebSocket) -> None:
        kept.extend([self, ws])
        self.ctx.abort("x")

    room = live(Scripted, env={"go": go})
    held = room.hold()
    room.message(held, "go")
    this, ws = kept
    ws.close()
    ws.send("x")
    calls: list[Callable[[], None]] = [
        lambda: ws.serialize_attachment(1),
        lambda: this.ctx.accept_web_socket(WebSocketPair().server),
        lambda: this.ctx.set_web_socket_auto_response(None),
    ]
    for call in calls:
        with pytest.raises(InvalidStateError, match="this life of the object has ended"):
            call()
    assert (held.ready_state, held.attachment, room.left()) == (1, None, [])


async def test_sections_and_work_that_never_began_are_dropped_without_a_word(live: MakeHarness) -> None:
    """A coroutine that is forgotten would warn, and warnings are errors here."""

    async def go(self: Scripted, ws: WebSocket) -> None:
        async def work() -> None: ...

        self.ctx.block_concurrency_while(work())
        self.ctx.wait_until(work())
        self.ctx.abort("x")

    room = live(Scripted, env={"go": go})
    room.message(room.hold(), "go")
    await settle()
    assert len(room.ended) == 1
