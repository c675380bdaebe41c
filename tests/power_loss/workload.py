"""A program that stores things, at random, and says what it stored: `workload.py DIRECTORY SEED STEPS [killed]`.

Values, alarms, deletes, checkpoints, lives, clean restarts, restores of the past; segments of the journal are folded
into archives beside it. With `killed` it ends in the middle, as a process does that is killed: nothing is closed.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from tests.power_loss.promises import Mark, digest, say

from roost.errors import StorageError
from roost.history.folding import fold
from roost.history.object_history import ObjectHistory
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.keeper import NothingKept
from roost.storage.journal.parted_images import PART_PAGES
from roost.storage.kv import KeyRange
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery import restoring
from roost.storage.recovery.rewinder import State
from roost.storage.store import HostStore

OBJECTS = 3
IDS = [IdSpace("ROOM", "secret").from_name(f"room {number}") for number in range(OBJECTS)]
LIMITS = Limits(journal_segment_bytes=32 * 1024, checkpoint_bytes=48 * 1024, open_databases_max=2)


ALARMS = ("", "tea", "sweep")
SOON_MS = 3_000_000_000_000  # in the year 2065: no alarm rings here


def contents(storage: ObjectStorage) -> dict[str, bytes]:
    """Everything that an object holds: its values, and its alarms under names that no value has."""
    due = {name: storage.alarms.get(name) for name in ALARMS}
    return dict(storage.select(KeyRange())) | {f"alarm {name}": b"%d" % at for name, at in due.items() if at}


class Folding(NothingKept):
    """Makes an archive of each segment, at once and in this process."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        fold(self._data, segment)
        done(True)


class Rewinding:
    """Knows the past from the archives, in this process."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def state_at(self, object_id: ObjectId, commit: int) -> State:
        return ObjectHistory(self._data, object_id).state_at(commit)

    def commit_at(self, object_id: ObjectId, time_ms: int) -> int:
        return ObjectHistory(self._data, object_id).at_time(time_ms).commit

    def check(self, object_id: ObjectId, commit: int) -> None:
        ObjectHistory(self._data, object_id).check(commit)


def opened(directory: Path) -> HostStore:
    """The store of the only host, with a history."""
    return HostStore(directory, limits=LIMITS, keeper=Folding(directory), rewinder=Rewinding(directory))


def begin(store: HostStore, number: int) -> ObjectStorage:
    """As a life of an object begins: what must come before it is done."""
    told: list[StorageError | None] = []
    if not store.prepare(IDS[number], told.append):
        while not told:
            store.settle()
        if told[0] is not None:
            raise told[0]
    return store.open(IDS[number])


class Room:
    """One object, and what it holds."""

    def __init__(self, number: int, store: HostStore) -> None:
        self.number = number
        self.storage = begin(store, number)
        self.present = contents(self.storage)
        self.past: list[tuple[int, dict[str, bytes]]] = []
        """The number of each commit that was confirmed, and what the object held after it."""
        say(Mark("found", number, digest(self.present)))

    def commit(self, number: int) -> None:
        if not self.storage.dirty:
            return
        state = dict(self.present)
        say(Mark("commit", self.number, digest(state), number))
        made: list[int] = []

        def told(error: StorageError | None) -> None:
            assert error is None, error
            say(Mark("told", self.number, number=number, commit=made[0]))
            self.past.append((made[0], state))

        made.append(self.storage.commit(told))


class Workload:
    """Steps at random over a store without a loop."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._commits = self._chance.randrange(1 << 20) * 1000
        self._open()

    def _open(self) -> None:
        self._store = opened(self._directory)
        self._rooms = [Room(number, self._store) for number in range(OBJECTS)]

    def step(self) -> None:
        steps = [self._put] * 8 + [self._put_much, self._delete, self._settle, self._settle, self._checkpoint]
        steps += [self._delete_all, self._new_life, self._restart, self._set_alarm, self._delete_alarm, self._restore]
        self._chance.choice(steps)()

    def _commit(self, room: Room) -> None:
        self._commits += 1
        room.commit(self._commits)

    def _put(self) -> None:
        room = self._chance.choice(self._rooms)
        for _ in range(self._chance.randrange(1, 4)):
            key = f"key {self._chance.randrange(12)}"
            room.present[key] = self._chance.randbytes(self._chance.choice((8, 60, 600)))
            room.storage.put(key, room.present[key])
        self._commit(room)

    def _put_much(self) -> None:
        room = self._chance.choice(self._rooms)
        for number in range(6):
            room.present[f"much {number}"] = self._chance.randbytes(3000)
            room.storage.put(f"much {number}", room.present[f"much {number}"])
        self._commit(room)

    def _delete(self) -> None:
        room = self._chance.choice(self._rooms)
        for key in sorted(key for key in room.present if not key.startswith("alarm "))[::2]:
            room.storage.delete(key)
            del room.present[key]
        self._commit(room)

    def _delete_all(self) -> None:
        room = self._chance.choice(self._rooms)
        room.storage.delete_all()
        room.present = contents(room.storage)  # alarms may stay
        if self._chance.random() < 0.5:
            room.present["again"] = b"after everything was deleted"
            room.storage.put("again", room.present["again"])
        self._commit(room)

    def _set_alarm(self) -> None:
        room, name = self._chance.choice(self._rooms), self._chance.choice(ALARMS)
        due = SOON_MS + self._chance.randrange(1000)
        room.storage.alarms.set(name, due, limit=10)
        room.present[f"alarm {name}"] = b"%d" % due
        self._commit(room)

    def _delete_alarm(self) -> None:
        room, name = self._chance.choice(self._rooms), self._chance.choice(ALARMS)
        room.storage.alarms.delete(name)
        room.present.pop(f"alarm {name}", None)
        self._commit(room)

    def _restore(self) -> None:
        """Take an object back: its former state is promised from the moment on at which the plan is durable."""
        room = self._chance.choice(self._rooms)
        self._store.settle()
        if not room.past:
            return
        commit, state = self._chance.choice(room.past)
        self._commits += 1
        say(Mark("commit", room.number, digest(state), self._commits))
        restoring.LARGE_PAGES = 1 if self._commits % 2 else PART_PAGES  # into a side file, or not
        self._store.plan_restore(IDS[room.number], commit)
        say(Mark("told", room.number, number=self._commits))
        room.storage.close()
        room.storage, room.present = begin(self._store, room.number), dict(state)
        assert contents(room.storage) == state

    def _settle(self) -> None:
        self._store.settle()

    def _checkpoint(self) -> None:
        self._store.checkpoint()

    def _new_life(self) -> None:
        room = self._chance.choice(self._rooms)
        room.storage.close()
        room.storage = begin(self._store, room.number)

    def _restart(self) -> None:
        self._store.close()
        self._open()

    def end(self) -> None:
        self._store.close()


def main(directory: str, seed: str, steps: str, *how: str) -> None:
    work = Workload(Path(directory), int(seed))
    for _ in range(int(steps)):
        work.step()
    if "killed" in how:
        os._exit(0)
    work.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
