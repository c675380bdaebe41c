# Which archives go, and how: the oldest first, into the base.
#
#  (1) An archive goes when its last commit is older than the retention, or when there are more bytes than allowed. No
#      archive goes while its last commit is younger than ten minutes: backup has read it by then.
#  (2) Whatever interrupts this, it is done again from the beginning of the archive that was being folded.
#  (3) While somebody reads, nothing goes; it is tried again with the next archive.
#  (4) An archive that was folded is looked through for objects that are gone, before it is removed.
"""Folding the oldest archives into the base."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from roost.history.archive import ArchiveReader, Run
from roost.history.base import Base
from roost.history.journal_view import live_keys
from roost.history.shelf import Shelf, ShelfState, order_of

KEPT_SECONDS_MIN = 600.0


class Retention(msgspec.Struct, frozen=True):
    """For how long, and up to how many bytes, archives are kept."""

    seconds: float
    bytes_max: int

    @property
    def milliseconds(self) -> float:
        return max(self.seconds, KEPT_SECONDS_MIN) * 1000


def trim(shelf: Shelf, retention: Retention, now_ms: int) -> int:
    """Fold what is to go; how many archives went."""
    with shelf.trimming() as may:
        if not may:
            return 0
        _remove_used_imports(shelf, now_ms)
        gone = _finish_interrupted(shelf)
        for archive in expired(shelf, retention, now_ms):
            _fold(shelf, archive)
            gone += 1
        return gone


def make_room(shelf: Shelf) -> bool:
    """There is no space left: fold the oldest archive whatever its age; whether there was one."""
    with shelf.trimming() as may:
        if not may:
            return False
        if _finish_interrupted(shelf):
            return True
        oldest = shelf.archives()[:1]
        for archive in oldest:
            _fold(shelf, archive)
        return bool(oldest)


def expired(shelf: Shelf, retention: Retention, now_ms: int) -> list[Path]:
    """The archives that are to go, oldest first; see (1)."""
    archives = shelf.archives()
    size = sum(os.stat(path).st_size for path in archives)
    chosen = []
    for path in archives:
        with ArchiveReader(path) as archive:
            age, length = now_ms - archive.last_ms, archive.bytes
        too_many = size > retention.bytes_max and age > KEPT_SECONDS_MIN * 1000
        if not too_many and age <= retention.milliseconds:
            break
        chosen.append(path)
        size -= length
    return chosen


def _remove_used_imports(shelf: Shelf, now_ms: int) -> None:
    """Databases that were brought from elsewhere, and whose object has begun with them since."""
    for path in (shelf.path / "imported").glob("*.sqlite"):
        waits = shelf.data / "restores" / path.name.partition("-")[0]
        if not waits.exists() and now_ms - path.stat().st_mtime * 1000 > KEPT_SECONDS_MIN * 1000:
            path.unlink()


def _finish_interrupted(shelf: Shelf) -> int:
    state = shelf.state()
    gone = 0
    for path in shelf.archives():
        if order_of(path) <= state.order:
            _forget_deleted(shelf, path)
            shelf.remove(path)  # it was folded, and only its removal was interrupted
        elif path.name == state.folding:
            _fold(shelf, path, again=True)
            gone += 1
    return gone


def _fold(shelf: Shelf, path: Path, *, again: bool = False) -> None:
    shelf.write_state(msgspec.structs.replace(shelf.state(), folding=path.name))
    with ArchiveReader(path) as archive:
        Base(shelf).fold(archive, again=again)
    shelf.write_state(ShelfState(order=order_of(path)))
    _forget_deleted(shelf, path)
    shelf.remove(path)


def _forget_deleted(shelf: Shelf, folded: Path) -> None:
    """Let go of the objects in an archive whose end, in the base, is that they were emptied and are gone."""
    base = Base(shelf)
    with ArchiveReader(folded) as archive:
        gone = [run for run in archive.objects() if not _object_path(shelf, run).exists()]
    gone = [run for run in gone if base.stores_nothing(run.binding, run.key)]
    if not gone:
        return
    # The journal before the archives: what leaves the one meanwhile is in the others then.
    live = live_keys(shelf.data)
    later = [path for path in shelf.archives() if order_of(path) > order_of(folded)]
    for run in gone:
        if run.key not in live and not any(_has(path, run.key) for path in later):
            base.remove(run.binding, run.key)


def _object_path(shelf: Shelf, run: Run) -> Path:
    digits = run.key.hex()
    return shelf.data / "objects" / run.binding / digits[:2] / f"{digits}.sqlite"


def _has(archive: Path, key: bytes) -> bool:
    with ArchiveReader(archive) as reader:
        return reader.run(key) is not None
