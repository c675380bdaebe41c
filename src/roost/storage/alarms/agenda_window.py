# The part of the agenda that is in memory: what rings next.
#
#  (1) The window knows every entry up to its horizon, and none beyond it. What comes first in it therefore comes first
#      of all, once anything was loaded.
#  (2) It is bounded: when it grows too large, the later half goes and the horizon moves back. What went is in the file,
#      or on its way there, and is loaded again when its time comes.
#  (3) Entries are ordered by time, and those of the same time by key: so the horizon can lie between two of them.
"""What rings next, in a bounded heap."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

Moment = tuple[int, bytes]
"""A place in the order of entries: when, and whose."""
BEGINNING: Moment = (-1, b"")
END: Moment = (1 << 63, b"")


class Entry(msgspec.Struct, frozen=True, eq=False):
    """One object of the agenda. An object has one entry, for the earliest of its alarms."""

    key: bytes
    binding: str
    name: str | None
    due: int | None
    """When its earliest alarm is due, in milliseconds since the epoch; None when it has none any more."""
    at: int
    """When it is to be rung: at `due`, or later after attempts that failed."""
    tries: int = 0
    """How many attempts to ring it have failed."""

    @property
    def moment(self) -> Moment:
        return (self.at, self.key)


class Window:
    """The entries up to `horizon`, at most `size_max` of them."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._entries: dict[bytes, Entry] = {}
        self._heap: list[Moment] = []  # of some of which the entry has gone or moved
        self.horizon: Moment = BEGINNING

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """What is true of this object from now on; kept when it lies before the horizon."""
        if entry.due is None or entry.moment > self.horizon:
            self.remove(entry.key)
            return
        self._entries[entry.key] = entry
        heapq.heappush(self._heap, entry.moment)
        if len(self._entries) > self._size_max:
            self._shrink()
        elif len(self._heap) > 2 * self._size_max:
            self._rebuild()

    def remove(self, key: bytes) -> None:
        """Forget the entry of an object, if it is here."""
        self._entries.pop(key, None)

    def extend(self, entries: Iterable[Entry], horizon: Moment) -> None:
        """Move the horizon on; `entries` are all that lie between the present one and that."""
        self.horizon = horizon
        for entry in entries:
            if entry.moment <= self.horizon:  # it may have moved back meanwhile
                self.put(entry)

    def first(self) -> Entry | None:
        """The entry that rings next."""
        while self._heap:
            at, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry.at == at:
                return entry
            heapq.heappop(self._heap)
        return None

    def clear(self) -> None:
        """Know nothing again."""
        self._entries.clear()
        self._heap.clear()
        self.horizon = BEGINNING

    def _shrink(self) -> None:
        moments = sorted(entry.moment for entry in self._entries.values())
        kept = moments[: self._size_max // 2]
        self.horizon = kept[-1]
        for _, key in moments[len(kept) :]:
            del self._entries[key]
        self._heap = kept  # sorted, so it is a heap

    def _rebuild(self) -> None:
        self._heap = sorted(entry.moment for entry in self._entries.values())
