"""Hosts that a test drives by hand, and backups of their data."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from roost.backup.series import Series, Snapshot, series_of, spool_of
from roost.backup.shipper import Shipper
from roost.backup.snapshot import Progress, SnapshotTaker
from roost.backup.target import Target
from roost.clock import Clock, SystemClock
from roost.history.folding import fold
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.keeper import NothingKept
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.store import HostStore

SPACE = IdSpace("ROOM", "ROOM")
LIMITS = Limits(journal_segment_bytes=64 * 1024)


def room(name: str) -> ObjectId:
    return SPACE.from_name(name)


class FakeTime(SystemClock):
    """A clock whose time of day stands still until it is moved."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms


class FoldsAtOnce(NothingKept):
    """A keeper that makes archives before it returns."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        fold(self.data, segment)
        done(True)


class Host:
    """A host's storage, driven by hand."""

    def __init__(self, data: Path, slot: int = 0, **options: object) -> None:
        options.setdefault("limits", LIMITS)
        options.setdefault("keeper", FoldsAtOnce(data))
        self.data = data
        self.store = HostStore(data, slot, **options)  # type: ignore[arg-type]
        self.put_last: dict[str, bytes] = {}

    def put(self, name: str, value: bytes, key: str = "value") -> None:
        """One commit, durable when this returns."""
        storage = self.store.open(room(name))
        storage.put(key, value)
        storage.commit(lambda error: None)
        self.store.settle()
        storage.close()
        self.put_last[name] = value

    def forget_in_journal(self) -> None:
        """Bring all files up to date, and commit so much elsewhere that the journal has nothing of before any more."""
        self.store.checkpoint()
        for _ in range(60):
            self.put("noise", random.randbytes(20_000))
        self.store.checkpoint()

    def get(self, name: str, key: str = "value") -> bytes | None:
        storage = self.store.open(room(name))
        try:
            return storage.get(key)
        finally:
            storage.close()

    def delete_all(self, name: str) -> None:
        storage = self.store.open(room(name))
        storage.delete_all()
        storage.commit(lambda error: None)
        self.store.settle()
        storage.close()

    def close(self) -> None:
        self.store.close()


MakeHost = Callable[..., Host]


def back_up(
    data: Path,
    target: Target,
    meanwhile: Callable[[Progress], None] = lambda progress: None,
    clock: Clock | None = None,
) -> Snapshot:
    """A snapshot of a data directory into its series; `meanwhile` is called again and again while it is taken."""
    with spool_of(data) as spool:
        shipper = Shipper(data, Series(target, series_of(data)), spool)
        shipper.find_ends()
        return SnapshotTaker(data, shipper, clock or SystemClock(), meanwhile).take()


def file_of(data: Path, name: str) -> Path:
    digits = room(name).to_string()
    return data / "objects" / "ROOM" / digits[:2] / f"{digits}.sqlite"


def rot(data: Path, name: str, page: int = 1) -> None:
    """What a disk may do to a page of an object's file; done twice it is undone."""
    path = file_of(data, name)
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES + 200)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
