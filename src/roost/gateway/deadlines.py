"""One timer for the deadlines of all connections.

A deadline is met at its time or at most two ticks later. Setting, moving and clearing one costs a few dictionary
operations, whatever the number of connections; while there are none, no timer runs.

Time in which the loop did not run (the process was stopped, the machine asleep, a turn too long) does not count: what a
client did meanwhile waits to be read. A tick that comes late counts as one.
"""

from __future__ import annotations

import math
from typing import Protocol

from roost.clock import Clock, Timer

TICK_SECONDS = 0.25
LATE_SLOTS = 4
"""So many ticks, a second, a turn of the loop may take before it is taken not to have run."""


class Waiting(Protocol):
    """Something that may wait for one deadline at a time."""

    deadline_slot: int
    """Kept by Deadlines; 0 while none is set."""

    def on_deadline(self) -> None: ...


class Deadlines:
    """Calls `on_deadline` of whatever has one set."""

    def __init__(self, clock: Clock, tick_seconds: float = TICK_SECONDS) -> None:
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._slots: dict[int, dict[Waiting, None]] = {}
        self._timer: Timer | None = None
        self._due_slot = 0
        """All slots up to this one were called."""
        self._closed = False
        self._lost = 0
        """Slots in which the loop did not run."""
        self.slot = self.now()
        """As `now()`, as of the last tick: cheap to read, and right while any deadline is set."""

    def now(self) -> int:
        """The slot of this moment."""
        return self._slot_in(0.0)

    def _slot_in(self, seconds: float) -> int:
        """The slot of the moment in so many seconds."""
        now = self._clock.monotonic()
        if self._timer is not None:
            late = int(now / self._tick_seconds) - self._lost - self.slot
            if late >= LATE_SLOTS:
                self._lost += late
        return int((now + seconds) / self._tick_seconds) + 1 - self._lost

    def set(self, waiting: Waiting, seconds: float) -> None:
        """Call `waiting.on_deadline()` after so many seconds, in place of an earlier deadline of it."""
        self.set_slot(waiting, self._slot_in(seconds))

    def slots(self, seconds: float) -> int:
        """So many seconds, in slots, rounded up."""
        return max(1, math.ceil(seconds / self._tick_seconds))

    def seconds(self, slots: int) -> float:
        """So many slots, in seconds."""
        return slots * self._tick_seconds

    def set_slot(self, waiting: Waiting, slot: int) -> None:
        if waiting.deadline_slot:
            self._forget(waiting)
        if self._closed:
            return
        waiting.deadline_slot = slot
        self._slots.setdefault(slot, {})[waiting] = None
        if self._timer is None:
            self.slot = self.now()
            self._due_slot = min(self.slot, slot) - 1
            self._timer = self._clock.call_later(self._tick_seconds, self._tick)

    def clear(self, waiting: Waiting) -> None:
        if waiting.deadline_slot:
            self._forget(waiting)

    def close(self) -> None:
        """No deadline is met any more."""
        self._closed = True
        for waiting in [waiting for slot in self._slots.values() for waiting in slot]:
            self._forget(waiting)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self, waiting: Waiting) -> None:
        slot = self._slots.get(waiting.deadline_slot)
        if slot is not None:
            slot.pop(waiting, None)
            if not slot:
                del self._slots[waiting.deadline_slot]
        waiting.deadline_slot = 0

    def _tick(self) -> None:
        self.slot = now = self.now()
        self._timer = None
        passed = range(self._due_slot + 1, now)
        self._due_slot = now - 1
        for slot in passed if len(passed) < len(self._slots) else sorted(self._slots.keys() & set(passed)):
            self._call(slot)
        if self._slots and self._timer is None and not self._closed:
            self._timer = self._clock.call_later(self._tick_seconds, self._tick)

    def _call(self, slot: int) -> None:
        for waiting in list(self._slots.pop(slot, ())):
            if waiting.deadline_slot == slot:  # one called before it may have cleared or moved this one
                waiting.deadline_slot = 0
                waiting.on_deadline()
