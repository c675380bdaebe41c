# After anything unclean: lead every object back to its last durable commit.
#
#  (1) An object's write-ahead log (`-wal`) is never trusted: after a crash it may hold commits that the journal does
#      not. The truth is the object's file, as its last durable checkpoint left it, and the page images in the journal
#      since then, in order.
#  (2) The journal holds the whole end of every object's history (segments are freed oldest first), and images are
#      absolute. So replaying more than was needed does no harm, replaying twice does none, and a checkpoint that was
#      torn in the middle is mended.
#  (3) Only when every object's file is durable is the journal marked as empty, oldest segment first.
#  (4) A torn end of the journal is the normal trace of a crash: nothing in it was ever confirmed. A hole before what
#      was once durable is damage, and refused.
"""Replay the journals of a data directory into the objects' files."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.storage.batch import unpack
from roost.storage.files import Files, is_out_of_space, sync_directory, sync_file, write_all
from roost.storage.layout import DataDirectory, make_private
from roost.storage.record import PAGE_BYTES, Record
from roost.storage.segment import HEADER_BYTES, Entry, SegmentReader, split_position
from roost.storage.segments import segment_paths

logger = logging.getLogger("roost.storage")

_OPEN_MAX = 128
_THREADS = 8  # most of the time is spent waiting for fsync


class Recovered(msgspec.Struct, frozen=True):
    """What a recovery did."""

    objects: int
    commits: int


def recover_all(directory: Path | str) -> Recovered:
    """Recover the journals of every host that ever ran in this data directory, whatever their number was.

    For the start of a system, before any host runs. Raises DataDirectoryError when one of them is running.
    """
    layout = DataDirectory(directory)
    locks = [layout.slot(number) for number in layout.slots()]
    try:
        done = [recover_slot(layout, lock.path) for lock in locks]
    finally:
        for lock in locks:
            lock.release()
    return Recovered(sum(part.objects for part in done), sum(part.commits for part in done))


def recover_slot(layout: DataDirectory, slot: Path) -> Recovered:
    """Recover one host's journal; the caller holds its lock. Afterwards the journal is empty."""
    readers: list[SegmentReader] = []
    try:
        readers += map(SegmentReader, segment_paths(slot))
        used = sorted((reader for reader in readers if reader.sequence), key=lambda reader: reader.sequence)
        done = _replay(layout, used)
        for reader in used:
            reader.clear(Files())
    except OSError as error:
        kind = StorageFullError if is_out_of_space(error) else StorageError
        raise kind(f"the journal in {slot} cannot be recovered: {error}") from error
    finally:
        for reader in readers:
            reader.close()
    if done.commits:
        logger.info("recovered %d commits of %d objects from %s", done.commits, done.objects, slot)
    return done


def _replay(layout: DataDirectory, used: list[SegmentReader]) -> Recovered:
    replay = Replay(layout)
    try:
        for reader, entry in _durable_entries(used):
            for record in unpack(reader.read(entry)):
                replay.apply(record)
        replay.sync()
    finally:
        replay.close()
    return Recovered(len(replay.paths), replay.commits)


def _durable_entries(used: Iterable[SegmentReader]) -> list[tuple[SegmentReader, Entry]]:
    """All entries in order, after checking that nothing that was durable once is missing."""
    places: list[tuple[SegmentReader, Entry]] = []
    ends: dict[int, int] = {}
    claims: dict[int, int] = {}
    for reader in used:
        end = HEADER_BYTES
        for entry in reader.entries():
            places.append((reader, entry))
            _claim(claims, entry.durable)
            end = entry.offset + entry.length
        ends[reader.sequence] = end
        _claim(claims, reader.durable_beyond(end))
    _check_claims(claims, ends)
    return places


def _claim(claims: dict[int, int], durable: int) -> None:
    """Note that a segment was once durable up to some offset."""
    sequence, offset = split_position(durable)
    claims[sequence] = max(claims.get(sequence, 0), offset)


def _check_claims(claims: dict[int, int], ends: dict[int, int]) -> None:
    """Whether what can be read reaches as far as the journal says that it was durable."""
    for sequence, offset in claims.items():
        was_let_go = not ends or sequence < min(ends)
        if not was_let_go and offset > ends.get(sequence, 0):
            raise StorageCorruptError(
                f"the journal is damaged: of its segment {sequence:#x}, commits that were confirmed cannot be read."
                " Restore the data directory from a copy, or move the journal away to go on without them"
            )


class Replay:
    """Writes the page images of records into objects' files; durable after `sync`."""

    def __init__(self, layout: DataDirectory) -> None:
        self._layout = layout
        self._files = Files()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self.paths: set[Path] = set()
        """The files that were written to."""
        self.commits = 0

    def apply(self, record: Record) -> None:
        """Bring an object to the state after a commit, given the state before it, or any later one."""
        fd = self._descriptor(self._layout.object_path(record.binding, record.key))
        for number, image in record.images.items():
            write_all(self._files, fd, image, (number - 1) * PAGE_BYTES)
        os.ftruncate(fd, record.size_pages * PAGE_BYTES)
        self.commits += 1

    def sync(self) -> None:
        """Make all of it durable, the names of the files included."""
        self.close()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-recovery") as threads:
            list(threads.map(_sync_file, self.paths))
        for parent in sorted({parent for path in self.paths for parent in list(path.parents)[:3]}):
            sync_directory(parent)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, path: Path) -> int:
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        if path not in self.paths:
            make_private(path.parent)
            for suffix in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self.paths.add(path)
        if len(self._open) >= _OPEN_MAX:
            os.close(self._open.popitem(last=False)[1])
        fd = self._open[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return fd


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_file(fd)
    finally:
        os.close(fd)
