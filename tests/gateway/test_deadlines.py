from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.fake_clock import FakeClock

from roost.gateway.deadlines import Deadlines


class Waiting:
    def __init__(self, clock: FakeClock) -> None:
        self.deadline_slot = 0
        self.called: list[float] = []
        self._clock = clock

    def on_deadline(self) -> None:
        self.called.append(self._clock.monotonic())


def test_a_deadline_is_met_in_time_and_once() -> None:
    clock = FakeClock()
    deadlines, waiting = Deadlines(clock, 0.25), Waiting(clock)
    deadlines.set(waiting, 10)
    clock.advance(9.99)
    assert waiting.called == []
    clock.advance(100)
    (met,) = waiting.called
    assert 1_010 <= met <= 1_010.5


def test_a_deadline_can_be_moved_and_cleared() -> None:
    clock = FakeClock()
    deadlines, moved, cleared = Deadlines(clock), Waiting(clock), Waiting(clock)
    deadlines.set(moved, 5)
    deadlines.set(cleared, 5)
    clock.advance(4)
    deadlines.set(moved, 5)
    deadlines.clear(cleared)
    deadlines.clear(cleared)
    clock.advance(4.5)
    assert moved.called == []
    clock.advance(2)
    assert len(moved.called) == 1
    assert cleared.called == []


def test_no_timer_runs_while_nobody_waits() -> None:
    clock = FakeClock()
    deadlines, waiting = Deadlines(clock), Waiting(clock)
    assert clock.pending == 0
    deadlines.set(waiting, 1)
    assert clock.pending == 1
    clock.advance(2)
    assert clock.pending == 0
    clock.advance(1_000)
    deadlines.set(waiting, 1)
    clock.advance(2)
    assert len(waiting.called) == 2


def test_one_that_is_called_may_clear_another_of_the_same_moment() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock)
    second = Waiting(clock)

    class First(Waiting):
        def on_deadline(self) -> None:
            deadlines.clear(second)

    deadlines.set(First(clock), 1)
    deadlines.set(second, 1)
    clock.advance(5)
    assert second.called == []


def test_one_that_is_called_may_wait_again() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock)

    class Again(Waiting):
        def on_deadline(self) -> None:
            super().on_deadline()
            deadlines.set(self, 1)

    again = Again(clock)
    deadlines.set(again, 1)
    clock.advance(10)
    assert 6 <= len(again.called) <= 10


def test_after_close_nothing_is_called() -> None:
    clock = FakeClock()
    deadlines, waiting = Deadlines(clock), Waiting(clock)
    deadlines.set(waiting, 1)
    deadlines.close()
    deadlines.set(waiting, 1)
    clock.advance(10)
    assert waiting.called == []
    assert clock.pending == 0


@given(steps=st.lists(st.tuples(st.floats(0.1, 30), st.floats(0, 20)), max_size=20))
def test_every_deadline_is_met_between_its_time_and_two_ticks_later(steps: list[tuple[float, float]]) -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock, 0.25)
    due: list[tuple[Waiting, float]] = []
    for seconds, passed in steps:
        waiting = Waiting(clock)
        due.append((waiting, clock.monotonic() + seconds))
        deadlines.set(waiting, seconds)
        clock.advance(passed)
    clock.advance(40)
    for waiting, when in due:
        (met,) = waiting.called
        assert when <= met + 1e-6
        assert met <= when + 0.5 + 1e-6


def test_time_in_which_nothing_ran_does_not_count() -> None:
    clock = FakeClock()
    deadlines, before, after = Deadlines(clock), Waiting(clock), Waiting(clock)
    deadlines.set(before, 10)
    clock.advance(5)
    clock.stand_still(60)
    deadlines.set(after, 10)
    clock.advance(4)
    assert before.called == []
    clock.advance(1.5)
    assert (len(before.called), after.called) == (1, [])
    clock.advance(4)
    assert after.called == []
    clock.advance(1)
    assert len(after.called) == 1


def test_a_turn_of_less_than_a_second_counts_in_full() -> None:
    clock = FakeClock()
    deadlines, waiting = Deadlines(clock), Waiting(clock)
    deadlines.set(waiting, 10)
    for _ in range(12):
        clock.stand_still(0.9)
        clock.advance(0)
    assert len(waiting.called) == 1


def test_time_passes_while_nobody_waits() -> None:
    clock = FakeClock()
    deadlines, waiting = Deadlines(clock), Waiting(clock)
    before = deadlines.now()
    clock.stand_still(60)
    assert deadlines.now() - before == deadlines.slots(60)
    deadlines.set(waiting, 1)
    clock.advance(2)
    assert len(waiting.called) == 1
