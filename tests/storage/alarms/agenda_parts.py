"""What the tests of the agenda share: a loop that a test turns by hand, and a file that refuses when it is told to."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

from roost.errors import StorageError
from roost.ids import ObjectId
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_window import Entry

PATIENCE = 60.0
"""After which a test that waits for a thread gives up."""


class HandLoop:
    """Keeps what is posted until the test lets it happen."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def post(self, function: Callable[[], None]) -> None:
        self._posted.put(function)

    def turn(self) -> None:
        """Wait for the next thing that is posted, and do it."""
        self._posted.get(timeout=PATIENCE)()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.turn()

    def turn_all(self) -> None:
        """Do what is posted already."""
        while not self._posted.empty():
            self._posted.get()()


class RefusingFile(AgendaFile):
    """Raises `refuse` at every write for as long as it is set; counts those that succeeded."""

    def __init__(self, directory: Path, *, complete: bool = True) -> None:
        super().__init__(directory, complete=complete)
        self.refuse: StorageError | None = None
        self.writes: list[bool] = []
        """Whether each was synced."""

    def write(self, changes: Changes, *, sync: bool = False) -> None:
        if self.refuse is not None:
            raise self.refuse
        super().write(changes, sync=sync)
        self.writes.append(sync)


def entry(object_id: ObjectId, due: int | None) -> Entry:
    return Entry(object_id.key, object_id.binding, object_id.name, due, due or 0)
