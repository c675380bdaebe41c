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
    """Told when turns start and stop, it keeps `active_ms`, `cpu_ms` and `turns` of a meter."""

    __slots__ = ("_cpu_started", "_meter", "_share", "_started", "now", "stopped_at")

    def __init__(self, clock: Clock, meter: Meter) -> None:
        self.now = time.monotonic if type(clock) is SystemClock else clock.monotonic
        self._meter = meter
        self.stopped_at = self._started = self.now()
        """When the last turn ended."""
        self._cpu_started: float | None = None
        self._share = 1.0

    def start(self, under_way: int) -> None:
        """A turn begins; with events under way the time since the last one was active too."""
        self._started = started = self.now()
        if under_way:
            self._meter.active_ms += (started - self.stopped_at) * 1000
        if not self._meter.turns % SAMPLED:
            self._cpu_started = time.thread_time()

    def stop(self) -> None:
        """The turn is over."""
        self.stopped_at = now = self.now()
        wall = (now - self._started) * 1000
        meter = self._meter
        meter.turns += 1
        meter.active_ms += wall
        if self._cpu_started is None:
            meter.cpu_ms += wall * self._share
        else:
            self._measured(wall, (time.thread_time() - self._cpu_started) * 1000)

    def _measured(self, wall: float, cpu: float) -> None:
        self._cpu_started = None
        self._meter.cpu_ms += cpu
        self._share = min(1.0, cpu / wall) if wall > 0 else 1.0
