"""A program whose disk fails it: `lied_to.py DIRECTORY WHEN OPERATION WHAT HOW ERRNO TIMES`; tells what came of it.

Two objects hold something that was confirmed. Then the disk has a fault: WHEN the first of them commits, is brought up
to date (`checkpoint`), is opened, or sets an alarm and commits until segments of the journal are let go (`alarm`); WHAT
is its `file`, its `sums`, the `journal`, the `agenda` of alarms, or the `archive` of a segment. The second one works
meanwhile. Then the disk is healed, and both go on; in the end the process is killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from tests.power_loss.faults import Fault, fault, heal

from roost.errors import StorageError
from roost.history.folding import fold
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.keeper import NothingKept
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

VICTIM, OTHER, THIRD = (IdSpace("ROOM", "secret").from_name(name) for name in ("victim", "other", "third"))
LIMITS = Limits(journal_segment_bytes=64 * 1024, open_databases_max=2)
SOON_MS = 3_000_000_000_000  # in the year 2065
OK = "ok"


class Trying(NothingKept):
    """Makes archives in this process, as well as the disk lets it."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        try:
            fold(self._data, segment)
        except (OSError, StorageError):
            done(False)
        else:
            done(True)


class Outcome(msgspec.Struct, frozen=True):
    """What came of each step: "ok", or the name of the error and what it said. `kept`: what was confirmed, by key."""

    attempt: str
    other: str
    after: str
    other_after: str
    faults: int
    victim: list[str]
    kept_of_other: list[str]


class Process:
    def __init__(self, directory: Path) -> None:
        self._store = HostStore(directory, limits=LIMITS, keeper=Trying(directory))
        self._kept: dict[bytes, list[str]] = {VICTIM.key: [], OTHER.key: [], THIRD.key: []}
        self.patterns = {
            "journal": "*/journal-*",
            "agenda": "*/agenda.sqlite*",
            "archive": "*/archives/*",
            "file": f"*/{VICTIM.key.hex()}.sqlite",
            "sums": f"*/{VICTIM.key.hex()}.sums",
        }

    def commit(self, storage: ObjectStorage, key: str) -> str:
        """Store under a key, and wait until it is known whether it is durable."""
        told: list[StorageError | None] = []
        try:
            storage.put(key, key.encode() * 700)
            storage.commit(told.append)
        except StorageError as error:
            return said(error)
        self._store.settle()
        (error_told,) = told
        if error_told is None:
            self._kept[storage.object_id.key].append(key)
        return said(error_told)

    def read(self, storage: ObjectStorage) -> str:
        try:
            assert storage.get("before") is not None, "what was confirmed is gone"
        except StorageError as error:
            return said(error)
        return OK

    def run(self, when: str, operation: str, what: str, how: str, number: str, times: str) -> Outcome:
        victim, other = self._store.open(VICTIM), self._store.open(OTHER)
        before = [self.commit(victim, "before"), self.commit(other, "before")]
        assert before == [OK, OK], before
        if when == "open":
            self._let_go_of_victim()
            victim = self._store.open(VICTIM)
        elif when == "checkpoint":
            assert self.commit(victim, "attempt") == OK
        fault(operation, self.patterns[what], Fault[how], int(number), times=int(times))
        attempt = self._attempt(when, victim)
        meanwhile = self.commit(self._store.open(OTHER), "meanwhile")
        faults = heal()
        victim = self._store.open(VICTIM)
        after = self.read(victim)
        if after == OK:
            after = self.commit(victim, "after")
        other_after = self.commit(self._store.open(OTHER), "after")
        return Outcome(attempt, meanwhile, after, other_after, faults, self._kept[VICTIM.key], self._kept[OTHER.key])

    def _attempt(self, when: str, victim: ObjectStorage) -> str:
        if when == "commit":
            return self.commit(victim, "attempt")
        if when == "open":
            return self.read(victim)
        if when == "alarm":
            return self._commit_until_segments_are_let_go(victim)
        self._store.checkpoint()
        return self.read(self._store.open(VICTIM))

    def _commit_until_segments_are_let_go(self, victim: ObjectStorage) -> str:
        victim.alarms.set("", SOON_MS, limit=1)
        for number in range(12):
            victim.put("random", os.urandom(20_000))
            if (outcome := self.commit(victim, f"attempt {number}")) != OK:
                return outcome
        self._store.checkpoint()
        return OK

    def _let_go_of_victim(self) -> None:
        """Have its file brought up to date and closed, because others are used."""
        self._store.checkpoint()
        self.commit(self._store.open(THIRD), "before")
        self.commit(self._store.open(OTHER), "before")
        assert self._store.open_writer(VICTIM) is None


def said(error: StorageError | None) -> str:
    return OK if error is None else f"{type(error).__name__}: {error}"


def main(directory: str, *what: str) -> None:
    outcome = Process(Path(directory)).run(*what)
    sys.stdout.write(msgspec.json.encode(outcome).decode())
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
