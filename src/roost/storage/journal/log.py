# A log is what makes commits durable and keeps their order.
#
#  (1) Records become durable in the order in which they were appended; if one is durable, so are all before it.
#  (2) The callback of a record is called once, on the thread of the log's owner, and never from within its `append`:
#      with None when the record is durable, with the error when it is not. Callbacks of one log come in the order of
#      their records.
#  (3) An append that raises has changed nothing.
#  (4) When a record of an object has failed, no later record of that object becomes durable until the callback has
#      told of it: a log never holds an object's history with a hole in it.
#  (5) After `let_go(key, n)` the log need not keep the commits of that object up to n: the owner has them in a file.
"""The contract of a log, and the simplest driver of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost.errors import StorageError
from roost.storage.journal.record import Record

OnDurable = Callable[[StorageError | None], None]
"""Called once a commit's fate is known: None when it is durable."""


class Log(Protocol):
    """Where commits become durable."""

    epoch: int
    """The epoch under which records are appended."""

    def append(self, record: Record, on_durable: OnDurable) -> int:
        """Hand a record over; its place in the order of the log.

        Raises StorageFullError when there is no room now, StorageError when the log is broken.
        """

    def let_go(self, key: bytes, commit: int) -> None:
        """The object's file holds everything up to `commit`, durably. May be called from any thread."""

    def flush(self) -> None:
        """Wait until the fate of every record so far is known, and call the callbacks that are due."""

    def close(self) -> None:
        """Flush, and let go of the files; nothing can be appended afterwards."""


class Append:
    """A record that was handed to a MemoryLog and waits to be finished by hand."""

    def __init__(self, log: MemoryLog, record: Record, on_durable: OnDurable) -> None:
        self.record = record
        self._log = log
        self._on_durable = on_durable

    def succeed(self) -> None:
        """This record, and all before it, are durable now."""
        while True:
            first = self._log.take_first()
            first._on_durable(None)
            if first is self:
                return

    def fail(self, error: StorageError) -> None:
        """This record, and all after it, will never be durable."""
        for append in self._log.take_from(self):
            append._on_durable(error)


class MemoryLog:
    """A log whose appends a test finishes by hand; it keeps nothing.

    `pending()` are the appends that were handed over and not finished, oldest first.
    `refuse_with` makes every further append raise that error.
    """

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.refuse_with: StorageError | None = None
        self.let_go_of: dict[bytes, int] = {}
        self._pending: list[Append] = []
        self._position = 0

    def append(self, record: Record, on_durable: OnDurable) -> int:
        if self.refuse_with is not None:
            raise self.refuse_with
        self._position += 1
        self._pending.append(Append(self, record, on_durable))
        return self._position

    def let_go(self, key: bytes, commit: int) -> None:
        self.let_go_of[key] = commit

    def pending(self) -> list[Append]:
        return list(self._pending)

    def flush(self) -> None:
        while self._pending:
            self._pending[0].succeed()

    def close(self) -> None:
        self.flush()

    def take_first(self) -> Append:
        return self._pending.pop(0)

    def take_from(self, append: Append) -> list[Append]:
        at = self._pending.index(append)
        taken = self._pending[at:]
        del self._pending[at:]
        return taken
