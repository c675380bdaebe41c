# The host journal: one log on local disk for all objects of a host.
#
#  (1) `append` only puts a record in a queue. What a pass of the owner's loop has put there is handed to the journal's
#      own thread at the end of that pass. The thread takes whatever is queued as one group: packs it, writes it, and
#      makes it durable with one fdatasync. While it does, the next group gathers. The callbacks of a group are called
#      together, in one call that is posted to the owner's loop.
#  (2) Two wake-ups of sleeping threads take as long as the sync of a fast disk. So when the thread is idle, the disk is
#      known to be fast (`Patience`) and little is queued, the group is written at the end of the pass on the owner's
#      thread instead, and its callbacks are called right there. Whoever has taken `_idle` away has the pen.
#  (3) No room: the records that found none fail with StorageFullError, and so does every append until the owner has
#      seen those failures. Then it is tried again: when there is room again, things go on.
#  (4) Any other error breaks the journal for good. After a failed fdatasync nobody knows what is on the disk, and
#      asking again would only be told what the page cache holds. Every pending and later append fails.
"""LocalLog: the log of a host on one machine."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from roost.errors import StorageError, StorageFullError
from roost.storage.files import Files
from roost.storage.journal.keeper import Keeper
from roost.storage.journal.log import OnDurable
from roost.storage.journal.patience import Patience
from roost.storage.journal.pen import Pen, translated
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segments import Segments, nothing

logger = logging.getLogger("roost.storage")

_GROUP_RECORDS_MAX = 4096
_LONE_RECORDS_MAX = 4  # of a group that the owner's thread writes: with more, the thread's work beside the loop pays
_LONE_PAGES_MAX = 64
_LONE_ROOM = 2 * PAGE_BYTES  # that a segment must have beside them, so that no new one is needed

_Group = list[tuple[Record, OnDurable]]
Post = Callable[[Callable[[], None]], None]
"""Have a function called on the owner's thread, soon; may be called from any thread."""


class LocalLog:
    """The journal of one host, in a directory that nobody else uses and that was surveyed.

    `post` is how the callbacks come back to the owner; `soon` has a function called at the end of this pass of the
    owner's loop, if there is one. `on_rolled` is called there whenever a new segment was begun, with the objects that
    keep older segments from being used again: bring their files up to date, then `let_go`. `on_broken` is called there
    after the callbacks, once, when nothing can be made durable any more. `patience` is how many seconds the disk's sync
    may take for the owner's thread to wait for one; see (2). `keeper`, `flush` and `needed` are those of Segments.
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
        patience: float = 0.0,
        keeper: Keeper | None = None,
        flush: Callable[[], None] = nothing,
        needed: Mapping[Path, dict[bytes, int]] | None = None,
    ) -> None:
        files = files or Files()
        self._segments = Segments(directory, segment_bytes, files, keeper=keeper, flush=flush, needed=needed)
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
        self._patience = Patience(patience)
        self._pen = Pen(self._segments, files, lambda: self._call_owner(self._rolled))
        try:
            self._segments.roll(0)
        except OSError as error:
            self._segments.abandon()
            raise translated(error, f"no journal can be begun in {directory}") from error
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
                self._soon(self._end_pass)
            except RuntimeError:
                logger.debug("the loop of the journal's owner is closed")
            else:
                return
        self._hand_over()

    def _end_pass(self) -> None:
        """A pass of the owner's loop has ended: see (1) and (2)."""
        if not self._take_idle():
            return
        if self._patience.is_there and self._is_little():
            self._write_here()
        else:
            self._wake.release()

    def _hand_over(self) -> None:
        if self._take_idle():
            self._wake.release()

    def _take_idle(self) -> bool:
        """Whether the thread was idle; then the caller must wake it, or write in its place."""
        with self._lock:
            self._handing_over = False
            idle, self._idle = self._idle, False
        return idle

    def _is_little(self) -> bool:
        queue = self._queue
        if len(queue) > _LONE_RECORDS_MAX:
            return False
        pages = sum(len(record.images) for record, _ in queue)
        return pages <= _LONE_PAGES_MAX and pages * PAGE_BYTES + _LONE_ROOM <= self._pen.room

    def _write_here(self) -> None:
        with self._lock:
            group, self._queue = self._queue, []
        landed, error = self._write(group)
        self._settle(group, landed, error)
        with self._lock:
            self._idle = True
        self._deliver()

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
        self._pen.close()
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
            self._call_owner(self._deliver)

    def _next_group(self) -> _Group:
        while True:
            with self._lock:
                if self._queue or self._closing:
                    group = self._queue[:_GROUP_RECORDS_MAX]
                    del self._queue[:_GROUP_RECORDS_MAX]
                    return group
                self._idle = True
            self._wake.acquire()

    # Whoever has the pen.

    def _write(self, group: _Group) -> tuple[int, StorageError | None]:
        """How many records of the group are durable now, and what became of the others."""
        if self._broken is not None or self._full is not None:
            return 0, self._broken or self._full
        landed, error = self._pen.write(record for record, _ in group)
        self._patience.took(self._pen.sync_seconds)
        return landed, error

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

    def _call_owner(self, function: Callable[[], None]) -> None:
        try:
            self._post(function)
        except RuntimeError:
            # The owner's loop is gone; `flush` or `close` will deliver.
            logger.debug("the loop of the journal's owner is closed")

    # The owner's thread.

    def _rolled(self) -> None:
        self._on_rolled(self._segments.needed())

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


def _again(error: StorageError | None) -> StorageError:
    """The same error for another caller, so that tracebacks do not grow."""
    assert error is not None, "only asked for when there is one"
    return type(error)(*error.args)
