"""`ctx.every`: called while something goes on, before a planned end, and again when it failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, InvalidStateError, ObjectResetError, WrongTypeError
from roost.events import Ring
from roost.objects.shutdown import CODE_UPDATED

from .harness import Harness, MakeHarness, Scripted, settle, signal


class Keeping(Scripted):
    """Counts messages in memory, and flushes the count."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.count = ctx.storage.kv.get("count", 0)
        self.saving = ctx.every(5, self.save)
        self.flushes: list[int] = env.setdefault("flushes", [])

    async def web_socket_message(self, ws: Any, message: str) -> None:
        self.count += 1
        await super().web_socket_message(ws, message)

    async def save(self) -> None:
        count = self.count
        if "save" in self.env:
            await self.env["save"](self)
        await self.ctx.storage.put("count", count)
        self.flushes.append(count)


class Leaving(Keeping):
    async def pre_shutdown(self, info: Any) -> None:
        self.log.append(f"leaving with {self.flushes}")
        self.count += 100


async def tick(room: Harness, seconds: float) -> None:
    room.clock.advance(seconds)
    await settle()
    room.durable()


async def hibernate(room: Harness) -> None:
    assert room.alive.pinned_by() == []
    room.alive.hibernate()
    await settle()


def failing(times: int) -> Any:
    left = [times]

    async def save(self: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise LookupError("no")

    return save


# -- when it is called -------------------------------------------------------------------------------------------------


async def test_many_changes_are_one_call_after_its_time(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    held = room.hold()
    for _ in range(100):
        room.message(held, "x")
    await tick(room, 4.9)
    assert room.env["flushes"] == []
    await tick(room, 0.1)
    assert room.env["flushes"] == [100]
    assert room.meter.commits == 1


async def test_an_object_in_which_nothing_happens_is_left_alone(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    held = room.hold()
    room.message(held, "x")
    await tick(room, 5)
    for _ in range(10):
        await tick(room, 5)
    assert room.env["flushes"] == [1]
    room.message(held, "x")
    await tick(room, 5)
    assert room.env["flushes"] == [1, 2]


async def test_every_kind_of_event_counts_as_a_change(live: MakeHarness) -> None:
    async def look(self: Any) -> str:
        return ""

    room = live(Keeping, env={"/": look})
    held = room.hold()
    room.message(held, "x")
    await tick(room, 5)
    await room.text()
    await tick(room, 5)
    room.close(held)
    await tick(room, 5)
    room.deliver(Ring(lambda done: None))
    await tick(room, 5)
    assert len(room.env["flushes"]) == 4


async def test_an_event_or_a_task_that_is_under_way_may_change_something(live: MakeHarness) -> None:
    async def wait(self: Any, ws: Any) -> None:
        await go

    async def spawn(self: Any, ws: Any) -> None:
        self.task = asyncio.create_task(again.wait())

    go, again = signal(), asyncio.Event()
    room = live(Keeping, env={"wait": wait, "spawn": spawn})
    held = room.hold()
    room.message(held, "wait")
    for _ in range(3):
        await tick(room, 5)
    go.set_result(None)
    await settle()
    await tick(room, 5)
    assert len(room.env["flushes"]) == 4
    await tick(room, 5)
    assert len(room.env["flushes"]) == 4
    room.message(held, "spawn")
    await tick(room, 5)
    await tick(room, 5)
    again.set()
    await settle()
    await tick(room, 5)
    await tick(room, 5)
    assert len(room.env["flushes"]) == 7


async def test_what_the_function_itself_does_is_no_change(live: MakeHarness) -> None:
    """Else an object whose function awaits would never sleep."""

    async def save(self: Any) -> None:
        await asyncio.gather(asyncio.sleep(0), asyncio.create_task(asyncio.sleep(0)))

    room = live(Keeping, env={"save": save})
    room.message(room.hold(), "x")
    for _ in range(4):
        await tick(room, 5)
    assert room.env["flushes"] == [1]


async def test_what_changes_while_it_runs_is_flushed_the_next_time(live: MakeHarness) -> None:
    async def save(self: Any) -> None:
        await go

    go = signal()
    room = live(Keeping, env={"save": save})
    held = room.hold()
    room.message(held, "x")
    await tick(room, 5)
    room.message(held, "x")
    await tick(room, 20)  # never twice at once
    go.set_result(None)
    await settle()
    assert room.env["flushes"] == [1]
    await tick(room, 5)
    assert room.env["flushes"] == [1, 2]


async def test_a_change_that_no_event_tells_of_can_be_told(live: MakeHarness) -> None:
    async def later(self: Any, ws: Any) -> None:
        def change() -> None:
            self.count += 10
            self.saving.touch()

        self.env["change"] = change

    room = live(Keeping, env={"later": later})
    room.message(room.hold(), "later")
    await tick(room, 5)
    room.env["change"]()
    await tick(room, 5)
    assert room.env["flushes"] == [1, 11]


async def test_a_plain_function_will_do_and_it_may_be_stopped_and_called_by_hand(live: MakeHarness) -> None:
    called: list[str] = []

    async def start(self: Any, ws: Any) -> None:
        self.ticking = self.ctx.every(1, lambda: called.append("tick"))

    async def now(self: Any, ws: Any) -> None:
        await self.ticking.flush()

    async def stop(self: Any, ws: Any) -> None:
        self.ticking.touch()
        self.ticking.stop()

    room = live(Scripted, env={"start": start, "now": now, "stop": stop})
    held = room.hold()
    room.message(held, "start")
    await tick(room, 1)
    assert called == ["tick"]
    room.message(held, "now")
    assert called == ["tick"] * 2
    room.message(held, "stop")
    await tick(room, 5)
    await hibernate(room)
    assert (called, room.activation) == (["tick"] * 2, None)


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_failure_is_reported_and_tried_again_until_it_succeeds(
    live: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    room = live(Keeping, env={"save": failing(2)})
    room.message(room.hold(), "x")
    await tick(room, 5)
    assert "Keeping.save, which is called every 5 s, failed; it is tried again" in caplog.text
    assert room.alive.pinned_by() == ["changes that could not be flushed"]
    await tick(room, 5)
    assert room.env["flushes"] == []
    await tick(room, 5)
    assert room.env["flushes"] == [1]
    assert room.meter.snapshot()["errors"] == {"LookupError": 2}
    room.durable()
    await hibernate(room)
    assert room.activation is None


async def test_a_failure_of_a_call_by_hand_is_the_callers_and_is_made_good_later(live: MakeHarness) -> None:
    async def now(self: Any) -> str:
        await self.saving.flush()
        return ""

    room = live(Keeping, env={"/": now, "save": failing(1)})
    with pytest.raises(LookupError):
        await room.text()
    await tick(room, 5)
    assert room.env["flushes"] == [0]


@pytest.mark.parametrize(
    ("seconds", "function", "error", "match"),
    [
        (0, print, InvalidArgumentError, "more than 0"),
        (float("nan"), print, InvalidArgumentError, "more than 0"),
        (float("inf"), print, InvalidArgumentError, "more than 0"),
        ("5", print, WrongTypeError, "must be a number, got str"),
        (True, print, WrongTypeError, "must be a number, got bool"),
        (5, None, WrongTypeError, "a function without arguments is needed, got NoneType"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    live: MakeHarness, seconds: Any, function: Any, error: type[Exception], match: str
) -> None:
    async def ask(self: Any) -> str:
        with pytest.raises(error, match=match):
            self.ctx.every(seconds, function)
        return "refused"

    assert await live(Scripted, env={"/": ask}).text() == "refused"


# -- the end of a life -------------------------------------------------------------------------------------------------


async def test_it_is_called_before_hibernation_and_the_next_life_finds_what_it_wrote(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    held = room.hold()
    room.message(held, "x")
    await hibernate(room)
    assert (room.env["flushes"], room.activation) == ([1], None)
    room.durable()
    room.message(held, "x")
    await tick(room, 5)
    assert room.env["flushes"] == [1, 2]


async def test_what_was_flushed_already_lets_it_sleep_at_once(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    room.message(room.hold(), "x")
    await tick(room, 5)
    room.durable()
    room.alive.hibernate()
    assert room.activation is None
    assert room.clock.waiting() <= 1  # the output gate's


async def test_an_object_that_cannot_flush_stays_awake_and_keeps_what_it_has(live: MakeHarness) -> None:
    room = live(Leaving, env={"save": failing(1)})
    held = room.hold()
    room.message(held, "x")
    await hibernate(room)
    assert room.alive.pinned_by() == ["changes that could not be flushed"]
    assert room.env["log"] == ["message x"]  # it has not had its last word
    room.message(held, "y")
    await tick(room, 5)
    assert room.env["flushes"] == [2]
    room.durable()
    await hibernate(room)
    assert room.activation is None


async def test_what_the_last_word_changed_is_flushed_too(live: MakeHarness) -> None:
    room = live(Leaving, env={})
    room.message(room.hold(), "x")
    await hibernate(room)
    assert room.env["log"] == ["message x", "leaving with [1]"]
    assert (room.env["flushes"], room.activation) == ([1, 101], None)


@pytest.mark.parametrize("cls", [Keeping, Leaving])
async def test_it_is_called_before_a_deploy_and_at_once_for_what_comes_late(
    live: MakeHarness, cls: type[Keeping]
) -> None:
    room = live(cls, env={})
    held = room.hold()
    room.message(held, "x")
    assert room.alive.drain().done()
    told = room.alive.shut_down(CODE_UPDATED)
    assert told is not None
    await settle()
    assert told.done()
    room.durable()
    flushed = list(room.env["flushes"])
    room.message(held, "late")
    drained = room.alive.drain()
    assert not drained.done()
    await tick(room, 0.05)
    room.durable()
    assert drained.done()
    assert room.env["flushes"] == [*flushed, flushed[-1] + 1]


async def test_nothing_to_flush_is_nothing_to_wait_for(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    room.message(room.hold(), "x")
    await tick(room, 5)
    assert room.alive.shut_down(CODE_UPDATED) is None


async def test_a_host_that_leaves_does_not_wait_for_ever_for_a_flush(live: MakeHarness) -> None:
    async def save(self: Any) -> None:
        await signal()

    room = live(Keeping, env={"save": save})
    room.message(room.hold(), "x")
    told = room.alive.shut_down(CODE_UPDATED)
    assert told is not None
    await settle()
    await tick(room, 10)
    assert told.done()


async def test_a_reset_flushes_nothing_and_ends_its_timer(live: MakeHarness) -> None:
    room = live(Keeping, env={})
    room.message(room.hold(), "x")
    activation = room.alive
    saving = next(iter(activation.periodics._all))
    activation.abort(ObjectResetError("broken"))
    await tick(room, 20)
    assert (room.env["flushes"], room.clock.waiting()) == ([], 0)
    with pytest.raises(InvalidStateError, match="has ended"):
        await saving.flush()
    with pytest.raises(InvalidStateError, match="has ended"):
        activation.periodics.add(5, print)
