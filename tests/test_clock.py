from __future__ import annotations

import asyncio
import time

from roost.clock import SystemClock


def test_the_epoch_is_counted_in_milliseconds() -> None:
    before = int(time.time() * 1_000) - 1
    assert before <= SystemClock().now_ms() <= int(time.time() * 1_000) + 1


def test_monotonic_time_does_not_go_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


async def test_a_later_call_comes_unless_it_is_cancelled() -> None:
    clock, called, come = SystemClock(), [], asyncio.Event()
    clock.call_later(0, lambda: called.append("cancelled")).cancel()
    clock.call_later(0.001, come.set)
    await come.wait()
    assert called == []
