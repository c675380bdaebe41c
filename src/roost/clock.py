"""Time, as everything in roost reads it, so that tests can move it by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Where the time comes from and how a later call is asked for."""

    def monotonic(self) -> float:
        """Seconds that only grow; the zero means nothing."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running loop after `seconds`; the result can be cancelled."""


class SystemClock:
    """The real time of the machine, with timers of the running asyncio loop."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)
