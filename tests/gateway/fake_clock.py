"""Time that moves when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class _Timer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """A Clock for tests: `advance` calls what falls due, in order."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self._timers: list[_Timer] = []

    def monotonic(self) -> float:
        return self._now

    def now_ms(self) -> int:
        return 1_764_000_000_000 + int((self._now - 1_000) * 1_000)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(self._now + seconds, callback)
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for timer in self._timers)

    def stand_still(self, seconds: float) -> None:
        """Move on while nothing runs, timers neither: they are late afterwards."""
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Move on, calling each timer at its time."""
        end = self._now + seconds
        while True:
            due = [timer for timer in self._timers if timer.due <= end and not timer.cancelled]
            if not due:
                break
            timer = min(due, key=lambda timer: timer.due)
            self._timers.remove(timer)
            self._now = max(self._now, timer.due)
            timer.callback()
        self._now = end


async def settle(turns: int = 20) -> None:
    """Let the loop do what is ready, sockets included."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that a thread or the kernel brings about and nobody tells of."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")
