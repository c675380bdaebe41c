"""`pre_shutdown`: the last word before a planned end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import ObjectResetError
from roost.held_socket import HeldSocket
from roost.objects.lifecycle import State
from roost.objects.shutdown import CODE_UPDATED, STOPPING

from .harness import Harness, MakeHarness, Scripted, settle, signal


class Leaving(Scripted):
    async def pre_shutdown(self, info: Any) -> None:
        self.log.append(f"leaving: {info.reason}")
        if "leave" in self.env:
            await self.env["leave"](self)


class Plain(Scripted):
    def pre_shutdown(self, info: Any) -> None:
        self.log.append(f"plain: {info.reason}")


async def awake(live: MakeHarness, cls: type[Scripted] = Leaving, **env: Any) -> tuple[Harness, HeldSocket]:
    room = live(cls, env=env)
    held = room.hold()
    room.message(held, "hello")
    env["log"].clear()
    room.all_left()
    return room, held


async def test_it_is_called_before_hibernation_and_what_it_writes_is_there_at_the_wake(live: MakeHarness) -> None:
    async def leave(self: Scripted) -> None:
        await self.ctx.storage.put("last", "word")
        self.ctx.broadcast("bye")
        await go
        await self.ctx.storage.put("very last", "word")

    def construct(self: Scripted) -> None:
        self.log.append(f"constructed with {list(self.ctx.storage.kv.list())}")

    go = signal()
    room, held = await awake(live, leave=leave, construct=construct)
    room.alive.hibernate()
    await settle()
    assert room.alive.pinned_by()[0] == "pre_shutdown"
    go.set_result(None)
    await settle()
    assert room.activation is None
    assert room.ended == [None]
    room.message(held, "x")
    kept = [("last", "word"), ("very last", "word")]
    assert room.env["log"] == ["leaving: inactive", f"constructed with {kept}", "message x"]
    room.durable()
    assert room.left() == [("broadcast", "bye", None, [])]


async def test_no_event_begins_meanwhile_and_all_that_came_are_for_the_next_life(live: MakeHarness) -> None:
    async def leave(self: Scripted) -> None:
        await go

    async def hello(self: Scripted) -> str:
        return "hello"

    go = signal()
    room, held = await awake(live, leave=leave)
    room.env["/"] = hello
    room.alive.hibernate()
    answer = room.fetch()
    room.message(held, "a")
    await settle()
    room.message(held, "b")
    assert room.env["log"] == ["leaving: inactive"]
    go.set_result(None)
    await settle()
    assert room.activation is None
    assert not answer.done()
    assert len(room.leftovers) == 3
    room.wake().start()
    assert await (await answer).text() == "hello"
    assert room.env["log"] == ["leaving: inactive", "message a", "message b"]


async def test_a_failure_is_reported_and_the_end_comes_all_the_same(live: MakeHarness) -> None:
    async def leave(self: Scripted) -> None:
        await self.ctx.storage.put("a", 1)
        raise LookupError("no")

    room, _ = await awake(live, leave=leave)
    room.alive.hibernate()
    await settle()
    assert room.activation is None
    assert len(room.log.pending()) == 1  # an exception takes no write back
    assert room.meter.snapshot()["errors"] == {"LookupError": 1}
    (facts,) = [facts for name, facts in room.happened if name == "object.handler_failed"]
    assert str(facts["error"]) == "no"


async def test_one_that_takes_too_long_is_cut_off(live: MakeHarness) -> None:
    async def leave(self: Scripted) -> None:
        await signal()

    room, _ = await awake(live, leave=leave)
    room.alive.hibernate()
    await settle()
    room.clock.advance(9.9)
    assert room.ended == []
    room.clock.advance(0.2)
    assert room.ended == [None]
    assert room.meter.snapshot()["errors"] == {"TimeoutError": 1}
    assert room.clock.waiting() == 0


async def test_a_plain_function_will_do(live: MakeHarness) -> None:
    room, _ = await awake(live, Plain)
    room.alive.hibernate()
    await settle()
    assert (room.activation, room.env["log"]) == (None, ["plain: inactive"])


async def test_without_one_hibernation_is_immediate(live: MakeHarness) -> None:
    room, _ = await awake(live, Scripted)
    room.alive.hibernate()
    assert room.activation is None


@pytest.mark.parametrize("reason", [CODE_UPDATED, STOPPING])
async def test_when_the_host_leaves_the_object_is_told_why_once_and_goes_on_for_late_calls(
    live: MakeHarness, reason: str
) -> None:
    async def leave(self: Scripted) -> None:
        await go
        await self.ctx.storage.put("last", "word")

    go = signal()
    room, held = await awake(live, leave=leave)
    drained = room.alive.drain()
    assert drained.done()
    told = room.alive.shut_down(reason)
    assert told is not None
    room.message(held, "late")
    await settle()
    assert (room.env["log"], told.done()) == ([f"leaving: {reason}"], False)
    go.set_result(None)
    await settle()
    assert told.done()
    assert room.env["log"] == [f"leaving: {reason}", "message late"]
    assert room.alive.shut_down(reason) is None
    written = room.alive.drain()
    assert not written.done()
    room.durable()
    assert written.done()


ENDS: dict[str, Callable[[Harness], None]] = {
    "stopped": lambda room: room.alive.stop(ObjectResetError("moved")),
    "reset": lambda room: room.alive.abort(ObjectResetError("broken")),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_life_that_ends_otherwise_meanwhile_keeps_nobody_waiting(live: MakeHarness, end: str) -> None:
    async def leave(self: Scripted) -> None:
        await signal()

    room, _ = await awake(live, leave=leave)
    told = room.alive.shut_down(STOPPING)
    assert told is not None
    await settle()
    ENDS[end](room)
    await settle()
    assert (room.activation, told.done(), room.clock.waiting()) == (None, True, 0)


async def test_an_object_that_abort_ends_is_not_told(live: MakeHarness) -> None:
    room, _ = await awake(live)
    room.alive.abort(ObjectResetError("x"))
    await settle()
    assert room.env["log"] == []


async def test_a_drain_during_the_last_word_waits_for_the_end(live: MakeHarness) -> None:
    async def leave(self: Scripted) -> None:
        await go

    go = signal()
    room, _ = await awake(live, leave=leave)
    activation = room.alive
    activation.hibernate()
    drained = activation.drain()
    await settle()
    assert not drained.done()
    go.set_result(None)
    await settle()
    assert drained.done()
    assert activation.state is State.HIBERNATED


async def test_an_object_that_is_not_constructed_yet_has_no_last_word(live: MakeHarness) -> None:
    def construct(self: Scripted) -> None:
        self.ctx.block_concurrency_while(signal)

    room = live(Leaving, env={"construct": construct})
    room.message(room.hold(), "x")
    assert room.alive.shut_down(STOPPING) is None
