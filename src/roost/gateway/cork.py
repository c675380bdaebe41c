"""One write per socket and loop turn.

(1) Frames leave a socket in the order in which they were queued.
(2) All that was queued for a socket in one turn of the loop is one write.
(3) A frame for many sockets is one bytes object, shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol


class Corked(Protocol):
    """A connection with frames queued in this turn."""

    pending: list[bytes]

    def flush(self) -> None:
        """Write what is pending."""


class Cork:
    """The sockets of one loop that have something to write in this turn."""

    __slots__ = ("_dirty", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[Corked] = []

    def write(self, connection: Corked, frame: bytes) -> None:
        pending = connection.pending
        if not pending:
            if not self._dirty:
                self._loop.call_soon(self.flush)
            self._dirty.append(connection)
        pending.append(frame)

    def write_all(self, connections: Iterable[Corked], frame: bytes) -> None:
        """The same frame to each of them."""
        dirty = self._dirty
        scheduled = bool(dirty)
        for connection in connections:
            pending = connection.pending
            if not pending:
                dirty.append(connection)
            pending.append(frame)
        if dirty and not scheduled:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything now; called by the loop, and harmless at any other time."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            if connection.pending:
                connection.flush()
