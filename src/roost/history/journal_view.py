# The journals of a data directory, read from outside while their hosts write them, are stopped, or were killed.
#
#  (1) Nothing is locked and nothing is changed. What is read was synced first, by the reader itself where its host has
#      not done so yet: a commit that is read here is there after a power failure too.
#  (2) Segments are used again while they are read. Their headers are looked at before and after: either all of a slot's
#      segments were as they were found at one moment, or they are opened once more; and the content of an entry is
#      believed only if its segment's header still was the same after the content was read.
#  (3) An entry is missed only when its segment was used again, and then `SegmentRecycledError` says which: what was in
#      it has been kept by then.
#  (4) A segment may still be written to for as long as no later one has an entry. So whether later ones have entries is
#      looked at first, and only what was written before that moment is told.
"""What the live segments of the journals hold."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from roost.errors import StorageCorruptError, StorageError
from roost.storage.files import sync_file
from roost.storage.journal.batch import unpack
from roost.storage.journal.contents import Content
from roost.storage.journal.record import Record
from roost.storage.journal.segment import SegmentReader, position, split_position
from roost.storage.journal.segments import segment_paths
from roost.storage.journal.side_file import SideFileMissingError, SideFiles

_TRIES_MAX = 100
_PAUSE_SECONDS = 0.002  # a host that writes a header has done so by then
T = TypeVar("T")

_BUNDLE_BYTES = 1024 * 1024  # read between two looks at a header


class SegmentRecycledError(StorageError):
    """A segment was used again before it was read to its end; what was in it is in its archive, where one is kept."""

    def __init__(self, slot: int, sequence: int) -> None:
        super().__init__(f"segment {sequence:#x} of host {slot} was used again while it was being read")
        self.slot = slot
        self.sequence = sequence


class LiveSegment(msgspec.Struct, frozen=True):
    """A segment that is, or was, in use; `settled` when recovery needs nothing in it any more."""

    slot: int
    sequence: int
    settled: bool


class LiveEntry(msgspec.Struct, frozen=True):
    """An entry of a journal, with the records in it still packed."""

    slot: int
    sequence: int
    end: int
    """The position right behind it, as `position` of a segment makes one: reading can go on from there."""
    packed: bytes
    directory: Path
    """Of the journal."""

    def records(self, key: bytes | None = None) -> Iterator[Record]:
        """The commits in it, in order, or those of one object.

        Raises SegmentRecycledError when the side file of one of these is gone.
        """
        side_files = SideFiles(self.directory)
        for record in unpack(self.packed):
            if key is None or record.key == key:
                try:
                    yield side_files.whole(record)
                except SideFileMissingError as error:
                    raise SegmentRecycledError(self.slot, self.sequence) from error


class Reached(msgspec.Struct, frozen=True):
    """Where reading the segments of a slot ended, from where it can go on later."""

    sequence: int
    end: int
    """The position behind the last entry."""
    chain: int


class LiveSegments:
    """The segments of one slot as they were at one moment; `close` lets go of them."""

    def __init__(self, data: Path, slot: int) -> None:
        self.slot = slot
        self.reached: Reached | None = None
        """Up to where the last segment with entries was looked at."""
        self._readers = _opened(data / "hosts" / str(slot))

    @property
    def found(self) -> list[LiveSegment]:
        """All that are, or were, in use, in the order of their use."""
        return [LiveSegment(self.slot, reader.sequence, reader.settled) for reader in self._readers]

    def entries(self, after: int = 0, key: bytes | None = None, read: Reached | None = None) -> Iterator[LiveEntry]:
        """What was written behind a position, in order; with `key`, only what has commits of that object.

        `read` is what was `reached` the last time, if there was one: a segment is not looked at from its beginning
        again, as long as it is the same and the position is not before that. Raises SegmentRecycledError.
        """
        self.reached = read = read if read is not None and read.end <= after else None
        last = 0 if read is None else read.sequence
        last = max(
            (one.sequence for one in self._readers if one.sequence > last and next(one.entries(), None)), default=last
        )
        for reader in self._readers:
            self._check(reader)
        for reader in self._readers:
            if reader.sequence <= last:
                yield from self._entries_of(reader, after, key, read)

    def contents(self) -> Iterator[Content]:
        """Whose commits are in them. What a segment held that is used again meanwhile may be told or not."""
        for reader in self._readers:
            for entry in reader.entries():
                yield from reader.contents(entry)

    def _entries_of(
        self, reader: SegmentReader, after: int, key: bytes | None, read: Reached | None
    ) -> Iterator[LiveEntry]:
        if position(reader.sequence + 1, 0) <= after:
            return
        goes_on = read is not None and read.sequence == reader.sequence
        found = list(reader.entries(split_position(read.end)[1], read.chain) if read and goes_on else reader.entries())
        places = [place for place in found if position(reader.sequence, place.end) > after]
        self._check(reader)
        if found:
            self.reached = Reached(reader.sequence, position(reader.sequence, found[-1].end), found[-1].chain)
        self._check(reader)
        if key is not None:
            places = [place for place in places if any(one.key == key for one in reader.contents(place))]
        if places:
            _sync(reader.path)
        for some in in_parts(places, lambda place: place.length, _BUNDLE_BYTES):
            contents = [(place, reader.read(place)) for place in some]
            self._check(reader)
            for place, packed in contents:
                end = position(reader.sequence, place.end)
                yield LiveEntry(self.slot, reader.sequence, end, packed, reader.path.parent)

    def _check(self, reader: SegmentReader) -> None:
        """What was read of a segment is what it holds, if it still is what it was."""
        if _sequence_of(reader.path) != reader.sequence:
            raise SegmentRecycledError(self.slot, reader.sequence)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def live_slots(data: Path) -> list[int]:
    """The numbers of all hosts that ever had a journal here."""
    try:
        names = os.listdir(data / "hosts")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def live_segments(data: Path) -> list[LiveSegment]:
    """Every live segment, each slot as it was at one moment."""
    found: list[LiveSegment] = []
    for slot in live_slots(data):
        with contextlib.closing(LiveSegments(data, slot)) as segments:
            found += segments.found
    return found


def live_entries(data: Path, after: Mapping[int, int] | None = None, key: bytes | None = None) -> Iterator[LiveEntry]:
    """The entries of all slots, slot by slot in order, or those with commits of one object.

    `after` has, by slot, the position that was read to already. Raises SegmentRecycledError when the host was faster
    than the reader.
    """
    for slot in live_slots(data):
        with contextlib.closing(LiveSegments(data, slot)) as segments:
            yield from segments.entries((after or {}).get(slot, 0), key)


def live_records(data: Path, key: bytes | None = None) -> Iterator[Record]:
    """The commits in all live segments, or those of one object; as `live_entries`."""
    for entry in live_entries(data, key=key):
        yield from entry.records(key)


def live_keys(data: Path) -> set[bytes]:
    """The objects that have commits in live segments, read from the tables of contents alone."""
    return {content.key for content in _live_contents(data)}


def live_bindings(data: Path) -> set[str]:
    """The classes of these objects."""
    return {content.binding for content in _live_contents(data)}


def _live_contents(data: Path) -> Iterator[Content]:
    for slot in live_slots(data):
        with contextlib.closing(LiveSegments(data, slot)) as segments:
            yield from segments.contents()


def in_parts(items: Iterable[T], size_of: Callable[[T], int], bytes_max: int) -> Iterator[list[T]]:
    """The items in order, in parts that each end with the one that brings it to `bytes_max`."""
    part: list[T] = []
    size = 0
    for item in items:
        part.append(item)
        size += size_of(item)
        if size >= bytes_max:
            yield part
            part, size = [], 0
    if part:
        yield part


def _opened(slot: Path) -> list[SegmentReader]:
    """The segments in use, in the order of their use; see (2)."""
    failure: Exception | None = None
    for _ in range(_TRIES_MAX):
        readers: list[SegmentReader] = []
        try:
            paths = segment_paths(slot)
            readers += map(SegmentReader, paths)
            if _unchanged(readers) and segment_paths(slot) == paths:
                return _in_use(readers)
        except (FileNotFoundError, StorageCorruptError) as error:
            failure = error  # removed, or its header is just being written
        for reader in readers:
            reader.close()
        time.sleep(_PAUSE_SECONDS)
    if isinstance(failure, StorageCorruptError):
        raise failure
    raise StorageError(f"the journal in {slot} is written faster than it can be read") from failure


def _in_use(readers: list[SegmentReader]) -> list[SegmentReader]:
    for reader in readers:
        if not reader.sequence:
            reader.close()
    return sorted((reader for reader in readers if reader.sequence), key=lambda reader: reader.sequence)


def _unchanged(readers: list[SegmentReader]) -> bool:
    return all(_sequence_of(reader.path) == reader.sequence for reader in readers)


def _sequence_of(path: Path) -> int:
    """The number that a segment's header has now; 0 when the segment is gone."""
    try:
        with contextlib.closing(SegmentReader(path)) as reader:
            return reader.sequence
    except (FileNotFoundError, StorageCorruptError):
        return 0


def _sync(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it was let go of, and removed
    try:
        sync_file(fd)
    finally:
        os.close(fd)
