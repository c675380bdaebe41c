"""Guarantees of the two gates, seen from an object; `test_gates_model.py` plays random histories against a model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import (
    ConstructionError,
    OutputGateBrokenError,
    StorageCorruptError,
    StorageError,
)
from roost.limits import Limits
from roost.objects.web_socket import WebSocket
from roost.storage.recovery.quarantine import Case, Quarantine

from .harness import Harness, MakeHarness, Scripted, settle, signal


class InOrder(Scripted):
    interleave = False


# -- the input gate ----------------------------------------------------------------------------------------------------


async def test_events_interleave_at_awaits(live: MakeHarness) -> None:
    go = signal()

    async def slow(self: Scripted) -> str:
        self.log.append("slow begins")
        await go
        self.log.append("slow ends")
        return "slow"

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return "fast"

    env: dict[str, Any] = {"/slow": slow, "/fast": fast}
    room = live(Scripted, env=env)
    first, second = room.fetch("/slow"), room.fetch("/fast")
    assert second.done()
    assert not first.done()
    assert room.alive.pinned_by() == ["1 event under way"]
    go.set_result(None)
    assert await (await first).text() == "slow"
    assert env["log"] == ["slow begins", "fast", "slow ends"]


async def test_without_interleaving_an_event_runs_to_its_end_before_the_next(live: MakeHarness) -> None:
    go = signal()

    async def slow(self: Scripted) -> str:
        self.log.append("slow begins")
        task = asyncio.create_task(child(self))
        await go
        await task
        self.log.append("slow ends")
        return "slow"

    async def child(self: Scripted) -> None:
        await asyncio.sleep(0)
        self.log.append("its task")

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return "fast"

    env: dict[str, Any] = {"/slow": slow, "/fast": fast}
    room = live(InOrder, env=env)
    first, second, third = room.fetch("/slow"), room.fetch("/fast"), room.fetch("/fast")
    held = room.hold()
    room.message(held, "hello")
    await settle()
    assert env["log"] == ["slow begins", "its task"]
    go.set_result(None)
    await asyncio.gather(first, second, third)
    assert env["log"] == ["slow begins", "its task", "slow ends", "fast", "fast", "message hello"]


async def test_no_event_is_delivered_while_a_critical_section_runs(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Scripted) -> str:
        async def section() -> str:
            self.log.append("section begins")
            await go
            self.log.append("section ends")
            return "value"

        awaitable = self.ctx.block_concurrency_while(section)
        self.log.append("step goes on")
        return await awaitable

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return "fast"

    env: dict[str, Any] = {"/blocking": blocking, "/fast": fast}
    room = live(Scripted, env=env)
    first, second = room.fetch("/blocking"), room.fetch("/fast")
    await settle()
    assert env["log"] == ["step goes on", "section begins"]
    assert "critical section" in room.alive.pinned_by()
    go.set_result(None)
    assert await (await first).text() == "value"
    await second
    assert env["log"] == ["step goes on", "section begins", "section ends", "fast"]


async def test_what_awaited_a_section_goes_on_before_events_that_waited(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Scripted) -> str:
        async def section() -> None:
            await go

        await self.ctx.block_concurrency_while(section)
        self.log.append("after the section")
        return ""

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return ""

    env: dict[str, Any] = {"/blocking": blocking, "/fast": fast}
    room = live(Scripted, env=env)
    answers = [room.fetch("/blocking"), room.fetch("/fast"), room.fetch("/fast")]
    go.set_result(None)
    await asyncio.gather(*answers)
    assert env["log"] == ["after the section", "fast", "fast"]


async def test_inside_a_section_only_what_it_started_goes_on(live: MakeHarness) -> None:
    go, outside = signal(), signal()

    async def elsewhere(self: Scripted) -> str:
        await outside
        self.log.append("elsewhere goes on")
        return ""

    async def blocking(self: Scripted) -> str:
        async def part() -> None:
            await asyncio.sleep(0)
            self.log.append("started inside")

        async def section() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(part())
            await go
            self.log.append("section ends")

        await self.ctx.block_concurrency_while(section)
        return ""

    env: dict[str, Any] = {"/elsewhere": elsewhere, "/blocking": blocking}
    room = live(Scripted, env=env)
    answers = [room.fetch("/elsewhere"), room.fetch("/blocking")]
    outside.set_result(None)
    await settle()
    assert env["log"] == ["started inside"]
    go.set_result(None)
    await asyncio.gather(*answers)
    assert env["log"] == ["started inside", "section ends", "elsewhere goes on"]


async def test_events_wait_until_what_the_constructor_started_is_through(live: MakeHarness) -> None:
    go = signal()

    def construct(self: Scripted) -> None:
        async def load(name: str) -> None:
            await go
            self.log.append(name)

        self.ctx.block_concurrency_while(lambda: load("first"))
        self.ctx.block_concurrency_while(lambda: load("second"))

    async def fetch(self: Scripted) -> str:
        self.log.append("fetch")
        return ""

    env: dict[str, Any] = {"construct": construct, "/": fetch}
    room = live(Scripted, env=env)
    answer = room.fetch()
    await settle()
    assert env["log"] == []
    assert room.alive.state == "starting"
    go.set_result(None)
    await answer
    assert env["log"] == ["first", "second", "fetch"]


async def test_a_failure_of_what_the_constructor_started_is_a_failure_of_construction(live: MakeHarness) -> None:
    def construct(self: Scripted) -> None:
        async def load() -> None:
            await asyncio.sleep(0)
            raise OSError("gone")

        self.ctx.block_concurrency_while(load)

    room = live(Scripted, env={"construct": construct})
    answers = [room.fetch(), room.fetch()]
    for answer in answers:
        with pytest.raises(ConstructionError, match="gone"):
            await answer


async def test_while_the_object_waits_for_its_storage_no_event_is_delivered(live: MakeHarness) -> None:
    async def syncing(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.sync()
        self.log.append("synced")
        return ""

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return ""

    env: dict[str, Any] = {"/": syncing, "/fast": fast}
    room = live(Scripted, env=env)
    answers = [room.fetch(), room.fetch("/fast"), room.fetch("/fast")]
    await settle()
    assert env["log"] == []
    room.durable()
    await asyncio.gather(*answers)
    assert env["log"] == ["synced", "fast", "fast"]


async def test_two_waits_for_storage_at_once_both_end(live: MakeHarness) -> None:
    async def syncing(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        await asyncio.gather(self.ctx.storage.sync(), self.ctx.storage.sync())
        return "both"

    room = live(Scripted, env={"/": syncing})
    answer = room.fetch()
    await settle()
    room.durable()
    assert await (await answer).text() == "both"
    assert room.alive.gate.root.waits == 0


async def test_a_wait_for_storage_that_is_cancelled_opens_the_gate(live: MakeHarness) -> None:
    async def syncing(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        try:
            async with asyncio.timeout(0):
                await self.ctx.storage.sync()
        except TimeoutError:
            self.log.append("gave up")
        await asyncio.sleep(0)
        return ""

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return ""

    env: dict[str, Any] = {"/": syncing, "/fast": fast}
    room = live(Scripted, env=env)
    answers = [room.fetch(), room.fetch("/fast")]
    await settle()
    await asyncio.sleep(0.01)
    assert env["log"] == ["gave up", "fast"]
    room.durable()
    await asyncio.gather(*answers)


async def test_a_transaction_keeps_everything_else_out_and_passes_its_error_on(live: MakeHarness) -> None:
    go = signal()

    async def moving(self: Scripted) -> str:
        async def move(*_: Any) -> None:
            await self.ctx.storage.put("a", 2)
            await go
            raise LookupError("changed my mind")

        with pytest.raises(LookupError):
            await self.ctx.storage.transaction(move)
        self.log.append("rolled back")
        return str(await self.ctx.storage.get("a"))

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return ""

    env: dict[str, Any] = {"/": moving, "/fast": fast}
    room = live(Scripted, env=env)
    answers = [room.fetch(), room.fetch("/fast")]
    await settle()
    assert env["log"] == []
    go.set_result(None)
    await settle()
    room.durable()
    assert [await (await answer).text() for answer in answers] == ["None", ""]
    assert env["log"] == ["rolled back", "fast"]
    assert room.woken == 1


# -- the output gate ---------------------------------------------------------------------------------------------------


def writing(*keys: str) -> Any:
    """A handler that stores a new value under each key and then sends."""

    async def handler(self: Scripted, ws: WebSocket) -> None:
        for key in keys:
            await self.ctx.storage.put(key, len(self.log))
        ws.send("wrote")

    return handler


async def test_message_is_not_sent_before_its_write_is_durable(live: MakeHarness) -> None:
    room = live(Scripted, env={"write": writing("a")})
    held = room.hold()
    room.message(held, "write")
    (append,) = room.log.pending()
    await settle()
    assert room.all_left() == []
    append.succeed()
    assert room.all_left() == [("send", "wrote", [1]), ("finished", [1])]
    assert room.log.pending() == []


async def test_reply_waits_for_the_write(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        return "stored"

    room = live(Scripted, env={"/": fetch})
    answer = room.fetch()
    await settle()
    assert not answer.done()
    assert room.alive.pinned_by() == ["writes that are not durable yet"]
    room.durable()
    assert await (await answer).text() == "stored"


async def test_all_writes_of_a_turn_are_one_commit(live: MakeHarness) -> None:
    room = live(Scripted, env={"write": writing("a", "b", "c")})
    room.message(room.hold(), "write")
    assert len(room.log.pending()) == 1
    assert room.meter.commits == 1


async def test_what_a_turn_wrote_before_a_transaction_is_a_commit_of_its_own(live: MakeHarness) -> None:
    async def handler(self: Scripted, ws: WebSocket) -> None:
        async def fails(txn: Any) -> None:
            await txn.put("b", 1)
            raise LookupError("no")

        await self.ctx.storage.put("a", 1)
        ws.send("after a")
        with pytest.raises(LookupError):
            await self.ctx.storage.transaction(fails)
        ws.send(f"has {list(await self.ctx.storage.list())}")

    room = live(Scripted, env={"go": handler})
    room.message(room.hold(), "go")
    await settle()
    assert len(room.log.pending()) == 1
    room.durable()
    assert room.left() == [("send", "after a", [1]), ("send", "has ['a']", [1])]
    assert room.meter.commits == 1


async def test_an_object_that_never_touches_its_storage_opens_no_file(live: MakeHarness) -> None:
    async def write(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)

    room = live(Scripted, env={"write": write})
    held = room.hold()
    room.message(held, "write")
    room.durable()
    room.alive.hibernate()
    room.reopen()
    room.message(held, "anything")
    assert room.store.open_databases == 0


async def test_what_was_sent_before_the_first_write_does_not_wait_for_it(live: MakeHarness) -> None:
    async def handler(self: Scripted, ws: WebSocket) -> None:
        ws.send("before")
        await self.ctx.storage.put("a", 1)
        ws.send("after")

    room = live(Scripted, env={"go": handler})
    room.message(room.hold(), "go")
    assert room.left() == [("send", "before", [1])]
    room.durable()
    assert room.left() == [("send", "after", [1])]


async def test_effects_of_later_turns_stay_behind_those_that_are_held(live: MakeHarness) -> None:
    room = live(Scripted, env={"write": writing("a"), "chat": writing()})
    held = room.hold()
    for message in ("write", "chat", "write"):
        room.message(held, message)
    assert room.all_left() == []
    first, second = room.log.pending()
    first.succeed()
    assert room.left() == [("send", "wrote", [1]), ("send", "wrote", [1])]
    second.succeed()
    assert room.left() == [("send", "wrote", [1])]


async def test_an_unconfirmed_write_holds_nothing_back(live: MakeHarness) -> None:
    async def handler(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1, allow_unconfirmed=True)
        ws.send("at once")

    room = live(Scripted, env={"go": handler})
    room.message(room.hold(), "go")
    assert room.left() == [("send", "at once", [1])]
    assert room.alive.pinned_by() == ["writes that are not durable yet"]


async def test_exceptions_leave_through_the_gate_too_and_roll_nothing_back(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        raise LookupError("after the write")

    async def read(self: Scripted) -> str:
        return str(await self.ctx.storage.get("a"))

    room = live(Scripted, env={"/": fetch, "/read": read})
    answer = room.fetch()
    await settle()
    assert not answer.done()
    room.durable()
    with pytest.raises(LookupError):
        await answer
    assert await room.text("/read") == "1"


async def breaks(room: Harness, held: Any) -> Any:
    """Two commits that fail: one of a request, one of a message, with a message behind them."""
    answer = room.fetch("/")
    room.message(held, "write")
    room.message(held, "chat")
    room.log.pending()[0].fail(StorageError("the disk is on fire"))
    return answer


async def test_after_a_failed_write_nothing_held_is_ever_sent(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        return "stored"

    async def read(self: Scripted) -> str:
        return str(await self.ctx.storage.get("a"))

    room = live(Scripted, env={"/": fetch, "/read": read, "write": writing("b"), "chat": writing()})
    held, bystander = room.hold(), room.hold()
    answer = await breaks(room, held)
    with pytest.raises(OutputGateBrokenError, match="the disk is on fire") as caught:
        await answer
    assert isinstance(caught.value.__cause__, StorageError)
    assert room.all_left() == [
        ("close", held.number, 1011, "the object could not store what this message changed"),
        ("finished", [held.number, held.number]),
    ]
    assert bystander.ready_state == 1
    assert room.meter.snapshot()["resets"] == {"storage": 1}
    assert isinstance(room.ended[0], OutputGateBrokenError)


async def test_an_object_in_quarantine_says_so_to_whoever_calls_it(live: MakeHarness) -> None:
    async def read(self: Scripted) -> str:
        return str(await self.ctx.storage.get("a"))

    room = live(Scripted, env={"/": read})
    Quarantine(room.directory).put(Case(key=room.object_id.key.hex(), binding="ROOM", reason="page 3"))
    with pytest.raises(StorageCorruptError, match=r"in quarantine: page 3.*roost repair"):
        await room.fetch("/")
    assert room.meter.snapshot()["resets"] == {"storage": 1}


async def test_a_failed_write_ends_handlers_even_if_they_would_catch_it(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        await self.ctx.storage.put("a", 1)
        try:
            await self.ctx.storage.sync()
        except StorageError:
            return "never mind"
        return ""

    room = live(Scripted, env={"/": fetch})
    answer = room.fetch()
    await settle()
    room.log.pending()[0].fail(StorageError("full"))
    with pytest.raises(OutputGateBrokenError):
        await answer


async def test_a_write_that_is_not_durable_in_time_counts_as_failed(live: MakeHarness) -> None:
    room = live(Scripted, env={"write": writing("a")})
    held = room.hold()
    room.message(held, "write")
    room.clock.advance(29)
    room.message(held, "write")
    assert room.ended == []
    room.clock.advance(1.5)
    assert room.left() == [("close", 1, 1011, "the object could not store what this message changed")]
    assert isinstance(room.ended[0], OutputGateBrokenError)
    assert room.clock.waiting() == 0


async def test_the_next_life_reveals_nothing_that_is_not_durable_yet(live: MakeHarness) -> None:
    async def abort(self: Scripted, ws: WebSocket) -> None:
        self.ctx.abort("enough")

    async def read(self: Scripted) -> str:
        return str(await self.ctx.storage.get("a"))

    room = live(Scripted, env={"/": read, "write": writing("a"), "abort": abort})
    held = room.hold()
    room.message(held, "write")
    room.message(held, "abort")
    assert len(room.ended) == 1
    answer = room.fetch()
    await settle()
    assert room.woken == 2
    assert not answer.done()
    room.durable()
    assert await (await answer).text() == "1"
    assert room.left() == [("send", "wrote", [1])]


async def test_writes_and_sends_of_a_timer_of_the_loop_are_committed_and_held_too(live: MakeHarness) -> None:
    async def handler(self: Scripted, ws: WebSocket) -> None:
        def later() -> None:
            self.ctx.storage.kv.put("a", 1)
            ws.send("later")

        asyncio.get_running_loop().call_soon(later)

    room = live(Scripted, env={"go": handler})
    room.message(room.hold(), "go")
    assert room.left() == []
    await settle()
    assert room.left() == []
    room.durable()
    assert room.left() == [("send", "later", [1])]


async def test_a_limit_on_waiting_requests_refuses_the_ones_too_many_and_disturbs_no_other(live: MakeHarness) -> None:
    from roost.errors import OverloadedError

    go = signal()

    async def slow(self: Scripted) -> str:
        await go
        return "slow"

    room = live(InOrder, env={"/": slow}, limits=Limits(inbox_events_max=2))
    answers = [room.fetch() for _ in range(4)]
    with pytest.raises(OverloadedError, match="2 events wait"):
        await answers.pop()
    go.set_result(None)
    assert [await (await answer).text() for answer in answers] == ["slow"] * 3
