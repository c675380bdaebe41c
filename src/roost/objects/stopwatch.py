"""How long an object works."""

# Wall time is measured at every turn, with two looks at the clock. The time of the processor costs a call of the
# system, several times as much, so only one turn in `SAMPLED` is measured; between them the share of the last measured
# turn is taken for the others. A step never waits for the loop, so the share is near one unless user code blocks.

from __future__ import annotations

import time

from roost.clock import Clock, SystemClock
from roost.meter import Meter

SAMPLED = 16


class Stopwatch:
    """Told when turns start and stop, it keeps `active_ms`, `cpu_ms` and `turns` of a meter.

    The meter is some turns behind; `settle` brings it up to date.
    """

    __slots__ = ("_active", "_meter", "_share", "cpu_started", "is_due", "now", "stopped_at", "turns", "wall")

    def __init__(self, clock: Clock, meter: Meter) -> None:
        self.now = time.monotonic if type(clock) is SystemClock else clock.monotonic
        self._meter = meter
        self.stopped_at = self.now()
        """When the last turn ended."""
        self.is_due = True
        """Whether the next turn's time of the processor is to be measured."""
        self.turns = 0
        """Since the meter was told."""
        self.wall = 0.0
        """Seconds of those turns, but for those whose time of the processor was measured."""
        self._active = 0.0
        self.cpu_started: float | None = None
        """When the present turn began, on the clock of the processor, if that is measured."""
        self._share = 1.0

    def start(self, started: float, under_way: int) -> None:
        """A turn begins. It need be told only when it `is_due` or events are under way: with these the time since the
        last turn was active too.
        """
        if under_way:
            self._active += started - self.stopped_at
        if self.is_due:
            self.is_due = False
            self.cpu_started = time.thread_time()

    def stop(self, started: float) -> float:
        """The turn that began then is over; the time now."""
        self.stopped_at = now = self.now()
        self.turns = turns = self.turns + 1
        if self.cpu_started is not None:
            self._measured(now - started, time.thread_time() - self.cpu_started)
        else:
            self.wall += now - started
            if turns >= SAMPLED:
                self.is_due = True
        return now

    def _measured(self, wall: float, cpu: float) -> None:
        self._tell()
        self.cpu_started = None
        self._share = min(1.0, cpu / wall) if wall > 0 else 1.0
        self._meter.active_ms += wall * 1000
        self._meter.cpu_ms += cpu * 1000

    def settle(self) -> None:
        """Tell the meter of the turns since the last time."""
        if self.turns:
            self.is_due = True
            self._tell()

    def _tell(self) -> None:
        meter = self._meter
        meter.turns += self.turns
        meter.active_ms += (self.wall + self._active) * 1000
        meter.cpu_ms += self.wall * self._share * 1000
        self.turns = 0
        self.wall = self._active = 0.0
