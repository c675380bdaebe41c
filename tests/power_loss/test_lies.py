"""The disk fails or lies: each time an error with a name, for the objects concerned alone, and nothing is lost."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from roost.history.folding import fold_all
from roost.history.object_history import ObjectHistory
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.store import HostStore

from .lied_to import LIMITS, OTHER, VICTIM, Outcome, Trying
from .recording import Recording

PROGRAM = Path(__file__).with_name("lied_to.py")
OK = "ok"


class Lie(NamedTuple):
    when: str
    operation: str
    what: str
    how: str
    number: int
    attempt: str
    """How what came of it begins."""
    other: str = OK
    after: str = OK
    other_after: str = OK
    times: int = 0

    def __str__(self) -> str:
        error = errno.errorcode[self.number] if self.number else self.how.lower()
        return f"{self.when}-{self.operation}-{self.what}-{error}"


FULL, BROKEN, CORRUPT = "StorageFullError", "StorageError", "StorageCorruptError"
LIES = [
    # The journal concerns all objects of a host.
    Lie("commit", "write", "journal", "FAIL", errno.ENOSPC, FULL, times=1),
    Lie("commit", "write", "journal", "SHORT", 0, OK),
    Lie("commit", "write", "journal", "FAIL", errno.EIO, BROKEN, BROKEN, BROKEN, BROKEN),
    Lie("commit", "sync", "journal", "FAIL", errno.EIO, BROKEN, BROKEN, BROKEN, BROKEN),
    # All else concerns one.
    Lie("checkpoint", "write", "file", "FAIL", errno.ENOSPC, OK),
    Lie("checkpoint", "write", "file", "FAIL", errno.EIO, OK),
    Lie("checkpoint", "sync", "file", "FAIL", errno.EIO, BROKEN, after=BROKEN),
    Lie("checkpoint", "write", "sums", "FAIL", errno.ENOSPC, OK),
    Lie("checkpoint", "write", "sums", "FAIL", errno.EIO, OK),
    Lie("checkpoint", "write", "sums", "SHORT", 0, OK),
    Lie("checkpoint", "sync", "sums", "FAIL", errno.EIO, OK),
    Lie("open", "read", "sums", "FAIL", errno.EIO, OK),
    Lie("open", "read", "sums", "ROT", 0, OK),
    Lie("open", "read", "file", "ROT", 0, CORRUPT, after=CORRUPT),
    Lie("alarm", "write", "agenda", "FAIL", errno.ENOSPC, OK),
    Lie("alarm", "write", "agenda", "FAIL", errno.EIO, OK),
    Lie("alarm", "write", "agenda", "SHORT", 0, OK),
    Lie("alarm", "sync", "agenda", "FAIL", errno.EIO, OK),
    Lie("alarm", "write", "archive", "FAIL", errno.ENOSPC, OK),
    Lie("alarm", "write", "archive", "FAIL", errno.EIO, OK),
    Lie("alarm", "write", "archive", "SHORT", 0, OK),
    Lie("alarm", "sync", "archive", "FAIL", errno.EIO, OK),
    Lie("alarm", "rename", "archive", "FAIL", errno.EIO, OK),
    Lie("open", "read", "file", "FAIL", errno.EIO, BROKEN),
    Lie("open", "read", "file", "SHORT", 0, OK),
    Lie("open", "open", "file", "FAIL", errno.EACCES, BROKEN),
    Lie("open", "open", "file", "FAIL", errno.EMFILE, BROKEN),
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_fault_has_a_name_and_harms_only_whom_it_concerns(recording: Recording, lie: Lie) -> None:
    done = recording.run(PROGRAM, lie.when, lie.operation, lie.what, lie.how, str(lie.number), str(lie.times))
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    assert outcome.faults > 0, "the fault was never met"
    steps = (outcome.attempt, outcome.other, outcome.after, outcome.other_after)
    assert tuple(step.partition(":")[0] for step in steps) == lie[5:9], f"{outcome}\n{done.stderr}"
    if lie.after == CORRUPT:
        assert [case.key for case in Quarantine(recording.root).cases()] == [VICTIM.key.hex()]
        Quarantine(recording.root).lift(VICTIM.key)
    everything_confirmed_is_there(recording, outcome)


def everything_confirmed_is_there(recording: Recording, outcome: Outcome) -> None:
    store = HostStore(recording.root, limits=LIMITS, keeper=Trying(recording.root))
    for object_id, keys in ((VICTIM, outcome.victim), (OTHER, outcome.kept_of_other)):
        storage = store.open(object_id)
        assert {key: storage.get(key) for key in keys} == {key: key.encode() * 700 for key in keys}
    store.close()
    fold_all(recording.root)
    assert len(ObjectHistory(recording.root, VICTIM).versions()) >= len(outcome.victim)
