"""Objects whose alarms ring without end are found, and others are not."""

from __future__ import annotations

import pytest

from roost.host import alarm_loops
from roost.host.alarm_loops import AlarmLoops, Loop
from roost.ids import ObjectId

from .parts import object_id

ROOM = object_id("loop")


def ring_every(
    loops: AlarmLoops, seconds: float, *, until: float, since: float = 0.0, who: ObjectId = ROOM
) -> list[Loop]:
    found, now = [], since
    while now < until:
        if (loop := loops.rang(who, now)) is not None:
            found.append(loop)
        now += seconds
    return found


def test_a_loop_is_reported_once_after_so_many_minutes() -> None:
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    assert ring_every(loops, 0.5, until=180) == []
    (loop,) = ring_every(loops, 0.5, since=180, until=400)
    assert (loop.object_id, loop.rings, loop.minutes) == (ROOM, 120, 3)
    assert [one.minutes for one in loops.loops(400)] == [6]


def test_as_often_as_allowed_is_no_loop() -> None:
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    assert ring_every(loops, 1.0, until=1_000) == []
    assert loops.loops(1_000) == []


def test_a_quiet_minute_ends_it_and_the_next_loop_is_reported_anew() -> None:
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    assert len(ring_every(loops, 0.5, until=300)) == 1
    assert ring_every(loops, 30.0, since=300, until=420) == []
    assert loops.loops(420) == []
    assert len(ring_every(loops, 0.5, since=420, until=720)) == 1


def test_a_loop_that_stopped_altogether_is_not_shown() -> None:
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    ring_every(loops, 0.5, until=300)
    assert len(loops.loops(310)) == 1
    assert loops.loops(360.1) == []


def test_minutes_must_follow_each_other() -> None:
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    for start in range(0, 1_200, 120):
        assert ring_every(loops, 0.5, since=start, until=start + 60) == []


def test_only_those_that_rang_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_loops, "REMEMBERED_MAX", 5)
    loops = AlarmLoops(rings_max=60, minutes_max=3)
    ring_every(loops, 0.5, until=300)
    for number in range(5):
        loops.rang(object_id(str(number)), 300)
    assert loops.loops(300) == []
    assert len(loops._counts) == 5
