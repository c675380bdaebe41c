"""Who goes to sleep, and when: the decision is a function of what is known, the sweep carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from roost.clock import Clock, Timer
from roost.heap import give_back

MEMORY_SHARE = 0.75
"""Of the machine's memory, where no bound was set."""

GUESS_BYTES = 256 * 1024
"""What the sleep of one object is taken to free. Nothing tells what a Python object holds in all; a sweep that freed
too little is followed by another, and one that freed too much costs a wake of under a millisecond."""

GIVEN_BACK_AFTER = 100
"""Objects that went to sleep, for which it is worth to look through the heap for what they leave."""


class Idle(msgspec.Struct, frozen=True):
    """An object that is awake and has nothing to do."""

    key: bytes
    since: float


def choose_sleepers(idle: Sequence[Idle], *, now: float, idle_seconds: float, bytes_needed: int) -> list[bytes]:
    """The keys of the objects to hibernate now: all that were idle long enough, and, longest idle first, as many more
    as it takes to free `bytes_needed`."""
    by_age = sorted(idle, key=lambda one: one.since)
    due = sum(1 for one in by_age if now - one.since >= idle_seconds)
    wanted = -(-max(bytes_needed, 0) // GUESS_BYTES)
    return [one.key for one in by_age[: max(due, wanted)]]


def resident_bytes() -> int:
    """The resident size of this process; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/statm").read_bytes().split()
    except OSError:
        return 0  # no procfs here: memory pressure is then never seen, and idle_seconds alone decides
    return int(fields[1]) * _page_bytes()


def memory_bound(configured: int) -> int:
    """The resident size above which objects sleep early: as configured, or a share of the machine's memory."""
    if configured:
        return configured
    import os

    return int(os.sysconf("SC_PHYS_PAGES") * _page_bytes() * MEMORY_SHARE)


def _page_bytes() -> int:
    import resource

    return resource.getpagesize()


class Sweep:
    """Looks through the awake objects from time to time, by the clock, and puts to sleep those that were chosen.

    `tidy` is called at each look, for what else is to be let go of when it is old.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        idle_seconds: float,
        memory_bytes_max: int,
        idle: Callable[[], Sequence[Idle]],
        hibernate: Callable[[bytes], None],
        tidy: Callable[[], None],
        resident: Callable[[], int] = resident_bytes,
        give_back: Callable[[], object] = give_back,
    ) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._memory_bytes_max = memory_bytes_max
        self._idle = idle
        self._hibernate = hibernate
        self._tidy = tidy
        self._resident = resident
        self._give_back = give_back
        self._slept = 0
        """How many have gone to sleep since the heap was given back."""
        self._timer: Timer | None = None
        self.every = min(max(idle_seconds / 10, 0.05), 1.0)
        """Seconds from one look to the next: an object sleeps at most a tenth later than it might."""

    def start(self) -> None:
        self._timer = self._clock.call_later(self.every, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> int:
        """Hibernate who is due; returns how many."""
        self._tidy()
        sleepers = choose_sleepers(
            self._idle(),
            now=self._clock.monotonic(),
            idle_seconds=self._idle_seconds,
            bytes_needed=self._resident() - self._memory_bytes_max,
        )
        for key in sleepers:
            self._hibernate(key)
        self._tend_heap(len(sleepers))
        return len(sleepers)

    def _tend_heap(self, slept: int) -> None:
        """Give back what those leave that sleep, once for a crowd that falls asleep: it takes milliseconds."""
        self._slept += slept
        if self._slept >= GIVEN_BACK_AFTER and slept * 10 < self._slept:
            self._slept = 0
            self._give_back()

    def _tick(self) -> None:
        self.start()
        self.look()
