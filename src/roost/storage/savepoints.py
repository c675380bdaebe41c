"""The transactions that are open inside a turn, as savepoints of its database."""

from __future__ import annotations

from typing import NamedTuple

import apsw


class Before(NamedTuple):
    """What a turn was when a transaction inside of it was opened."""

    wrote: bool
    confirmed: bool


class Savepoints:
    """Nested transactions, the innermost last. One begins in the database with its first write: `begin`."""

    def __init__(self) -> None:
        self._before: list[Before] = []
        self._begun = 0
        """How many of them have begun in the database."""
        self.waiting = False
        """Whether one has not."""

    @property
    def depth(self) -> int:
        """How many are open."""
        return len(self._before)

    def open(self, before: Before) -> None:
        """Open one more."""
        self._before.append(before)
        self.waiting = True

    def pop(self) -> Before:
        """The innermost is over; `release` or `roll_back` must follow, or the end of the turn."""
        before = self._before.pop()
        self.waiting = self._begun < len(self._before)
        return before

    def begin(self, connection: apsw.Connection) -> None:
        """Let all that are open begin in the database."""
        while self._begun < len(self._before):
            connection.execute(f"SAVEPOINT _roost_{self._begun}")
            self._begun += 1
        self.waiting = False

    def release(self, connection: apsw.Connection) -> None:
        """Keep the writes of the one that is over."""
        self._end(connection, "RELEASE _roost_{0}")

    def roll_back(self, connection: apsw.Connection) -> None:
        """Drop the writes of the one that is over."""
        self._end(connection, "ROLLBACK TO _roost_{0}; RELEASE _roost_{0}")

    def _end(self, connection: apsw.Connection, statement: str) -> None:
        if self._begun > len(self._before):
            self._begun -= 1
            connection.execute(statement.format(self._begun))

    def end_turn(self) -> None:
        """The transaction of the turn is over in the database, and so is everything inside of it."""
        self._begun = 0
        self.waiting = bool(self._before)

    def clear(self) -> None:
        """None is open any more."""
        self._before.clear()
        self._begun = 0
        self.waiting = False
