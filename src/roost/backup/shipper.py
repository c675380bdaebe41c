# Shipping: what was committed since the last shipment goes into the target.
#
#  (1) Where the last shipment of each host ended is read from the target. Whoever is killed between sending and
#      remembering sends some of it again; records are numbered, and whoever reads them takes each once.
#  (2) Segments that were used again meanwhile come from the archives of the history, whole. Where neither has what
#      follows the last shipment, nothing is skipped silently: BrokenChainError, and a snapshot has to begin a new one.
#  (3) A shipment is an archive: the records put together by object. It is made in a file first, of so much of the
#      journal that neither memory nor the disk notice.
#  (4) A journal that is behind what was shipped is not the one that was shipped: the directory was put back to an
#      earlier copy of itself. ForeignSeriesError, and it has to begin a new series.
#  (5) What was read of a segment is not read again: a shipper that finds nothing new has read some headers.
"""Ships the journals of a data directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roost.backup.series import WHOLE, Series, Shipment, positions
from roost.errors import BackupError
from roost.history.archive import ArchiveWriter
from roost.history.journal_view import (
    LiveEntry,
    LiveSegments,
    Reached,
    SegmentRecycledError,
    in_parts,
    live_segments,
    live_slots,
)
from roost.history.shelf import Shelf
from roost.storage.journal.segment import position, split_position

PART_BYTES = 16 * 1024 * 1024
"""Of the journal, in one shipment."""
_TRIES_MAX = 50
_SEND_BYTES = 1024 * 1024


class BrokenChainError(BackupError):
    """What follows the last shipment is not known any more."""


class ForeignSeriesError(BackupError):
    """What was shipped under this series does not come from this directory as it is now."""


class Shipped(msgspec.Struct):
    """What was shipped at one go."""

    shipments: int = 0
    bytes: int = 0


class Shipper:
    """Ships into a series; `ends` says up to where, by host. `spool` is a directory for what is on its way.

    `pause` is called now and then, between two steps.
    """

    def __init__(self, data: Path, series: Series, spool: Path, pause: Callable[[], None] = lambda: None) -> None:
        self.series = series
        self.spool = spool
        self.ends: dict[int, int] = {}
        self._data = data
        self._shelf = Shelf(data)
        self._reached: dict[int, Reached | None] = {}
        self._pause = pause
        self._number = 0

    def find_ends(self) -> None:
        """Learn from the target up to where it has everything."""
        self.ends = {}
        last = self.series.last_snapshot()
        reached = [] if last is None else list(positions(last.until).items())
        for slot, until in [*reached, *((one.slot, one.until) for one in self.series.shipments())]:
            self.ends[slot] = max(self.ends.get(slot, 0), until)

    def check(self) -> None:
        """Raises ForeignSeriesError when what was shipped does not come from this directory as it is now."""
        with self._shelf.reading():
            for slot, reached in self.ends.items():
                with contextlib.suppress(BrokenChainError):
                    self._check_chain(slot, reached, self._known(slot))

    def ship(self) -> Shipped:
        """Send everything that was committed since."""
        done = Shipped()
        with self._shelf.reading():
            for slot in live_slots(self._data):
                self._ship_slot(slot, done)
        return done

    def _ship_slot(self, slot: int, done: Shipped) -> None:
        for _ in range(_TRIES_MAX):
            try:
                for shipment, path in self._parts(slot):
                    self._send(shipment, path, done)
                    self.ends[slot] = shipment.until
                return
            except SegmentRecycledError:
                continue  # its archive has it by now
        raise BackupError(f"the journal of host {slot} is used again faster than it can be shipped")

    def _parts(self, slot: int) -> Iterator[tuple[Shipment, Path]]:
        """What is to be sent, in order, each in a file."""
        reached = self.ends.get(slot, 0)
        with contextlib.closing(LiveSegments(self._data, slot)) as segments:
            live = {segment.sequence for segment in segments.found}
            archives = archives_of(self._shelf, slot)
            self._check_chain(slot, reached, live | set(archives))
            for sequence in sorted(set(archives) - live):
                until = position(sequence, WHOLE)
                if until > reached:
                    yield Shipment(slot, reached, until), archives[sequence]
                    reached = until
            for part in in_parts(
                segments.entries(reached, read=self._reached.get(slot)), lambda entry: len(entry.packed), PART_BYTES
            ):
                shipment = Shipment(slot, reached, part[-1].end)
                with self._archive(shipment, part) as path:
                    yield shipment, path
                reached = shipment.until
            self._reached[slot] = segments.reached

    def _known(self, slot: int) -> set[int]:
        segments = [one.sequence for one in live_segments(self._data) if one.slot == slot]
        return set(segments) | set(archives_of(self._shelf, slot))

    def _check_chain(self, slot: int, reached: int, known: set[int]) -> None:
        """Whether what is known begins no later than where the last shipment ended."""
        sequence, offset = split_position(reached)
        if not reached or sequence in known:
            return
        if known and max(known) < sequence:
            raise ForeignSeriesError(
                f"the backup in {self.series.target.title} is ahead of the data directory {self._data}, which was put"
                " back to an earlier copy of itself"
            )
        follows = offset == WHOLE and (not known or min(known) == sequence + 1)
        if not follows:
            raise BrokenChainError(
                f"what host {slot} committed after the last shipment is not kept any more: its history is trimmed"
                " sooner than it is backed up"
            )

    @contextlib.contextmanager
    def _archive(self, shipment: Shipment, part: list[LiveEntry]) -> Iterator[Path]:
        self._number += 1
        path = self.spool / f"{self._number}.archive"
        writer = ArchiveWriter(path, slot=shipment.slot, sequence=part[-1].sequence)
        try:
            for entry in part:
                self._pause()
                for record in entry.records():
                    writer.add(record)
            writer.finish()
            yield path
        finally:
            writer.close()
            path.unlink(missing_ok=True)

    def _send(self, shipment: Shipment, path: Path, done: Shipped) -> None:
        with path.open("rb") as file, self.series.target.write(self.series.name(shipment.name)) as sink:
            while data := file.read(_SEND_BYTES):
                self._pause()
                sink.write(data)
                done.bytes += len(data)
        done.shipments += 1


def archives_of(shelf: Shelf, slot: int) -> dict[int, Path]:
    """The archives of one host by the sequence of the segment."""
    found = {}
    for path in shelf.archives():
        _, number, sequence = path.stem.split("-")
        if int(number) == slot:
            found[int(sequence, 16)] = path
    return found


def beginnings(data: Path) -> dict[int, int]:
    """By host, the position behind which everything lies that objects' files may not hold yet.

    Read before any of the files, it stays true for what is read of them.
    """
    shelf = Shelf(data)
    found: dict[int, int] = {}
    for slot in live_slots(data):
        archived = set(archives_of(shelf, slot))
        segments = [segment for segment in live_segments(data) if segment.slot == slot]
        needed = [one.sequence for one in segments if not one.settled and one.sequence not in archived]
        known = archived | {segment.sequence for segment in segments}
        if needed:
            found[slot] = position(min(needed), 0)
        elif known:
            found[slot] = position(max(known), WHOLE)
    return found
