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

    The meter may be up to `SAMPLED` turns behind; `settle` brings it up to date.
    """

    __slots__ = (
        "_active",
        "_cpu_started",
        "_meter",
        "_share",
        "_started",
        "_turns",
        "_until_sample",
        "_wall",
        "now",
        "stopped_at",
    )

    def __init__(self, clock: Clock, meter: Meter) -> None:
        self.now = time.monotonic if type(clock) is SystemClock else clock.monotonic
        self._meter = meter
        self.stopped_at = self._started = self.now()
        """When the last turn ended."""
        self._turns = 0
        """Since the meter was told."""
        self._until_sample = 1
        self._wall = self._active = 0.0
        self._cpu_started: float | None = None
        self._share = 1.0

    def start(self, under_way: int) -> None:
        """A turn begins; with events under way the time since the last one was active too."""
        self._turns += 1
        self._started = started = self.now()
        if under_way:
            self._active += started - self.stopped_at
        self._until_sample -= 1
        if not self._until_sample:
            self._until_sample = SAMPLED
            self._cpu_started = time.thread_time()

    def stop(self) -> None:
        """The turn is over."""
        self.stopped_at = now = self.now()
        if self._cpu_started is None:
            self._wall += now - self._started
        else:
            self._measured(now - self._started, time.thread_time() - self._cpu_started)

    def _measured(self, wall: float, cpu: float) -> None:
        self.settle()
        self._cpu_started = None
        self._share = min(1.0, cpu / wall) if wall > 0 else 1.0
        self._meter.active_ms += wall * 1000
        self._meter.cpu_ms += cpu * 1000

    def settle(self) -> None:
        """Tell the meter of the turns since the last time."""
        meter = self._meter
        meter.turns += self._turns
        meter.active_ms += (self._wall + self._active) * 1000
        meter.cpu_ms += self._wall * self._share * 1000
        self._turns = 0
        self._wall = self._active = 0.0
