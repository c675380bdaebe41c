"""A program that stores things, at random, and says what it stored: `workload.py DIRECTORY SEED STEPS [killed]`.

With `killed` it ends in the middle, as a process does that is killed: nothing is closed.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.power_loss.promises import Mark, digest, say

from roost.errors import StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.kv import KeyRange
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

OBJECTS = 3
IDS = [IdSpace("ROOM", "secret").from_name(f"room {number}") for number in range(OBJECTS)]
LIMITS = Limits(journal_segment_bytes=32 * 1024, checkpoint_bytes=48 * 1024, open_databases_max=2)


def contents(storage: ObjectStorage) -> dict[str, bytes]:
    """Everything that an object holds."""
    return dict(storage.select(KeyRange()))


class Room:
    """One object, and what it holds."""

    def __init__(self, number: int, store: HostStore) -> None:
        self.number = number
        self.storage = store.open(IDS[number])
        self.present = contents(self.storage)
        say(Mark("found", number, digest(self.present)))

    def commit(self, number: int) -> None:
        if not self.storage.dirty:
            return
        say(Mark("commit", self.number, digest(self.present), number))
        made: list[int] = []

        def told(error: StorageError | None) -> None:
            assert error is None, error
            say(Mark("told", self.number, number=number, commit=made[0]))

        made.append(self.storage.commit(told))


class Workload:
    """Steps at random over a store without a loop."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._commits = self._chance.randrange(1 << 20) * 1000
        self._open()

    def _open(self) -> None:
        self._store = HostStore(self._directory, limits=LIMITS)
        self._rooms = [Room(number, self._store) for number in range(OBJECTS)]

    def step(self) -> None:
        steps = [self._put] * 8 + [self._put_much, self._delete, self._settle, self._settle, self._checkpoint]
        steps += [self._delete_all, self._new_life, self._restart]
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
        for key in sorted(room.present)[::2]:
            room.storage.delete(key)
            del room.present[key]
        self._commit(room)

    def _delete_all(self) -> None:
        room = self._chance.choice(self._rooms)
        room.storage.delete_all()
        room.present = {}
        if self._chance.random() < 0.5:
            room.present["again"] = b"after everything was deleted"
            room.storage.put("again", room.present["again"])
        self._commit(room)

    def _settle(self) -> None:
        self._store.settle()

    def _checkpoint(self) -> None:
        self._store.checkpoint()

    def _new_life(self) -> None:
        room = self._chance.choice(self._rooms)
        room.storage.close()
        room.storage = self._store.open(IDS[room.number])

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
