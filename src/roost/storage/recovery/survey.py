# What the journal of a slot holds that recovery needs, read without unpacking it.
#
#  (1) A torn end is the normal trace of a crash: nothing in it was ever confirmed. What does not check out before
#      something that was written later is damage: commits that were confirmed cannot be read.
#  (2) Of damage, every commit that it took away is named by tables of contents that are left: its own, or those that
#      entries behind it repeat. Only the objects of these commits are concerned, and everything else goes on.
#  (3) When not everything can be named, no object is known to be whole. Then the journal is refused.
"""Reading a journal as a crash left it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.journal.batch import unpack
from roost.storage.journal.contents import Content
from roost.storage.journal.record import Record
from roost.storage.journal.segment import HEADER_BYTES, Entry, Gap, SegmentReader, split_position
from roost.storage.journal.segments import segment_paths
from roost.storage.journal.side_file import SideFiles


class Place(msgspec.Struct, frozen=True, gc=False):
    """An entry, and the segment it stands in."""

    reader: SegmentReader
    entry: Entry

    def records(self) -> Iterator[Record]:
        """The records of the entry, without what stands elsewhere. Raises StorageCorruptError when they do not check
        out."""
        return unpack(self.reader.read(self.entry))

    def records_of(self, key: bytes) -> Iterator[Record]:
        """Those of one object, whole. Raises StorageCorruptError when they do not check out."""
        side_files = SideFiles(self.reader.path.parent)
        return (side_files.whole(record) for record in self.records() if record.key == key)


class Traces(msgspec.Struct):
    """What the journal has of one object."""

    binding: str
    last: int = 0
    """The number of its last commit."""
    alarm: int | None = None
    """The earliest due time of its alarms after that commit."""
    places: list[int] = []
    """The entries it occurs in, by their index in the survey."""
    lost: list[int] = []
    """The numbers of its commits that cannot be read."""


class Survey:
    """The segments of a slot that recovery needs, among all or among `only` some. Raises StorageCorruptError where it
    cannot know what is lost."""

    def __init__(self, slot: Path, *, only: Collection[Path] | None = None) -> None:
        self.slot = slot
        self._only = only
        self.readers: list[SegmentReader] = []
        """In order, oldest first."""
        self.places: list[Place] = []
        """All entries in order."""
        self.objects: dict[bytes, Traces] = {}
        self.commits = 0
        self.needed: dict[Path, dict[bytes, int]] = {}
        """The last commit of each object in each segment."""
        self._ends: dict[int, int] = {}
        self._claims: dict[int, int] = {}
        self._gaps: list[Gap] = []
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files."""
        while self.readers:
            self.readers.pop().close()

    def contents_of(self, place: int) -> list[Content]:
        """What is in an entry, by its index."""
        found = self.places[place]
        return found.reader.contents(found.entry)

    def _read(self) -> None:
        for path in segment_paths(self.slot):
            if self._only is not None and path not in self._only:
                continue
            reader = SegmentReader(path)
            self.readers.append(reader)
            if not reader.sequence or reader.settled:
                self.readers.pop().close()
        self.readers.sort(key=lambda reader: reader.sequence)
        for reader in self.readers:
            self._read_segment(reader)
        self._find_missing_ends()
        self._name_what_is_lost()

    def _read_segment(self, reader: SegmentReader) -> None:
        self._ends[reader.sequence] = HEADER_BYTES
        last = self.needed[reader.path] = {}
        for step in reader.walk():
            if isinstance(step, Gap):
                self._gaps.append(step)
            else:
                self._note(reader, step, last)

    def _note(self, reader: SegmentReader, entry: Entry, last: dict[bytes, int]) -> None:
        self._ends[reader.sequence] = entry.end
        sequence, offset = split_position(entry.durable)
        self._claims[sequence] = max(self._claims.get(sequence, 0), offset)
        contents = reader.contents(entry)
        index = len(self.places)
        self.places.append(Place(reader, entry))
        self.commits += len(contents)
        for content in contents:
            last[content.key] = content.commit
            traces = self.objects.get(content.key)
            if traces is None:
                traces = self.objects[content.key] = Traces(content.binding)
            traces.last, traces.alarm = content.commit, content.alarm
            if not traces.places or traces.places[-1] != index:
                traces.places.append(index)

    def last_contents(self) -> Iterator[Content]:
        """Of each object, its last commit."""
        for key, traces in self.objects.items():
            yield Content(key, traces.binding, traces.last, traces.alarm)

    # Damage; see (2) and (3).

    def _find_missing_ends(self) -> None:
        """Whether what can be read reaches as far as later entries say that the journal was durable."""
        for sequence, offset in self._claims.items():
            end = self._ends.get(sequence, HEADER_BYTES)
            if sequence >= min(self._ends) and offset > end:
                self._gaps.append(Gap(sequence, end, offset))

    def _name_what_is_lost(self) -> None:
        tables = self._all_tables() if self._gaps else {}
        for gap in self._gaps:
            at = gap.start
            while at < gap.end:
                length, contents = tables.get((gap.sequence, at), (0, []))
                if not length:
                    raise self._refusal(gap)
                for content in contents:
                    traces = self.objects.setdefault(content.key, Traces(content.binding))
                    traces.lost.append(content.commit)
                at += length

    def _all_tables(self) -> dict[tuple[int, int], tuple[int, list[Content]]]:
        """By where it stands, the length of each entry that is known of, and what was in it."""
        tables = {}
        for place in self.places:
            for echo in place.reader.echoes(place.entry):
                tables[echo.sequence, echo.offset] = echo.length, echo.read()
        by_sequence = {reader.sequence: reader for reader in self.readers}
        for gap in self._gaps:
            if gap.entry is not None and (table := by_sequence[gap.sequence].table(gap.entry)) is not None:
                tables[gap.sequence, gap.start] = gap.entry.end - gap.start, table
        return tables

    def _refusal(self, gap: Gap) -> StorageCorruptError:
        paths = {reader.sequence: reader.path for reader in self.readers}
        where = paths.get(gap.sequence, f"the missing segment {gap.sequence:#x} in {self.slot}")
        return StorageCorruptError(
            f"the journal is damaged: in {where}, bytes {gap.start} to {gap.end}, commits that were confirmed cannot be"
            " read, and whose they are cannot be told. Restore the data directory from a copy, or move the journal away"
            " to go on without them"
        )
