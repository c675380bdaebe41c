# Making an archive of a segment that recovery needs no more.
#
#  (1) The segment is only read. Whether it is still the same use of it is looked at before its archive is named.
#  (2) A segment that has its archive already is not folded again: a crash may have come before anybody knew.
#  (3) What cannot be read is left out and reported: states of the objects concerned are told again from their next
#      complete record on. The segment must not stay for ever because of it.
#  (4) No space is left: older history gives way to younger, archive by archive.
"""Folding a segment of the journal into an archive."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from roost.errors import StorageCorruptError, StorageError
from roost.history.archive import ArchiveReader, ArchiveWriter
from roost.history.shelf import Shelf
from roost.history.trimming import make_room
from roost.storage.files import is_out_of_space
from roost.storage.journal.batch import unpack
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import Record
from roost.storage.journal.segment import Entry, SegmentReader
from roost.storage.journal.segments import segment_paths
from roost.storage.journal.side_file import SideFiles

logger = logging.getLogger("roost.history")


def fold(data: Path | str, segment: Path) -> Path | None:
    """Make the archive of a settled segment, durably; None when it holds nothing.

    Raises OSError when there is no space even after older history was given up, StorageError when the segment is no
    settled one, or was used again meanwhile.
    """
    shelf = Shelf(data)
    slot = int(segment.parent.name)
    with contextlib.closing(SegmentReader(segment)) as reader:
        if reader.sequence and not reader.settled:
            raise StorageError(f"{segment} is in use; only a segment that recovery needs no more is folded")
        entry = next(reader.entries(), None)
        if not reader.sequence or entry is None:
            return None
        present = shelf.find(slot, reader.sequence)
        if present is not None and _is_of(present, reader, entry):
            return present
        while True:
            try:
                return _fold(shelf, reader, slot)
            except OSError as error:
                if not is_out_of_space(error) or not make_room(shelf):
                    raise


def fold_all(data: Path | str) -> int:
    """Fold every settled segment of every host, none of which may run; how many were folded."""
    count = 0
    for slot in sorted((Path(data) / "hosts").glob("[0-9]*")):
        for path in _in_order_of_use(slot):
            count += fold(data, path) is not None
    return count


def _in_order_of_use(slot: Path) -> list[Path]:
    found: list[tuple[int, Path]] = []
    for path in segment_paths(slot):
        with contextlib.closing(SegmentReader(path)) as reader:
            if reader.sequence and reader.settled:
                found.append((reader.sequence, path))
    return [path for _, path in sorted(found)]


def _fold(shelf: Shelf, reader: SegmentReader, slot: int) -> Path:
    new = shelf.new(slot, reader.sequence)
    try:
        with contextlib.closing(ArchiveWriter(new, slot=slot, sequence=reader.sequence)) as writer:
            _copy(reader, writer)
            writer.finish()
        _check_same_use(reader)
        return shelf.place(new, slot, reader.sequence)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _copy(reader: SegmentReader, writer: ArchiveWriter) -> None:
    for step in reader.walk():
        if isinstance(step, Entry):
            for record in _readable(reader, unpack(reader.read(step))):
                writer.add(record)
        else:
            logger.error(
                "%s is damaged from %d to %d: the history of the objects concerned has a hole there",
                reader.path,
                step.start,
                step.end,
            )


def _readable(reader: SegmentReader, records: Iterator[Record]) -> Iterator[Record]:
    """The records with their pages, also where these stand in side files; see (3)."""
    side_files = SideFiles(reader.path.parent)
    for record in records:
        try:
            whole = side_files.whole(record)
            if isinstance(whole.images, PartedImages):
                whole.images.verify()  # what is in the archive cannot be taken back
        except StorageCorruptError as error:
            logger.error("%s: the history of object %s has a hole there", error, record.key.hex())
        else:
            yield whole


def _check_same_use(reader: SegmentReader) -> None:
    with contextlib.closing(SegmentReader(reader.path)) as now:
        if now.sequence != reader.sequence:
            raise StorageError(f"{reader.path} was used again while it was being folded")


def _is_of(archive: Path, reader: SegmentReader, entry: Entry) -> bool:
    """Whether it was made of this use of the segment: numbers begin anew where a journal was moved away."""
    record = next(unpack(reader.read(entry)))
    with ArchiveReader(archive) as kept:
        run = kept.run(record.key)
    return run is not None and run.first <= record.commit <= run.last
