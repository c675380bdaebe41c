"""The alarm clock: never early, at least once, a bounded number at once, and nobody blocks the others."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from roost.clock import Timer
from roost.host.alarm_clock import AlarmClock, Objects, Source
from roost.ids import ObjectId
from roost.limits import Limits
from roost.observer import Observer
from roost.storage.alarms.agenda_window import Entry

from .parts import HandClock, object_id
from .scripted import settle

START = 1_000_000


class WallClock(HandClock):
    """A clock whose wall time can be set, while its timers go on as before."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.set_by


class HandAgenda:
    """Everything in memory."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.taken: dict[bytes, Entry] = {}
        self.counted: dict[str, int] = {}
        self.forgiven: list[tuple[bytes, str]] = []
        self.on_change: Callable[[], None] = lambda: None
        self.started = self.stopped = False

    def start(self, bindings: Iterable[str], on_change: Callable[[], None]) -> None:
        self.started, self.on_change = True, on_change

    def stop(self) -> None:
        self.stopped = True

    def count(self, told: Callable[[dict[str, int]], None]) -> None:
        told(self.counted)

    def note(self, one: ObjectId, due: int | None) -> None:
        entry = Entry(one.key, one.binding, one.name, due, due or 0)
        if one.key in self.taken:
            self.taken[one.key] = entry
            return
        self.entries[one.key] = entry
        self.on_change()

    def first(self) -> int | None:
        return min((entry.at for entry in self.entries.values() if entry.due is not None), default=None)

    def take(self, now_ms: int) -> Entry | None:
        due = [entry for entry in self.entries.values() if entry.due is not None and entry.at <= now_ms]
        if not due:
            return None
        first = heapq.nsmallest(1, due, key=lambda entry: entry.moment)[0]
        self.taken[first.key] = self.entries.pop(first.key)
        return first

    def held(self, key: bytes) -> Entry:
        return self.taken[key]

    def release(self, key: bytes) -> None:
        self.entries[key] = self.taken.pop(key)

    def forgive(self, key: bytes, alarm: str) -> None:
        self.forgiven.append((key, alarm))

    def defer(self, key: bytes, at: int, tries: int) -> None:
        entry = self.taken.pop(key)
        if entry.due is not None:
            self.entries[key] = msgspec.structs.replace(entry, at=max(at, entry.due), tries=tries)


class HandObjects:
    """Objects that are over with it when the test says so, or at once."""

    def __init__(self, agenda: HandAgenda) -> None:
        self._agenda = agenda
        self.rung: list[ObjectId] = []
        self.again: list[str | None] = []
        self.under_way: dict[bytes, Callable[[bool], None]] = {}
        self.slept: list[bytes] = []
        self.at_once = False
        self.awake: set[bytes] = set()

    def ring(self, object_id: ObjectId, over: Callable[[bool], None], *, again: str | None = None) -> bool:
        self.rung.append(object_id)
        self.again.append(again)
        assert object_id.key not in self.under_way, "no object is rung a second time while it is rung"
        self.under_way[object_id.key] = over
        if self.at_once:
            self.done(object_id)
        return object_id.key not in self.awake

    def done(self, one: ObjectId, next_due: int | None = None) -> None:
        """It is over with what was due; the next alarm is due then."""
        self._agenda.note(one, next_due)
        self.under_way.pop(one.key)(True)

    def lost(self, one: ObjectId) -> None:
        """Its life has ended before."""
        self.under_way.pop(one.key)(False)

    def hibernate(self, key: bytes) -> None:
        self.slept.append(key)

    def names(self) -> list[str | None]:
        return [one.name for one in self.rung]


class Parts:
    """An alarm clock with everything around it in the hands of a test."""

    def __init__(self, limits: Limits | None = None, owns: Callable[[bytes], bool] = lambda key: True) -> None:
        self.clock = WallClock()
        self.observer = Observer()
        self.happened: list[tuple[str, dict[str, Any]]] = []
        self.observer.subscribe(None, lambda name, facts: self.happened.append((name, facts)))
        self.agenda = HandAgenda()
        self.objects = HandObjects(self.agenda)
        self.crowded = False
        agenda: Source = self.agenda
        objects: Objects = self.objects
        self.alarms = AlarmClock(
            agenda,
            objects,
            bindings=["ROOM"],
            clock=self.clock,
            limits=limits or Limits(),
            observer=self.observer,
            owns=owns,
            crowded=lambda: self.crowded,
            jitter=lambda: 0.0,
        )

    async def started(self) -> Parts:
        self.alarms.start()
        await settle()
        return self

    async def advance(self, seconds: float) -> None:
        """Let time pass in small steps, with the loop's turns in between."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(min(0.05, end - self.clock.monotonic()))
            await settle(3)

    async def note(self, *named: tuple[str, int | None]) -> None:
        for name, due in named:
            self.agenda.note(object_id(name), due)
        await settle()


async def test_an_object_is_rung_when_its_time_has_come_and_not_before() -> None:
    parts = await Parts().started()
    await parts.note(("a", START + 250))
    parts.clock.advance(0.249)
    await settle()
    assert parts.objects.rung == []
    parts.clock.advance(0.001)
    await settle()
    assert parts.objects.names() == ["a"]


async def test_an_alarm_of_the_past_rings_at_once_and_the_oldest_first() -> None:
    parts = Parts()
    await parts.note(("c", START - 1), ("a", 5), ("b", 6))
    await parts.started()
    assert parts.objects.names() == ["a", "b", "c"]


async def test_one_that_comes_earlier_than_the_one_waited_for_is_in_time() -> None:
    parts = await Parts().started()
    await parts.note(("later", START + 900), ("earlier", START + 100))
    parts.clock.advance(0.1)
    await settle()
    assert parts.objects.names() == ["earlier"]


async def test_a_wall_clock_that_is_set_back_makes_nobody_ring_early() -> None:
    parts = await Parts().started()
    await parts.note(("a", START + 500))
    parts.clock.set_by = -3_600_000
    await parts.advance(60)
    assert parts.objects.rung == []
    await parts.advance(3_540.4)
    assert parts.objects.rung == []
    await parts.advance(0.2)
    assert parts.objects.names() == ["a"]


async def test_a_wall_clock_that_is_set_forward_is_noticed_within_a_second() -> None:
    parts = await Parts().started()
    await parts.note(("a", START + 3_600_000))
    await parts.advance(5)
    parts.clock.set_by = 3_600_000
    await parts.advance(1.05)
    assert parts.objects.names() == ["a"]


async def test_a_timer_that_comes_too_early_rings_nobody() -> None:
    parts = await Parts().started()
    calls: list[Callable[[], object]] = []

    class Cancelled:
        def cancel(self) -> None: ...

    def hasty(seconds: float, callback: Callable[[], object]) -> Timer:
        calls.append(callback)
        return Cancelled()

    parts.clock.call_later = hasty  # type: ignore[method-assign]
    await parts.note(("a", START + 10))
    for _ in range(3):
        calls.pop()()
        await settle()
    assert parts.objects.rung == []
    parts.clock.advance(0.01)
    calls.pop()()
    assert parts.objects.names() == ["a"]


async def test_an_object_that_did_not_hear_is_rung_again_with_pauses_that_grow_up_to_a_bound() -> None:
    parts = Parts()
    await parts.note(("a", 0))
    await parts.started()
    pauses, last = [], parts.clock.monotonic()
    for round_ in range(12):
        parts.objects.lost(object_id("a"))
        await settle()
        while len(parts.objects.rung) == round_ + 1:
            parts.clock.advance(1)
            await settle(3)
        pauses.append(parts.clock.monotonic() - last)
        last = parts.clock.monotonic()
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


async def test_pauses_are_short_again_once_it_has_heard() -> None:
    parts = Parts()
    await parts.note(("a", 0))
    await parts.started()
    for _ in range(3):
        parts.objects.lost(object_id("a"))
        await parts.advance(40)
    parts.objects.done(object_id("a"), START + 200_000)
    await parts.advance(100)
    assert len(parts.objects.rung) == 5
    parts.objects.lost(object_id("a"))
    await parts.advance(2.05)
    assert len(parts.objects.rung) == 6


async def test_pauses_are_lengthened_at_random_by_a_quarter_at_most() -> None:
    parts = Parts()
    parts.alarms._jitter = lambda: 0.999
    await parts.note(("a", 0))
    await parts.started()
    parts.objects.lost(object_id("a"))
    assert parts.agenda.entries[object_id("a").key].at == START + 2_499


async def test_an_alarm_that_was_set_anew_while_it_rang_rings_at_its_time() -> None:
    parts = Parts()
    await parts.note(("a", 0))
    await parts.started()
    parts.objects.done(object_id("a"), START + 1_000)
    await parts.advance(0.95)
    assert len(parts.objects.rung) == 1
    await parts.advance(0.05)
    assert len(parts.objects.rung) == 2


async def test_an_object_that_is_over_with_an_alarm_that_stays_due_does_not_spin() -> None:
    parts = Parts()
    parts.objects.at_once = True
    await parts.note(("a", 5))
    done = parts.objects.done
    parts.objects.done = lambda one, next_due=None: done(one, 5)  # type: ignore[method-assign]
    await parts.started()
    await parts.advance(60)
    assert 10 <= len(parts.objects.rung) <= 16


async def test_so_many_ring_at_once_and_the_others_wait_for_their_turn() -> None:
    parts = Parts(Limits(alarms_ringing_max=3))
    await parts.note(*((str(number), number) for number in range(8)))
    await parts.started()
    assert parts.objects.names() == ["0", "1", "2"]
    parts.objects.done(object_id("1"))
    await settle()
    assert parts.objects.names() == ["0", "1", "2", "3"]
    for name in ("0", "2", "3"):
        parts.objects.done(object_id(name))
    await settle()
    assert parts.objects.names()[4:] == ["4", "5", "6"]
    assert parts.alarms.view().ringing == 3


async def test_one_turn_of_the_loop_rings_a_few_and_lets_others_in() -> None:
    parts = Parts()
    await parts.note(*((str(number), 0) for number in range(50)))
    parts.alarms.start()
    await asyncio.sleep(0)
    assert 0 < len(parts.objects.rung) < 20
    await settle()
    assert len(parts.objects.rung) == 50


async def test_while_the_storage_is_crowded_they_ring_one_after_the_other_and_all_at_last() -> None:
    parts = Parts()
    parts.objects.at_once = parts.crowded = True
    await parts.note(*((str(number), number) for number in range(20)))
    await parts.started()
    assert parts.objects.names() == ["0"]
    for rung in range(2, 11):
        parts.clock.advance(0.0101)
        await settle()
        assert len(parts.objects.rung) == rung
    parts.crowded = False
    parts.clock.advance(0.0101)
    await settle()
    assert len(parts.objects.rung) == 20


async def test_those_that_never_end_block_nobody() -> None:
    parts = Parts(Limits(alarms_ringing_max=2))
    await parts.note(("hangs", 0), ("too", 1), ("a", 2), ("b", 3), ("c", 4))
    await parts.started()
    await parts.advance(9.9)
    assert parts.objects.names() == ["hangs", "too"]
    await parts.advance(0.2)
    assert parts.objects.names() == ["hangs", "too", "a", "b"]
    assert parts.alarms.view().ringing == 4
    parts.objects.done(object_id("hangs"))
    await settle()
    assert parts.objects.names() == ["hangs", "too", "a", "b"]
    parts.objects.done(object_id("a"))
    await settle()
    assert parts.objects.names() == ["hangs", "too", "a", "b", "c"]


async def test_while_others_wait_an_object_that_was_woken_goes_to_sleep_at_once() -> None:
    parts = Parts(Limits(alarms_ringing_max=1))
    parts.objects.awake.add(object_id("b").key)
    await parts.note(("a", 0), ("b", 1), ("c", 2), ("d", 3))
    await parts.started()
    for name in ("a", "b", "c", "d"):
        parts.objects.done(object_id(name))
        await settle()
    assert parts.objects.slept == [object_id("a").key, object_id("c").key]


async def test_after_the_stop_nothing_rings_and_what_is_left_over_is_for_the_successor() -> None:
    parts = Parts()
    await parts.note(("a", 0))
    await parts.started()
    await parts.note(("b", START + 100))
    parts.alarms.stop()
    await parts.note(("c", 0))
    await parts.advance(5)
    assert parts.objects.names() == ["a"]
    assert parts.agenda.stopped
    parts.objects.lost(object_id("a"))
    entry = parts.agenda.entries[object_id("a").key]
    assert (entry.at, entry.tries) == (0, 0)


async def test_a_clock_that_was_stopped_does_not_start() -> None:
    parts = Parts()
    parts.alarms.stop()
    await parts.note(("a", 0))
    await parts.started()
    assert (parts.objects.rung, parts.agenda.started) == ([], False)


async def test_alarms_of_classes_that_are_gone_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts()
    parts.agenda.counted = {"ROOM": 3, "GONE": 2}
    with caplog.at_level(logging.WARNING):
        await parts.started()
        await parts.advance(100)
    assert [one.getMessage() for one in caplog.records] == [
        "2 objects of GONE have alarms, and this app has no such class: they are kept until it has one again"
    ]
    assert ("alarms.class_gone", {"binding": "GONE", "objects": 2}) in parts.happened


async def test_objects_of_other_hosts_are_never_rung(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts(owns=lambda key: key == object_id("ours").key)
    await parts.note(("theirs", 0), ("others", 1), ("ours", 2))
    await parts.started()
    await parts.advance(5)
    assert parts.objects.names() == ["ours"]
    assert len(caplog.records) == 1
    assert len(parts.agenda.entries) == 2


async def test_an_object_that_rings_without_end_is_reported_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts(Limits(alarm_loop_rings=60, alarm_loop_minutes=2))
    parts.objects.at_once = True
    done = parts.objects.done
    parts.objects.done = lambda one, next_due=None: done(one, parts.clock.now_ms() + 500)  # type: ignore[method-assign]
    await parts.note(("loop", 0))
    await parts.started()
    await parts.advance(250)
    (loop,) = parts.alarms.view().loops
    assert (loop.object_id, loop.minutes) == (object_id("loop"), 3)
    assert caplog.text.count("rings without end") == 1
    assert [facts["id"] for name, facts in parts.happened if name == "alarm.loop"] == [object_id("loop")]


async def test_the_view_tells_what_comes_next() -> None:
    parts = await Parts().started()
    assert (parts.alarms.view().next, parts.alarms.view().ringing) == (None, 0)
    await parts.note(("a", START + 5_000), ("b", START + 4_000))
    assert parts.alarms.view().next == START + 4_000


async def test_an_alarm_that_was_given_up_is_listed_until_it_has_rung_again() -> None:
    parts = await Parts().started()
    one = object_id("a")
    parts.alarms.retry(one, "nightly")
    assert (parts.objects.again, parts.agenda.forgiven) == (["nightly"], [])
    parts.objects.lost(one)
    assert parts.agenda.forgiven == []
    parts.alarms.retry(one, "nightly")
    parts.objects.done(one)
    assert parts.agenda.forgiven == [(one.key, "nightly")]
