# Which of the states that a power failure may leave are looked at.
#
#  (1) At every point of a record: nothing that was not synced is kept; all is (a killed process); all up to some event.
#  (2) Of the last three events that were not synced every subset, with all that came before them and with none of it.
#  (3) All but one event, and none but one, for events at random: what is missing when one sync is.
#  (4) At random: every event by itself lost, kept, torn at sectors, or a hole, with chances that are themselves random,
#      so that both the almost whole and the almost empty come about.
#  In both manners of keeping names (see disk.py). No state is looked at twice with the same promises.
"""Power failures, one after the other, along a recording."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .disk import Choice, Disk, Fate, State, touched
from .promises import Promises
from .recording import Event, Recording

_LAST = 3


class UpTo(NamedTuple):
    """All up to an event is kept, and nothing after it."""

    last: int

    def of_change(self, event: Event) -> Fate:
        return Fate.KEPT if event.number <= self.last else Fate.LOST

    def of_sector(self) -> bool:
        return True

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        return [event for event in pending if event.number <= self.last]


class Among(NamedTuple):
    """Of the last events only these are kept; the older ones are, all or none."""

    last: frozenset[int]
    kept: frozenset[int]
    older: bool
    ordered: bool

    def _keeps(self, number: int) -> bool:
        return number in self.kept if number in self.last else self.older

    def of_change(self, event: Event) -> Fate:
        return Fate.KEPT if self._keeps(event.number) else Fate.LOST

    def of_sector(self) -> bool:
        return True

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        if self.ordered:
            return list(itertools.takewhile(lambda event: self._keeps(event.number), pending))
        return resting(pending, {event.number for event in pending if self._keeps(event.number)})

    def __str__(self) -> str:
        return f"{'all' if self.older else 'nothing'} but {sorted(self.kept)} of {sorted(self.last)}"


class Single(NamedTuple):
    """One event is lost and all others are kept, or the other way round."""

    number: int
    lost: bool
    ordered: bool

    def of_change(self, event: Event) -> Fate:
        return Fate.LOST if (event.number == self.number) == self.lost else Fate.KEPT

    def of_sector(self) -> bool:
        return True

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        if self.ordered:
            return [event for event in pending if (event.number < self.number) == self.lost or not self.lost]
        return resting(pending, {event.number for event in pending if (event.number == self.number) != self.lost})

    def __str__(self) -> str:
        return f"{'all but' if self.lost else 'only'} {self.number}"


class AtRandom:
    """Every event by itself."""

    def __init__(self, seed: str, *, ordered: bool) -> None:
        self._seed = seed
        self._chance = random.Random(seed)
        self._ordered = ordered
        self._kept = self._chance.choice((0.05, 0.3, 0.5, 0.7, 0.95))
        self._torn = self._chance.choice((0.0, 0.1, 0.5))
        self._hole = self._chance.choice((0.0, 0.0, 0.2))

    def of_change(self, _event: Event) -> Fate:
        if self._chance.random() < self._torn:
            return Fate.TORN
        if self._chance.random() < self._hole:
            return Fate.HOLE
        return Fate.KEPT if self._chance.random() < self._kept else Fate.LOST

    def of_sector(self) -> bool:
        return self._chance.random() < 0.5

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        if self._ordered:
            return list(pending[: self._chance.randrange(len(pending) + 1)])
        return resting(pending, {event.number for event in pending if self._chance.random() < self._kept})

    def __str__(self) -> str:
        return f"at random, seed {self._seed}"


def resting(pending: Sequence[Event], wanted: set[int]) -> list[Event]:
    """The wanted ones, as far as nothing that they rest on is lost."""
    lost: set[str] = set()
    kept = []
    for event in pending:
        paths = touched(event)
        if event.number in wanted and not paths & lost:
            kept.append(event)
        else:
            lost |= paths
    return kept


class Crash(NamedTuple):
    """A state to be looked at: when the power failed, what was kept, and what was promised by then."""

    after: int
    manner: str
    choice: Choice
    state: State
    promises: Promises

    def __str__(self) -> str:
        return f"power failed after event {self.after}, names {self.manner}, kept: {self.choice}"


class Crashes:
    """Those of a recording that began with `promises`.

    `random_per_point` are made at every point, `chance_of_point` leaves points out; `exhaustive` is (2). `manners` of
    keeping names: ordered, and not.
    """

    def __init__(
        self,
        recording: Recording,
        seed: int,
        *,
        promises: Promises | None = None,
        random_per_point: int = 2,
        chance_of_point: float = 1.0,
        exhaustive: bool = False,
        manners: Sequence[bool] = (True, False),
    ) -> None:
        self.events = recording.events()
        self.points = 0
        self._recording = recording
        self._seed = seed
        self._promises = promises or Promises()
        self._random_per_point = random_per_point
        self._chance_of_point = chance_of_point
        self._exhaustive = exhaustive
        self._manners = manners
        self._seen: set[tuple[bytes, bytes]] = set()

    def __iter__(self) -> Iterator[Crash]:
        for ordered in self._manners:
            disk = Disk(self._recording, ordered=ordered)
            promises = self._promises
            chance = random.Random(f"{self._seed} {ordered}")
            for event in self.events:
                disk.apply(event)
                promises = promises.after(event)
                if chance.random() < self._chance_of_point:
                    self.points += 1
                    yield from self._at(disk, event.number, promises, chance, ordered)

    def _at(self, disk: Disk, after: int, promises: Promises, chance: random.Random, ordered: bool) -> Iterator[Crash]:
        manner = "ordered" if ordered else "free"
        for choice in self._choices(disk.unsynced(), after, chance, ordered):
            state = disk.crashed(choice)
            key = (state.fingerprint(), promises.fingerprint())
            if key not in self._seen:
                self._seen.add(key)
                yield Crash(after, manner, choice, state, promises)

    def _choices(self, unsynced: Sequence[Event], after: int, chance: random.Random, ordered: bool) -> Iterator[Choice]:
        yield UpTo(0)
        yield UpTo(after)
        if not unsynced:
            return
        yield UpTo(chance.choice(unsynced).number)
        if self._exhaustive:
            yield from _subsets(frozenset(event.number for event in unsynced[-_LAST:]), ordered)
        for lost in (True, False):
            yield Single(chance.choice(unsynced).number, lost, ordered)
        for number in range(self._random_per_point):
            yield AtRandom(f"{self._seed}/{after}/{number}", ordered=ordered)


def _subsets(last: frozenset[int], ordered: bool) -> Iterator[Choice]:
    for size in range(len(last) + 1):
        for kept in itertools.combinations(sorted(last), size):
            for older in (True, False):
                yield Among(last, frozenset(kept), older, ordered)
