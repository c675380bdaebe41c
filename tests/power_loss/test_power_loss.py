"""The power fails at any point, and the disk keeps what it likes of what was not synced: every promise holds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .crashes import Crashes, UpTo
from .disk import Disk
from .recording import Recording, files_below
from .recovering import BrokenPromiseError, Recovering
from .scenes import recovered_on_the_record, some_crashes, work


@pytest.fixture
def seed() -> int:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return seed


@pytest.mark.parametrize("ordered", [True, False])
def test_the_record_leads_to_exactly_what_is_on_the_disk(recording: Recording, seed: int, ordered: bool) -> None:
    work(recording, seed)
    disk = Disk(recording, ordered=ordered)
    for event in recording.events():
        disk.apply(event)
    there = {str(path.relative_to(recording.root)): path.read_bytes() for path in files_below(recording.root)}
    assert disk.crashed(UpTo(2**63)).files == there


def test_everything_promised_survives_a_power_failure(recording: Recording, base: Path, seed: int) -> None:
    work(recording, seed)
    recovering = Recovering(base / "recovered")
    recovering.check_all(Crashes(recording, seed, chance_of_point=0.03, random_per_point=3, exhaustive=True))
    print(f"{recovering.checked} states recovered")
    assert recovering.checked > 100


def test_a_power_failure_during_recovery_breaks_no_promise(
    recording: Recording, base: Path, shim: Path, seed: int
) -> None:
    work(recording, seed)
    recovering = Recovering(base / "recovered")
    for number, crash in enumerate(some_crashes(recording, seed, 4)):
        again = recovered_on_the_record(crash, base / f"again-{number}", shim)
        recovering.check_all(Crashes(again, seed, promises=crash.promises, chance_of_point=0.1))
    print(f"{recovering.checked} states recovered")
    assert recovering.checked > 30


SEED = 22
MUTANTS = {
    "the journal": "*/journal-*",
    "the names of the journal's segments": "*/hosts/0",
    "the name of the slot": "*/hosts",
    "an object's file after a checkpoint and after recovery": "*.sqlite",
    "an object's name": "*/objects/ROOM/??",
    "the name of an object's directory": "*/objects/ROOM",
    "the name of a binding's directory": "*/objects",
    "the names in the data directory": "*/data",
    "the file with the format": "*/format*",
    "checksums": "*.sums",
    "a side file": "*/side/*",
    "the name of a side file": "*/side",
    "the agenda of alarms": "*/agenda.sqlite*",
    "an archive": "*/archives/*.new",
    "the names of archives": "*/history/archives",
    "the plan of a restore": "*/restores/*",
    "the name of the plan of a restore": "*/restores",
}

SEEDS = {"a side file": 23, "the name of a side file": 23}
"""Where another one shows it."""


@pytest.mark.parametrize("forgotten", MUTANTS)
def test_a_sync_that_is_missing_is_found(recording: Recording, base: Path, forgotten: str) -> None:
    """Judges the judge: as if the code did not sync something, with a seed that is known to show it."""
    seed = SEEDS.get(forgotten, SEED)
    work(recording, seed, forget=MUTANTS[forgotten])
    crashes = Crashes(recording, seed, chance_of_point=0.3, manners=(False, True))
    with pytest.raises(BrokenPromiseError):
        Recovering(base / "recovered").check_all(crashes, deeply_each=2)
