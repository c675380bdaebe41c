"""What an activation does for its storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Gate(Protocol):
    """Lets code wait without letting events in."""

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        """Wait for a future with the input gate closed; the turn ends, and is committed, when this suspends."""

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run `fn`; until it ends, only what it started itself is delivered. Its exception is passed on as it is."""

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """The same as `ctx.block_concurrency_while`: need not be awaited, and an exception resets the object."""
