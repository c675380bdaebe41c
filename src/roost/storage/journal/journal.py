# The host journal: one log on local disk for all objects of a host.
#
#  (1) `append` only puts a record in a queue. What a pass of the owner's loop has put there is handed to the journal's
#      own thread at the end of that pass. The thread takes whatever is queued as one group: packs it, writes it, and
#      makes it durable with one fdatasync. While it does, the next group gathers.
#  (2) The callbacks of a group are called together, in one call that is posted to the owner's loop.
#  (3) No room: the records that found none fail with StorageFullError, and so does every append until the owner has
#      seen those failures. Then it is tried again: when there is room again, things go on.
#  (4) Any other error breaks the journal for good. After a failed fdatasync nobody knows what is on the disk, and
#      asking again would only be told what the page cache holds. Every pending and later append fails.
"""LocalLog: the log of a host on one machine."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from roost.errors import StorageError, StorageFullError
from roost.storage.files import Files, is_out_of_space, write_all
from roost.storage.journal.batch import Batch, new_compressor
from roost.storage.journal.contents import Content, TableMaker
from roost.storage.journal.keeper import Keeper
from roost.storage.journal.log import OnDurable
from roost.storage.journal.record import Record
from roost.storage.journal.segment import ENTRY_BYTES, position
from roost.storage.journal.segments import Segments, nothing

logger = logging.getLogger("roost.storage")

_GROUP_RECORDS_MAX = 4096
_BATCH_BYTES_MAX = 4 * 1024 * 1024  # before compression

_Group = list[tuple[Record, OnDurable]]
Post = Callable[[Callable[[], None]], None]
"""Have a function called on the owner's thread, soon; may be called from any thread."""


class LocalLog:
    """The journal of one host, in a directory that nobody else uses and that was surveyed.

    `post` is how the callbacks come back to the owner; `soon` has a function called at the end of this pass of the
    owner's loop, if there is one. `on_rolled` is called there whenever a new segment was begun, with the objects that
    keep older segments from being used again: bring their files up to date, then `let_go`. `on_broken` is called there
    after the callbacks, once, when nothing can be made durable any more. `keeper`, `flush` and `needed` are those of
    Segments.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int,
        post: Post,
        soon: Post | None = None,
        files: Files | None = None,
        on_rolled: Callable[[set[bytes]], None] = lambda keys: None,
        on_broken: Callable[[StorageError], None] = lambda error: None,
        keeper: Keeper | None = None,
        flush: Callable[[], None] = nothing,
        needed: Mapping[Path, dict[bytes, int]] | None = None,
    ) -> None:
        self._files = files or Files()
        self._segments = Segments(directory, segment_bytes, self._files, keeper=keeper, flush=flush, needed=needed)
        self.epoch = self._segments.epoch
        self._post = post
        self._soon = soon
        self._on_rolled = on_rolled
        self._on_broken: Callable[[StorageError], None] | None = on_broken
        self._lock = threading.Lock()
        self._known = threading.Condition(self._lock)
        """Notified when the fate of records became known."""
        self._wake = threading.Lock()
        """What the thread waits for while it is idle; lighter than a condition, which is locked once more to wake."""
        self._wake.acquire()
        self._queue: _Group = []
        self._finished: deque[tuple[_Group, StorageError | None]] = deque()
        self._position = 0
        self._settled = 0  # records whose fate is known
        self._idle = False
        self._handing_over = False
        self._closing = False
        self._broken: StorageError | None = None
        self._full: StorageFullError | None = None
        self._durable = 0
        self._unerased = False
        """Whether something that failed may still stand where the next entry goes."""
        self._tables = TableMaker()
        self._compressor = new_compressor()
        self._preparing: threading.Thread | None = None
        try:
            self._segments.roll(0)
        except OSError as error:
            self._segments.abandon()
            raise _translated(error, f"no journal can be begun in {directory}") from error
        self._segments.retire()
        self._thread = threading.Thread(target=self._run, name="roost-journal", daemon=True)
        self._thread.start()

    def append(self, record: Record, on_durable: OnDurable) -> int:
        with self._lock:
            if self._broken is not None or self._full is not None:
                raise _again(self._broken or self._full)
            if self._closing:
                raise StorageError("the journal was closed")
            self._position += 1
            self._queue.append((record, on_durable))
            if self._handing_over:
                return self._position
            self._handing_over = True
        self._hand_over_soon()
        return self._position

    def _hand_over_soon(self) -> None:
        if self._soon is not None:
            try:
                self._soon(self._hand_over)
            except RuntimeError:
                logger.debug("the loop of the journal's owner is closed")
            else:
                return
        self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            self._handing_over = False
            idle, self._idle = self._idle, False
        if idle:
            self._wake.release()

    def let_go(self, key: bytes, commit: int) -> None:
        self._segments.let_go(key, commit)

    def needed(self) -> set[bytes]:
        """The objects whose files should be brought up to date, so that segments can be used again."""
        return self._segments.needed()

    def retire(self) -> None:
        """Try again what could not be done with segments that nobody needs; blocks for a few writes."""
        self._segments.retire()

    def flush(self) -> None:
        self._hand_over()
        with self._known:
            target = self._position
            self._known.wait_for(lambda: self._settled >= target)
        self._deliver()

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._hand_over()
        self._thread.join()
        if self._preparing is not None:
            self._preparing.join()
        self._deliver()
        if self._broken is None:
            self._close_files()
        else:
            self._segments.abandon()

    def _close_files(self) -> None:
        try:
            self._segments.close()
        except OSError as error:
            # What it holds is in the objects' files too; it will merely be replayed.
            logger.warning("the journal could not be marked as empty: %s", error)

    # The journal's thread.

    def _run(self) -> None:
        while group := self._next_group():
            landed, error = self._write(group)
            self._settle(group, landed, error)

    def _next_group(self) -> _Group:
        while True:
            with self._lock:
                if self._queue or self._closing:
                    group = self._queue[:_GROUP_RECORDS_MAX]
                    del self._queue[:_GROUP_RECORDS_MAX]
                    return group
                self._idle = True
            self._wake.acquire()

    def _write(self, group: _Group) -> tuple[int, StorageError | None]:
        """How many records of the group are durable now, and what became of the others."""
        if self._broken is not None or self._full is not None:
            return 0, self._broken or self._full
        landed = 0
        try:
            for batch, contents in _batches(record for record, _ in group):
                self._land(batch, contents)
                landed += len(contents)
        except StorageError as error:
            return landed, error
        except Exception as error:
            # A fault of ours; whoever waits must hear of it all the same.
            logger.exception("the journal's thread failed")
            return landed, StorageError(f"the journal is broken: {error!r}")
        return landed, None

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
        entry, chain = segment.pack(packed, self._durable, tables)
        self._write_out(entry)
        self._tables.wrote(segment.sequence, segment.end, len(entry), tables)
        segment.end, segment.chain = segment.end + len(entry), chain
        self._durable = position(segment.sequence, segment.end)
        self._segments.pin(batch.commits)
        self._prepare_ahead()

    def _settle(self, group: _Group, landed: int, error: StorageError | None) -> None:
        with self._known:
            if isinstance(error, StorageFullError):
                self._full = error
            elif error is not None:
                self._broken = error
            if error is None:
                self._finished.append((group, None))
            else:
                self._finished += [(group[:landed], None), (group[landed:], error)]
            self._settled += len(group)
            self._known.notify_all()
        self._call_owner(self._deliver)

    def _call_owner(self, function: Callable[[], None]) -> None:
        try:
            self._post(function)
        except RuntimeError:
            # The owner's loop is gone; `flush` or `close` will deliver.
            logger.debug("the loop of the journal's owner is closed")

    def _write_out(self, data: bytes) -> None:
        """Write at the end of the current segment and make it durable; on an error nothing counts as written."""
        segment = self._segments.current
        try:
            write_all(self._files, segment.fd, data, segment.end)
        except OSError as error:
            self._unerased = True
            self._erase()
            raise _translated(error, f"writing to {segment.path} failed") from error
        try:
            self._files.sync(segment.fd)
        except OSError as error:
            raise StorageError(f"the journal is broken: fdatasync of {segment.path} failed: {error}") from error

    def _erase(self) -> None:
        """Unmake the beginning of what could not be written whole, lest a crash now finds it whole enough.

        Where overwriting needs room too, that may be impossible for now; then it is done before the next write.
        """
        segment = self._segments.current
        try:
            write_all(self._files, segment.fd, bytes(min(ENTRY_BYTES, segment.room)), segment.end)
        except OSError as error:
            raise _translated(error, f"{segment.path} cannot be written") from error
        self._unerased = False

    def _roll(self, room: int) -> None:
        """Go on in the next segment."""
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        try:
            self._segments.roll(room)
        except OSError as error:
            raise _translated(error, "no further segment of the journal can be had") from error
        needed = self._segments.needed()
        self._call_owner(lambda: self._on_rolled(needed))

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

    # The owner's thread.

    def _deliver(self) -> None:
        """Call the callbacks that are due. A failure is known once they have all been called; see (3)."""
        failed = False
        while self._finished:
            group, error = self._finished.popleft()
            failed = failed or error is not None
            for _, callback in group:
                try:
                    callback(error)
                except Exception:
                    logger.exception("a callback of the journal raised")
        if failed:
            self._admit_again()
        if self._broken is not None and self._on_broken is not None:
            told, self._on_broken = self._on_broken, None
            told(self._broken)

    def _admit_again(self) -> None:
        with self._lock:
            if not self._queue and not self._finished and self._settled == self._position:
                self._full = None


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


def _translated(error: OSError, what: str) -> StorageError:
    if is_out_of_space(error):
        return StorageFullError(f"no space left for the journal: {what}: {error}")
    return StorageError(f"the journal is broken: {what}: {error}")


def _again(error: StorageError | None) -> StorageError:
    """The same error for another caller, so that tracebacks do not grow."""
    assert error is not None, "only asked for when there is one"
    return type(error)(*error.args)
