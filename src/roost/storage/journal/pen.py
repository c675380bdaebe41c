# Writing at the end of the journal.
#
#  (1) What is written is whole and durable when `write` says so, or nothing of it counts: the beginning of what could
#      not be written is made unreadable, at once, or before the next write where even that needs room.
#  (2) After a failed fdatasync nobody knows what is on the disk; whoever owns the pen must not write again.
#  (3) One thread writes at a time; which one is for the owner to see to.
"""Pen: puts records behind the last entry of a journal, and begins new segments."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from roost.errors import StorageError, StorageFullError
from roost.storage.files import Files, is_out_of_space, write_all
from roost.storage.journal.batch import Batch, new_compressor
from roost.storage.journal.contents import Content, TableMaker
from roost.storage.journal.record import Record
from roost.storage.journal.segment import ENTRY_BYTES, position
from roost.storage.journal.segments import Segments

logger = logging.getLogger("roost.storage")

_BATCH_BYTES_MAX = 4 * 1024 * 1024  # before compression


class Pen:
    """Writes into `segments`; `on_rolled` is called, on the thread that writes, whenever a new segment was begun."""

    def __init__(self, segments: Segments, files: Files, on_rolled: Callable[[], None]) -> None:
        self._segments = segments
        self._files = files
        self._on_rolled = on_rolled
        self.sync_seconds = 0.0
        """How long the last fdatasync took."""
        self.durable = 0
        """The position behind the last entry that is durable."""
        self._unerased = False
        """Whether something that failed may still stand where the next entry goes."""
        self._tables = TableMaker()
        self._compressor = new_compressor()
        self._preparing: threading.Thread | None = None

    @property
    def room(self) -> int:
        """How many bytes still fit into the current segment."""
        return self._segments.current.room

    def write(self, records: Iterable[Record]) -> tuple[int, StorageError | None]:
        """How many of the records are durable now, and what became of the others."""
        landed = 0
        try:
            for batch, contents in _batches(records):
                self._land(batch, contents)
                landed += len(contents)
        except StorageError as error:
            return landed, error
        except Exception as error:
            # A fault of ours; whoever waits must hear of it all the same.
            logger.exception("writing the journal failed")
            return landed, StorageError(f"the journal is broken: {error!r}")
        return landed, None

    def close(self) -> None:
        """Wait for what it had begun beside."""
        if self._preparing is not None:
            self._preparing.join()

    def _land(self, batch: Batch, contents: list[Content]) -> None:
        """Make a batch durable."""
        if self._unerased:
            self._erase()
        packed = batch.packed(self._compressor)
        tables = self._tables.tables(contents)
        size = ENTRY_BYTES + len(tables.contents) + len(tables.echo) + len(packed)
        if size > self._segments.current.room:
            self._roll(size)
        segment = self._segments.current
        entry, chain = segment.pack(packed, self.durable, tables)
        self._write_out(entry)
        self._tables.wrote(segment.sequence, segment.end, len(entry), tables)
        segment.end, segment.chain = segment.end + len(entry), chain
        self.durable = position(segment.sequence, segment.end)
        self._segments.pin(batch.commits)
        self._prepare_ahead()

    def _write_out(self, data: bytes) -> None:
        """Write at the end of the current segment and make it durable; on an error nothing counts as written."""
        segment = self._segments.current
        try:
            write_all(self._files, segment.fd, data, segment.end)
        except OSError as error:
            self._unerased = True
            self._erase()
            raise translated(error, f"writing to {segment.path} failed") from error
        begun = time.perf_counter()
        try:
            self._files.sync(segment.fd)
        except OSError as error:
            raise StorageError(f"the journal is broken: fdatasync of {segment.path} failed: {error}") from error
        self.sync_seconds = time.perf_counter() - begun

    def _erase(self) -> None:
        """Unmake the beginning of what could not be written whole, lest a crash now finds it whole enough.

        Where overwriting needs room too, that may be impossible for now; then it is done before the next write.
        """
        segment = self._segments.current
        try:
            write_all(self._files, segment.fd, bytes(min(ENTRY_BYTES, segment.room)), segment.end)
        except OSError as error:
            raise translated(error, f"{segment.path} cannot be written") from error
        self._unerased = False

    def _roll(self, room: int) -> None:
        """Go on in the next segment."""
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        try:
            self._segments.roll(room)
        except OSError as error:
            raise translated(error, "no further segment of the journal can be had") from error
        self._on_rolled()

    def _prepare_ahead(self) -> None:
        """Have the next segment made while this one is filling."""
        if self._preparing is None and self._segments.current.room * 2 < self._segments.current.size:
            self._preparing = threading.Thread(target=self._prepare, name="roost-journal-spare", daemon=True)
            self._preparing.start()

    def _prepare(self) -> None:
        try:
            self._segments.prepare_spare()
        except OSError as error:
            # Not yet anybody's trouble: it is tried again when the segment is needed.
            logger.warning("the next segment of the journal cannot be prepared: %s", error)


def _batches(records: Iterable[Record]) -> Iterator[tuple[Batch, list[Content]]]:
    """The records in batches, each with its table of contents."""
    batch, contents = Batch(), []
    for record in records:
        batch.add(record)
        contents.append(Content(record.key, record.binding, record.commit, record.alarm))
        if batch.size >= _BATCH_BYTES_MAX:
            yield batch, contents
            batch, contents = Batch(), []
    if contents:
        yield batch, contents


def translated(error: OSError, what: str) -> StorageError:
    """What an error of the system means to whoever wants to write."""
    if is_out_of_space(error):
        return StorageFullError(f"no space left for the journal: {what}: {error}")
    return StorageError(f"the journal is broken: {what}: {error}")
