"""Bits that turned over on a disk at rest: an object is what was promised, or says that it is damaged. Nothing else."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from roost.errors import StorageError
from roost.storage.journal.segment import SegmentReader
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.store import HostStore

from .promises import Promises, digest
from .recording import Recording, files_below
from .scenes import WORKLOAD, work
from .workload import IDS, begin, contents, opened

ROUNDS = 60


@pytest.fixture
def seed() -> int:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return seed


def promised(recording: Recording) -> Promises:
    promises = Promises()
    for event in recording.events():
        promises = promises.after(event)
    return promises


def damaged_file(directory: Path, chance: random.Random) -> str:
    """Turn some bits over in one file; what was done, in words."""
    paths = [path for path in files_below(directory) if path.stat().st_size and path.name != "lock"]
    path = chance.choice(paths)
    end = path.stat().st_size if not path.name.startswith("journal-") else before_the_last_entry(path)
    places = [chance.randrange(end) for _ in range(chance.choice((1, 1, 3)))] if end else []
    raw = bytearray(path.read_bytes())
    for at in places:
        raw[at] ^= 1 << chance.randrange(8)
    path.write_bytes(raw)
    return f"{path.relative_to(directory)} at {places}"


def before_the_last_entry(path: Path) -> int:
    """Up to where a journal can tell: its very last entry may as well be one that was never finished."""
    reader = SegmentReader(path)
    starts = [entry.start for entry in reader.entries()]
    reader.close()
    return starts[-1] if starts else 0


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_rot_is_never_served(recording: Recording, base: Path, seed: int, killed: bool) -> None:
    if killed:
        recording.run(WORKLOAD, str(seed), "40", "killed")
    else:
        work(recording, seed)
    promises, chance = promised(recording), random.Random(seed)
    told, quiet = 0, 0
    for number in range(ROUNDS):
        copy = base / "copy"
        shutil.copytree(recording.root, copy, ignore=shutil.ignore_patterns("lock", "*-shm"))
        what = f"round {number}: {damaged_file(copy, chance)}"
        try:
            store = opened(copy)
        except StorageError:
            told += 1  # the journal or the directory says that it is damaged
        else:
            found = [is_as_promised(store, promises, one, what) for one in range(len(IDS))]
            told, quiet = told + (not all(found)), quiet + all(found)
            store.close()
            assert all(case.key in {one.key.hex() for one in IDS} for case in Quarantine(copy).cases())
        shutil.rmtree(copy)
    print(f"{told} rounds in which damage was told, {quiet} in which it did not matter")
    assert told > 0


def is_as_promised(store: HostStore, promises: Promises, number: int, what: str) -> bool:
    """Whether the object can be read. Fails where it is read and is not what was promised."""
    refused: StorageError | None = None
    try:
        there = contents(begin(store, number))
    except StorageError as error:
        refused = error
    if refused is not None:
        assert "repair" in str(refused) or "remove it" in str(refused), f"{what}: {refused!r}"
        return False
    states = {state for _, state in promises.of(number).states}
    assert digest(there) in states, f"{what}: object {number} holds {sorted(there)}"
    return True
