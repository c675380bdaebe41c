"""Running alarms: at least once, one at a time, retried, given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from roost.alarm_info import AlarmInfo
from roost.errors import ObjectResetError, StorageFullError, WrongTypeError
from roost.events import Ring
from roost.limits import Limits
from roost.objects.alarms import Alarms, retry_pause_ms
from roost.storage.alarms.alarms import FailedAlarm

from .harness import Harness, MakeHarness, Scripted, settle, signal

NOW = 1_000_000
Act = Callable[[Any, AlarmInfo], Awaitable[None]]


class Waking(Scripted):
    async def alarm(self, info: AlarmInfo) -> None:
        self.log.append(f"alarm {info.key} retry {info.retry_count} of {info.scheduled_time - NOW}")
        if "alarm" in self.env:
            await self.env["alarm"](self, info)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Alarms, "jitter", staticmethod(lambda: 0.0))


class Room:
    """An object whose alarms are rung by hand; what is told of them is written down."""

    def __init__(self, live: MakeHarness, cls: type[Scripted] = Waking, **options: Any) -> None:
        self.env: dict[str, Any] = options.pop("env", {})
        self.harness: Harness = live(cls, env=self.env, **options)
        self.due: list[int | None] = []
        self.failed: list[FailedAlarm] = []
        self.over: list[bool] = []
        self.order: list[object] = []
        self.listen()

    def listen(self) -> None:
        store = self.harness.store
        store.on_alarm = lambda object_id, due: self._told(due)
        store.on_alarm_failed = lambda object_id, failed: self.failed.append(failed)

    def _told(self, due: int | None) -> None:
        self.due.append(due)
        self.order.append(due)

    def _over(self, done: bool) -> None:
        self.over.append(done)
        self.order.append(done)

    def ring(self) -> None:
        self.harness.deliver(Ring(self._over))

    async def wake(self) -> None:
        """Ring, and let all that comes of it happen."""
        self.ring()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(4):
            await settle()
            self.harness.durable()

    @property
    def log(self) -> list[str]:
        log: list[str] = self.env["log"]
        return log

    async def ask(self, act: Callable[[Any], Awaitable[Any]]) -> Any:
        """What some code answers that runs as a request."""
        answers: list[Any] = []

        async def asked(self: Any) -> str:
            answers.append(await act(self))
            return ""

        self.env["/"] = asked
        answer = self.harness.fetch()
        await self.settle()
        await answer
        return answers[0]

    async def set(self, *dues: int, key: str | None = None) -> None:
        async def act(self: Any) -> None:
            for due in dues:
                await self.ctx.storage.set_alarm(NOW + due, key=key)

        await self.ask(act)

    async def get(self, key: str | None = None) -> int | None:
        due = await self.ask(lambda self: self.ctx.storage.get_alarm(key))
        return None if due is None else due - NOW

    def tick(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)


def failing(error: BaseException) -> Act:
    async def act(self: Any, info: AlarmInfo) -> None:
        raise error

    return act


# -- ringing -----------------------------------------------------------------------------------------------------------


async def test_an_alarm_that_is_due_runs_and_is_gone_with_the_commit_of_its_last_writes(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.put("rung", True)
        self.ctx.broadcast("ding")

    room = Room(live, env={"alarm": act})
    await room.set(0)
    room.harness.hold()
    room.ring()
    await settle()
    assert room.log == ["alarm None retry 0 of 0"]
    (append,) = room.harness.log.pending()
    assert append.record.alarm is None
    assert (room.due, room.over, room.harness.left()) == ([NOW], [], [])
    append.succeed()
    assert room.harness.left() == [("broadcast", "ding", None, [])]
    await room.settle()
    assert room.order == [NOW, None, None, True]
    assert await room.get() is None
    assert await room.ask(lambda self: self.ctx.storage.get("rung")) is True


async def test_ringing_wakes_an_object_and_is_told_as_the_cause(live: MakeHarness) -> None:
    room = Room(live)
    await room.set(0)
    room.harness.alive.hibernate()
    await room.wake()
    assert room.over == [True]
    meter = room.harness.meter.snapshot()
    assert meter["activations"] == {"call": 1, "alarm": 1}
    assert meter["events"] == {"fetch": 1, "alarm": 1}
    assert (meter["alarm_runs"], meter["alarm_retries"], meter["alarms_failed"]) == (1, 0, 0)


async def test_nothing_runs_before_it_is_due_and_the_truth_is_told(live: MakeHarness) -> None:
    room = Room(live)
    await room.set(1)
    await room.wake()
    assert (room.log, room.order) == ([], [NOW + 1, NOW + 1, True])
    room.tick(0.001)
    await room.wake()
    assert room.log == ["alarm None retry 0 of 1"]


async def test_an_object_that_never_stored_anything_may_be_rung(live: MakeHarness) -> None:
    room = Room(live)
    await room.wake()
    assert (room.log, room.order) == ([], [None, True])


async def test_all_that_is_due_runs_one_by_one_earliest_first(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await goes[info.key or ""].wait()
        self.log.append(f"{info.key} done")

    goes = {key: asyncio.Event() for key in "abc"}
    room = Room(live, env={"alarm": act})
    await room.set(2, key="b")
    await room.set(1, key="a")
    await room.set(9, key="c")
    room.tick(0.005)
    await room.wake()
    assert room.log == ["alarm a retry 0 of 1"]
    goes["b"].set()
    await room.wake()
    assert room.log == ["alarm a retry 0 of 1"]
    goes["a"].set()
    await room.settle()
    assert room.log == ["alarm a retry 0 of 1", "a done", "alarm b retry 0 of 2", "b done"]
    assert (room.over, room.due[-1]) == ([True, True], NOW + 9)


async def test_events_go_on_while_an_alarm_waits(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await go

    go = signal()
    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert await room.get() is None
    assert room.harness.alive.pinned_by() == ["1 event under way"]
    go.set_result(None)
    await room.settle()
    assert room.harness.alive.pinned_by() == []


async def test_without_interleaving_it_runs_alone(live: MakeHarness) -> None:
    class Alone(Waking):
        interleave = False

    async def act(self: Any, info: AlarmInfo) -> None:
        await go

    go = signal()
    room = Room(live, Alone, env={"alarm": act})
    held = room.harness.hold()
    await room.set(0)
    await room.wake()
    room.harness.message(held, "x")
    await settle()
    assert room.log == ["alarm None retry 0 of 0"]
    go.set_result(None)
    await room.settle()
    assert room.log[1:] == ["message x"]


async def test_other_events_have_their_turn_between_two_alarms(live: MakeHarness) -> None:
    room = Room(live)
    held = room.harness.hold()
    await room.set(0, key="a")
    await room.set(0, key="b")

    async def act(self: Any, info: AlarmInfo) -> None:
        if info.key == "a":
            room.harness.message(held, "between")

    room.env["alarm"] = act
    await room.wake()
    assert room.log == ["alarm a retry 0 of 0", "message between", "alarm b retry 0 of 0"]


async def test_the_handler_may_be_plain_and_do_without_the_information(live: MakeHarness) -> None:
    class Plain(Scripted):
        def alarm(self) -> None:
            self.log.append("plain")

    room = Room(live, Plain)
    await room.set(0)
    await room.wake()
    assert (room.log, room.over) == (["plain"], [True])


# -- inside the handler ------------------------------------------------------------------------------------------------


async def test_inside_the_handler_it_is_not_set_until_it_is_set_anew_and_that_one_stays(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        seen.append(await self.ctx.storage.get_alarm())
        await self.ctx.storage.set_alarm(info.scheduled_time)
        seen.append(await self.ctx.storage.get_alarm())
        del self.env["alarm"]

    seen: list[int | None] = []
    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert seen == [None, NOW]
    assert room.log == ["alarm None retry 0 of 0"] * 2  # what was set anew is due at once
    assert (await room.get(), room.over) == (None, [True])


async def test_set_anew_before_a_failure_it_replaces_the_retry(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.set_alarm(NOW + 500)
        raise LookupError

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert await room.get() == 500
    room.tick(0.5)
    await room.wake()
    assert room.log[1] == "alarm None retry 0 of 500"


async def test_deleted_before_a_failure_it_is_not_tried_again(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        assert await self.ctx.storage.delete_alarm() is False
        raise LookupError

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert (await room.get(), room.due[-1], room.over) == (None, None, [True])
    assert room.failed == []


async def test_deleting_everything_takes_the_alarm_that_runs_along(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.delete_all()
        raise LookupError

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert (room.due, room.over) == ([NOW, None, None], [True])


async def test_deleting_the_alarm_from_elsewhere_does_not_stop_the_run(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await go
        self.log.append("through")

    go = signal()
    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    await room.ask(lambda self: self.ctx.storage.delete_alarm())
    go.set_result(None)
    await room.settle()
    assert room.log[-1] == "through"
    assert room.over == [True]


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_failure_is_tried_again_with_doubled_pauses_then_given_up_and_listed(live: MakeHarness) -> None:
    room = Room(live, env={"alarm": failing(LookupError("no"))})
    await room.set(0, key="x")
    pauses = []
    for _ in range(6):
        before = room.harness.clock.now_ms()
        await room.wake()
        due = room.due[-1]
        assert due is not None
        pauses.append(due - before)
        room.tick((due - before) / 1000 - 0.001)
        await room.wake()  # never early
        room.tick(0.001)
    assert pauses == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]
    assert room.failed == []
    await room.wake()
    assert room.log == [f"alarm x retry {retry} of 0" for retry in range(7)]
    failed = FailedAlarm("x", NOW, room.harness.clock.now_ms(), "LookupError: no")
    assert (room.failed, room.due[-1], room.over[-1]) == ([failed], None, True)
    assert await room.ask(lambda self: self.ctx.storage.list_failed_alarms()) == [failed]
    assert await room.get("x") is None
    meter = room.harness.meter.snapshot()
    assert (meter["alarm_runs"], meter["alarm_retries"], meter["alarms_failed"]) == (7, 6, 1)
    assert meter["errors"] == {"LookupError": 7}
    assert room.harness.names().count("object.alarm_failed") == 1


async def test_what_a_run_wrote_before_it_failed_stays(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.put("tried", info.retry_count)
        raise LookupError

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert await room.ask(lambda self: self.ctx.storage.get("tried")) == 0
    assert await room.get() == 2_000


async def test_a_success_after_a_failure_ends_it(live: MakeHarness) -> None:
    room = Room(live, env={"alarm": failing(LookupError())})
    await room.set(0)
    await room.wake()
    del room.env["alarm"]
    room.tick(2)
    await room.wake()
    assert room.log == ["alarm None retry 0 of 0", "alarm None retry 1 of 0"]
    assert (room.due[-1], room.failed) == (None, [])


async def test_failures_are_reported_with_what_follows(live: MakeHarness, caplog: pytest.LogCaptureFixture) -> None:
    room = Room(live, env={"alarm": failing(LookupError("no"))}, limits=Limits(alarm_retries_max=1))
    await room.set(0, key="x")
    await room.wake()
    assert "the alarm 'x' failed: retry 1 of 1 follows in 2.0 s" in caplog.text
    room.tick(2)
    await room.wake()
    assert "the alarm 'x' failed: it is given up after 1 retries" in caplog.text


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 8_000), (0.5, 9_000), (1.0, 10_000)])
def test_a_pause_is_lengthened_by_up_to_a_quarter(jitter: float, pause: int) -> None:
    assert retry_pause_ms(2, Limits(), jitter) == pause


def test_jitter_is_random_unless_a_test_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert len({Alarms.jitter() for _ in range(20)}) > 1
    assert 0 <= Alarms.jitter() <= 1


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_run_that_takes_too_long_is_cancelled_and_has_failed(
    live: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.ctx.storage.put("cleaned", True)

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    room.tick(899.9)
    await room.settle()
    assert room.over == []
    room.tick(0.1)
    await room.settle()
    assert await room.get() == 902_000
    assert await room.ask(lambda self: self.ctx.storage.get("cleaned")) is True
    assert "TimeoutError: the alarm was not through after 900 seconds" in caplog.text
    room.tick(60)
    assert (room.over, room.harness.ended, room.harness.clock.waiting()) == ([True], [], 0)


async def test_a_run_that_ends_well_although_it_was_cancelled_has_not_failed(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.ctx.storage.put("saved", True)

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    room.tick(900)
    await room.settle()
    assert await room.get() is None


async def test_a_run_that_does_not_end_when_it_is_cancelled_resets_the_object_and_has_failed(live: MakeHarness) -> None:
    stop = signal()

    async def stubborn(self: Any, info: AlarmInfo) -> None:
        try:
            await asyncio.shield(stop)
        except asyncio.CancelledError:
            await asyncio.shield(stop)

    room = Room(live, env={"alarm": stubborn})
    await room.set(0)
    await room.wake()
    room.tick(900)
    await room.settle()
    assert room.over == []
    room.tick(30)
    await room.settle()
    assert isinstance(room.harness.ended[0], ObjectResetError)
    assert room.harness.meter.snapshot()["resets"] == {"timeout": 1}
    assert (room.due[-1], room.over) == (NOW + 932_000, [True])
    stop.set_result(None)
    await room.settle()


async def test_the_limit_of_events_of_sockets_is_none_of_its_business(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        self.ctx.set_hibernatable_web_socket_event_timeout(10)
        await go

    go = signal()
    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    room.tick(5)
    go.set_result(None)
    await room.settle()
    assert (room.over, room.harness.ended) == ([True], [])


# -- resets ------------------------------------------------------------------------------------------------------------


def aborting(**options: Any) -> Act:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.put("lost", True)
        self.ctx.abort("enough", **options)

    return act


async def test_an_alarm_that_aborts_is_tried_again_and_that_counts(live: MakeHarness) -> None:
    room = Room(live, env={"alarm": aborting()}, limits=Limits(alarm_retries_max=1))
    await room.set(0)
    await room.wake()
    assert (room.due[-1], room.over, room.harness.activation) == (NOW + 2_000, [True], None)
    room.tick(2)
    await room.wake()
    assert room.log == ["alarm None retry 0 of 0", "alarm None retry 1 of 0"]
    assert [failed.error for failed in room.failed] == ["ObjectResetError: enough"]
    assert (await room.get(), await room.ask(lambda self: self.ctx.storage.get("lost"))) == (None, None)


async def test_an_abort_may_end_its_alarm_for_good(live: MakeHarness) -> None:
    room = Room(live, env={"alarm": aborting(retry_alarm=False)})
    await room.set(0)
    await room.wake()
    assert (room.due[-1], room.over, room.failed) == (None, [True], [])
    assert await room.get() is None


async def test_an_abort_leaves_an_alarm_that_an_earlier_turn_of_the_run_set_anew(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.set_alarm(NOW + 500)
        await asyncio.sleep(0)
        await self.ctx.storage.set_alarm(NOW + 700)
        self.ctx.abort(retry_alarm=False)

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert await room.get() == 500


async def test_a_request_that_aborts_ends_the_run_and_says_whether_it_is_tried_again(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await asyncio.Event().wait()

    async def abort(self: Any) -> None:
        self.ctx.abort(retry_alarm=False)

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    with pytest.raises(ObjectResetError):
        await room.ask(abort)
    assert (room.due[-1], room.over) == (None, [True])


async def test_a_critical_section_that_fails_in_a_run_counts_against_it(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.block_concurrency_while(section)

    async def section() -> None:
        raise LookupError

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    assert (room.due[-1], room.over) == (NOW + 2_000, [True])


async def test_the_outcome_that_cannot_be_stored_after_an_abort_is_rung_for_again(live: MakeHarness) -> None:
    room = Room(live, env={"alarm": aborting()})
    await room.set(0)
    room.ring()
    await settle()
    (append,) = room.harness.log.pending()
    append.fail(StorageFullError("full"))
    await room.settle()
    assert (room.over, room.due) == ([False], [NOW])
    assert await room.get() == 0


async def test_a_write_that_is_lost_does_not_count_against_the_run(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.put("a", 1)
        await asyncio.Event().wait()

    room = Room(live, env={"alarm": act})
    await room.set(0)
    room.ring()
    await settle()
    room.harness.log.pending()[0].fail(StorageFullError("full"))
    await room.settle()
    assert (room.over, room.due, room.harness.activation) == ([False], [NOW], None)
    del room.env["alarm"]
    await room.wake()
    assert room.log[1:] == ["alarm None retry 0 of 0"]


async def test_a_success_that_is_not_durable_has_not_happened(live: MakeHarness) -> None:
    room = Room(live)
    await room.set(0)
    room.ring()
    await settle()
    assert room.over == []
    room.harness.log.pending()[0].fail(StorageFullError("full"))
    await room.settle()
    assert (room.over, room.due) == ([False], [NOW])
    await room.wake()
    assert room.log == ["alarm None retry 0 of 0"] * 2
    assert room.over == [False, True]


async def test_a_host_that_stops_does_not_count_against_the_run(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await asyncio.Event().wait()

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    room.harness.alive.stop(RuntimeError("stopped"))
    assert room.over == [False]
    del room.env["alarm"]
    await room.wake()
    assert room.log == ["alarm None retry 0 of 0"] * 2


async def test_a_run_whose_host_died_is_run_again_by_the_next(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await self.ctx.storage.put("a", 1)
        await asyncio.Event().wait()

    room = Room(live, env={"alarm": act})
    await room.set(0)
    await room.wake()
    room.harness.alive.stop(RuntimeError("stopped"))
    room.harness.reopen()
    room.listen()
    del room.env["alarm"]
    await room.wake()
    assert room.log == ["alarm None retry 0 of 0"] * 2
    assert room.order[-2:] == [None, True]


async def test_a_ring_that_waits_when_the_life_ends_is_to_be_repeated(live: MakeHarness) -> None:
    def construct(self: Scripted) -> None:
        raise LookupError

    room = Room(live)
    await room.set(0)
    room.harness.alive.hibernate()
    room.env["construct"] = construct
    await room.wake()
    assert (room.over, room.harness.activation) == ([False], None)
    del room.env["construct"]
    await room.wake()
    assert room.over == [False, True]


async def test_one_that_comes_while_the_object_falls_asleep_wakes_the_next_life(live: MakeHarness) -> None:
    class Leaving(Waking):
        async def pre_shutdown(self, info: Any) -> None:
            await go

    go = signal()
    room = Room(live, Leaving)
    await room.set(0)
    room.harness.alive.hibernate()
    room.ring()
    await room.settle()
    assert room.log == []
    go.set_result(None)
    await room.settle()
    assert (room.over, len(room.harness.leftovers)) == ([], 1)
    room.harness.wake().start()
    await room.settle()
    assert (room.log, room.over) == (["alarm None retry 0 of 0"], [True])


async def test_a_life_that_has_ended_cannot_be_rung(live: MakeHarness) -> None:
    room = Room(live)
    await room.set(0)
    ended = room.harness.alive
    ended.hibernate()
    ended.deliver(Ring(room._over))
    assert room.over == [False]


async def test_a_drain_waits_for_the_run_and_leaves_the_next_to_the_next_host(live: MakeHarness) -> None:
    async def act(self: Any, info: AlarmInfo) -> None:
        await go

    go = signal()
    room = Room(live, env={"alarm": act})
    await room.set(0, key="a")
    await room.set(0, key="b")
    await room.wake()
    drained = room.harness.alive.drain()
    await room.settle()
    assert not drained.done()
    go.set_result(None)
    await room.settle()
    assert drained.done()
    assert room.log == ["alarm a retry 0 of 0"]
    assert (room.over, room.due[-1]) == ([True], NOW)


# -- classes without `alarm` -------------------------------------------------------------------------------------------


async def test_where_the_class_has_no_handler_none_can_be_set_but_in_the_constructor(live: MakeHarness) -> None:
    def construct(self: Scripted) -> None:
        self.ctx.storage.set_alarm(NOW + 5)

    room = Room(live, Scripted, env={"construct": construct})
    with pytest.raises(WrongTypeError, match=r"Scripted has no method alarm\(self, info\)"):
        await room.set(0)
    assert await room.get() == 5


async def test_an_alarm_without_a_handler_is_dropped_with_a_warning(
    live: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    def construct(self: Scripted) -> None:
        for key in (None, "a", "b"):
            self.ctx.storage.set_alarm(NOW, key=key)

    caplog.set_level(logging.WARNING)
    room = Room(live, Scripted, env={"construct": construct})
    await room.wake()
    assert (room.due, room.over) == ([NOW, None, None], [True])
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 3
    assert "the alarm 'a' of" in warnings[1]
    assert "was dropped: Scripted has no method alarm" in warnings[1]
    assert [facts["key"] for name, facts in room.harness.happened if name == "object.alarm_dropped"] == [None, "a", "b"]


async def test_a_database_that_cannot_be_read_is_rung_for_again(
    live: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(live)
    await room.set(0)
    room.harness.alive.hibernate()

    def full(*_: Any, **__: Any) -> None:
        raise StorageFullError("no")

    monkeypatch.setattr(room.harness.store, "writer", full)
    await room.wake()
    assert (room.over, room.harness.activation) == ([False], None)
    monkeypatch.undo()
    await room.wake()
    assert room.over == [False, True]


async def test_an_alarm_that_was_given_up_can_be_told_to_ring_again_with_all_its_retries(live: MakeHarness) -> None:
    room = Room(live, limits=Limits(alarm_retries_max=0), env={"alarm": failing(ValueError("no"))})
    await room.set(1, key="a")
    room.tick(1)
    await room.wake()
    assert [failed.name for failed in room.failed] == ["a"]
    del room.env["alarm"]
    room.harness.deliver(Ring(room._over, again="a"))
    await room.settle()
    assert room.over == [True, True]
    assert room.log[-1].startswith("alarm a retry 0 of ")
    assert await room.ask(lambda self: self.ctx.storage.list_failed_alarms()) == []


async def test_to_ring_an_alarm_again_that_was_not_given_up_does_nothing(live: MakeHarness) -> None:
    room = Room(live)
    await room.ask(lambda self: self.ctx.storage.put("a", 1))
    room.harness.deliver(Ring(room._over, again="a"))
    await room.settle()
    assert (room.over, [line for line in room.log if "alarm" in line]) == ([True], [])
