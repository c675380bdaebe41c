# A series: everything that one data directory has put into a target.
#
# series/SERIES                                      says that there is one
# SERIES/snapshots/<number>-<time>.json              one backup: written last, so that it is whole or not there
# SERIES/catalogs/<number>-<time>.catalog            which copy of every object belongs to it
# SERIES/packs/<number>-<time>/<n>.pack              copies of objects' files; those of earlier backups are used again
# SERIES/log/<slot>/<since>-<until>.archive          what was committed: a host's journal from one position to another
#
#  (1) A data directory knows its series (DIR/backup/series). One that was led back from a backup begins a new one: the
#      positions of its journals begin anew too, and must not be mixed with those of the old.
#  (2) A shipment's name says what it follows and how far it reaches. So what is shipped, and whether something is
#      missing in between, is known from the names alone, whoever was killed when.
#  (3) One process of the machine at a time writes snapshots: DIR/backup/lock.
"""What lies in a target, under which names."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from roost.backup.target import Target, TargetUnavailableError, read_bytes, write_bytes
from roost.errors import BackupError
from roost.storage.journal.segment import position, split_position
from roost.storage.layout import make_private, write_durably

logger = logging.getLogger("roost.backup")

FORMAT = 1
WHOLE = (1 << 40) - 1
"""The offset behind everything in a segment."""
_SHIPMENT = re.compile(r"(?P<slot>\d+)/(?P<a>[0-9a-f]+)\.(?P<b>[0-9a-f]+)-(?P<c>[0-9a-f]+)\.(?P<d>[0-9a-f]+)\.archive")
_SERIES = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Mark(msgspec.Struct, frozen=True):
    """A position in the journal of one host."""

    slot: int
    sequence: int
    offset: int


class PackUse(msgspec.Struct, frozen=True):
    """A pack that a snapshot needs, and how much of it."""

    size: int
    used: int


class DamagedObject(msgspec.Struct, frozen=True):
    """An object that could not be copied, because it is not what was written or is in quarantine."""

    binding: str
    id: str
    """64 hexadecimal digits."""
    reason: str
    kept: bool
    """Whether an earlier state of it is in the backup."""

    def __str__(self) -> str:
        stays = "its last good copy stays in the backup" if self.kept else "no good copy of it is in the backup"
        return f"{self.binding} {self.id} is damaged, {stays}: {self.reason}"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. With its copies goes what was committed from `since` on; it is of any use from `until` on."""

    format: int = FORMAT
    id: str
    began_ms: int
    ended_ms: int
    since: list[Mark]
    until: list[Mark]
    objects: int
    copied: int
    """How many of them were copied by it; the others had not changed."""
    copied_bytes: int
    """Bytes that it added to the target as copies."""
    packs: dict[str, PackUse]
    damaged: list[DamagedObject] = []

    @property
    def catalog(self) -> str:
        return f"catalogs/{self.id}.catalog"


class Shipment(msgspec.Struct, frozen=True):
    """A part of a host's journal in the target: what was written behind `since`, up to `until`."""

    slot: int
    since: int
    until: int

    @property
    def name(self) -> str:
        return f"log/{self.slot:03d}/{_place(self.since)}-{_place(self.until)}.archive"


class Series:
    """One series of a target. Names are relative to it."""

    def __init__(self, target: Target, id: str) -> None:  # noqa: A002 - what it is
        self.target = target
        self.id = id

    def name(self, name: str) -> str:
        """The name in the target."""
        return f"{self.id}/{name}"

    def snapshots(self) -> list[Snapshot]:
        """Those that are whole, oldest first. Raises BackupError when one does not check out."""
        return [self.snapshot(name) for name in self.snapshot_ids()]

    def snapshot_ids(self) -> list[str]:
        """The names of the snapshots that are whole, oldest first."""
        names = self.target.names(self.name("snapshots/"))
        return sorted(_stem(name) for name in names if name.endswith(".json"))

    def snapshot(self, id: str) -> Snapshot:  # noqa: A002
        """One of them. Raises BackupError when it does not check out or is of a newer format."""
        name = self.name(f"snapshots/{id}.json")
        crc, _, raw = read_bytes(self.target, name).partition(b"\n")
        if crc != b"%08x" % zlib.crc32(raw):
            raise BackupError(f"{name} in {self.target.title} is damaged: it does not match its checksum")
        found = msgspec.json.decode(raw)["format"]
        if found > FORMAT:
            raise BackupError(f"{name} in {self.target.title} has format {found}; this roost reads up to {FORMAT}")
        return msgspec.json.decode(raw, type=Snapshot)

    def last_snapshot(self) -> Snapshot | None:
        """The last one that can be read. One that is damaged must not keep others from being taken; it is reported."""
        for name in reversed(self.snapshot_ids()):
            try:
                return self.snapshot(name)
            except TargetUnavailableError:
                raise
            except BackupError as error:
                logger.warning("%s; what it had is copied again", error)
        return None

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """From now on it is there."""
        write_bytes(self.target, f"series/{self.id}", b"")
        raw = msgspec.json.format(msgspec.json.encode(snapshot))
        write_bytes(self.target, self.name(f"snapshots/{snapshot.id}.json"), b"%08x\n%s" % (zlib.crc32(raw), raw))

    def packs(self) -> list[str]:
        """All packs, those that no snapshot needs included; names within the series."""
        return [name.removeprefix(f"{self.id}/") for name in self.target.names(self.name("packs/"))]

    def shipments(self) -> list[Shipment]:
        """All of them, by slot and in the order of the journal."""
        found = []
        for name in self.target.names(self.name("log/")):
            match = _SHIPMENT.search(name)
            if match is not None:
                slot, a, b, c, d = int(match["slot"]), *(int(match[one], 16) for one in "abcd")
                found.append(Shipment(slot, position(a, b), position(c, d)))
        return sorted(found, key=lambda one: (one.slot, one.since, one.until))

    def remove(self, names: Iterable[str]) -> None:
        self.target.remove([self.name(name) for name in names])


def all_series(target: Target) -> list[Series]:
    """Every series of a target that ever had a snapshot, in the order in which they began."""
    found = sorted(name.removeprefix("series/") for name in target.names("series/"))
    return [Series(target, name) for name in found if _SERIES.fullmatch(name)]


def chain(shipments: Iterable[Shipment], since: int) -> list[Shipment]:
    """Those of one host that lead on from a position without a gap, in order."""
    links: list[Shipment] = []
    reached = since
    for shipment in shipments:
        if shipment.since <= reached < shipment.until:
            links.append(shipment)
            reached = shipment.until
    return links


def marks(positions: dict[int, int]) -> list[Mark]:
    return [Mark(slot, *split_position(at)) for slot, at in sorted(positions.items())]


def positions(given: Iterable[Mark]) -> dict[int, int]:
    return {mark.slot: position(mark.sequence, mark.offset) for mark in given}


# -- what the data directory knows -------------------------------------------------------------------------------------


def series_of(data: Path) -> str:
    """The series of a data directory; one that has none is given one."""
    path = _own(data) / "series"
    try:
        found = path.read_text().strip()
    except FileNotFoundError:
        return begin_series(data)
    if not _SERIES.fullmatch(found):
        raise BackupError(f"{path} does not name a series of backups, it says {found[:40]!r}; remove it to begin one")
    return found


def begin_series(data: Path) -> str:
    """Give a data directory a new series."""
    made = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    write_durably(_own(data) / "series", f"{made}\n".encode())
    return made


@contextlib.contextmanager
def spool_of(data: Path) -> Iterator[Path]:
    """A directory for what is on its way into a target: on the data's own disk, since memory may be scarce."""
    above = _own(data) / "spool"
    make_private(above)
    for left in above.iterdir():
        if not _alive(left.name.partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=above) as spool:
        yield Path(spool)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def taking_snapshots(data: Path) -> Iterator[None]:
    """Within the block no other process backs this data directory up. Raises BackupError when one does."""
    fd = os.open(_own(data) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"another backup of {data} is being made now; wait until it has ended") from error
        yield
    finally:
        os.close(fd)


def _own(data: Path) -> Path:
    make_private(data / "backup")
    return data / "backup"


def _place(point: int) -> str:
    sequence, offset = split_position(point)
    return f"{sequence:016x}.{offset:010x}"


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".json")
