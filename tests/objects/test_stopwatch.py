from __future__ import annotations

from typing import Any

from roost.meter import Meter
from roost.objects.stopwatch import SAMPLED, Stopwatch

from .harness import FakeClock, MakeHarness, Scripted, settle, signal


def test_wall_time_is_that_of_the_turns() -> None:
    clock, meter = FakeClock(), Meter()
    watch = Stopwatch(clock, meter)
    for seconds in (0.5, 0.25):
        watch.start(started := clock.now, 0)
        clock.advance(seconds)
        watch.stop(started)
        clock.advance(100)
    watch.settle()
    assert (meter.turns, meter.active_ms) == (2, 750)
    assert watch.stopped_at == clock.now - 100


def test_with_an_event_under_way_the_time_between_turns_is_active_too_and_counted_once() -> None:
    clock, meter = FakeClock(), Meter()
    watch = Stopwatch(clock, meter)
    watch.start(started := clock.now, 0)
    watch.stop(started)
    clock.advance(2)
    watch.start(started := clock.now, 3)
    clock.advance(1)
    watch.stop(started)
    watch.settle()
    watch.settle()
    assert (meter.turns, meter.active_ms) == (2, 3000)


def test_the_time_of_the_processor_is_never_more_than_the_time_of_the_wall_between_samples() -> None:
    clock, meter = FakeClock(), Meter()
    watch = Stopwatch(clock, meter)
    for _ in range(SAMPLED):
        watch.start(started := clock.now, 0)
        clock.advance(1)
        watch.stop(started)
    watch.settle()
    assert 0 <= meter.cpu_ms <= meter.active_ms
    assert meter.turns == SAMPLED


async def test_an_object_that_sleeps_costs_nothing_and_one_that_waits_does(live: MakeHarness) -> None:
    go = signal()

    async def waits(self: Scripted) -> str:
        await go
        return ""

    env: dict[str, Any] = {"/": waits}
    room = live(Scripted, env=env)
    answer = room.fetch()
    room.clock.advance(3)
    go.set_result(None)
    await answer
    assert room.alive.pinned_by() == []
    assert room.meter.active_ms == 3000
    room.clock.advance(50)
    held = room.hold()
    room.message(held, "x")
    room.message(held, "yz")
    assert room.meter.active_ms == 3000
    room.alive.hibernate()
    room.clock.advance(50)
    room.message(held, "x")
    await settle()
    assert room.meter.active_ms == 3000
    assert room.alive.idle_since == room.clock.now
    told = room.meter.snapshot()
    assert (told["messages_in"], told["bytes_in"]) == (3, 4)
    assert told["events"] == {"fetch": 1, "socket_message": 3}
    assert told["activations"] == {"call": 1, "wake": 1}
