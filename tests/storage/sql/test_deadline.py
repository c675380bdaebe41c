"""How long a statement may take."""

from __future__ import annotations

from roost.errors import SQLTimeoutError
from roost.storage.sql.deadline import Deadline


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


def test_time_counts_from_the_first_tick_of_a_statement() -> None:
    clock = Clock()
    deadline = Deadline(5.0, 1 << 40, clock)
    for _ in range(3):
        deadline.ticks = 0
        clock.now += 100
        assert not deadline.tick()
        clock.now += 5
        assert not deadline.tick()
    assert deadline.why() is None
    clock.now += 0.1
    assert deadline.tick()
    why = deadline.why()
    assert isinstance(why, SQLTimeoutError)
    assert "longer than 5 seconds" in str(why)
    assert deadline.why() is None


def test_the_clock_is_not_looked_at_before_the_first_tick() -> None:
    clock = Clock()
    Deadline(5.0, 1 << 40, clock)
    assert clock.looks == 0
