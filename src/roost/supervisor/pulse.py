"""Noticing that a process is there and yet does nothing: stopped, or with a loop that does not turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

STEPS = 4


class Pinged(Protocol):
    async def answers(self, seconds: float) -> bool:
        """Whether it says something within so many seconds."""


async def silence_of(
    child: Pinged, seconds: float, sleep: Callable[[float], Coroutine[Any, Any, object]] = asyncio.sleep
) -> None:
    """Returns once the process has said nothing for so long although it was asked; never while it answers."""
    # Several short waits instead of a long one: when the supervisor itself stood still, a suspended machine for one,
    # that ends a single wait, and the answer to the next comes in time.
    step = seconds / STEPS
    missed = 0
    while missed < STEPS:
        if await child.answers(step):
            missed = 0
            await sleep(step)
        else:
            missed += 1
