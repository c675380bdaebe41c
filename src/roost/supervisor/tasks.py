"""Waiting for several tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until they are gone; what they raise is for whoever asks them for their result."""
    remaining = set(tasks)
    for task in remaining:
        task.cancel()
    if remaining:
        await asyncio.wait(remaining)


async def all_of(works: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do all of it at once. The first error ends the rest, and is raised as it is."""
    tasks = {asyncio.ensure_future(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel(tasks)
    for task in done:
        task.result()
