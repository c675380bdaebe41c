"""The cursors of a turn that SQLite may have more rows for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import ref

_KNOWN_MAX = 1000


class Endable(Protocol):
    """A cursor."""

    def end(self, why: str) -> None:
        """Give no more rows."""


class OpenCursors:
    """Knows them weakly: one that nobody can ask for rows any more is closed where it is dropped."""

    def __init__(self) -> None:
        self.on_first: Callable[[], None] | None = None
        """Called at the first query of a turn: `end` must be called when the turn is over."""
        self.turn = 0
        """Counts the times that all were ended; a cursor of an earlier turn has no rows any more."""
        self.over = "the turn in which it was made is over"
        """Why they were ended last."""
        self.used = False
        """Whether there was a query in this turn; never where nobody ends turns."""
        self._open: set[ref[Any]] = set()

    def use(self) -> None:
        """There is a query in this turn."""
        if self.on_first is not None:
            self.used = True
            self.on_first()

    def add(self, cursor: Endable) -> None:
        """SQLite may have more rows for this one."""
        self._open.add(ref(cursor))
        if len(self._open) > _KNOWN_MAX:
            self._open = {one for one in self._open if one() is not None}

    def discard(self, cursor: Endable) -> None:
        """It has none any more."""
        self._open.discard(ref(cursor))

    def end(self, why: str) -> None:
        """End all of them, those with rows that were read ahead too."""
        self.used, self.over = False, why
        self.turn += 1
        while self._open:
            cursor = self._open.pop()()
            if cursor is not None:
                cursor.end(why)
