# HistoryKeeper: the keeper that makes archives, by a child process.
#
#  (1) Segments are folded in the order in which they come: when one fails, those that wait behind it fail too, and come
#      again after it. How often a segment comes again, and with which pauses, is up to the journal.
#  (2) While segments cannot be kept they stay in the journal, which grows: by what is written, up to the disk's size.
#      When the disk is full, the oldest archives give way to the segment that is to be kept, and if that is not enough,
#      writes fail until there is room; nothing is lost. See docs/design/decisions/history.md.
#  (3) A child that was killed leaves nothing behind that counts; its segment comes again.
"""The keeper of the journal's past."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from roost.clock import Clock, SystemClock
from roost.errors import StorageError
from roost.history.adoption import adopt
from roost.history.errands import Errands, Fold, Folded
from roost.history.trimming import Retention
from roost.limits import DEFAULTS, Limits

logger = logging.getLogger("roost.history")

_SEGMENTS_AT_ONCE = 8
_LOUD_AFTER = 3

_Waiting = tuple[Path, Callable[[bool], None]]


class HistoryKeeper:
    """Keeps the segments of one journal of a data directory as archives, for as long as the limits say."""

    def __init__(
        self, data: Path | str, limits: Limits = DEFAULTS, *, clock: Clock | None = None, errands: Errands | None = None
    ) -> None:
        self._data = str(data)
        self._retention = Retention(limits.history_seconds, limits.history_bytes_max)
        self._clock = clock or SystemClock()
        self._errands = errands or Errands()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        """Begin to fold a segment; see `Keeper`."""
        with self._starting:
            if self._closed:
                return
            self._queue.put((segment, done))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="roost-history", daemon=True)
                self._thread.start()

    def adopt(self, data: Path) -> None:
        """The history of every object in the directory begins with what it holds; see `Keeper`."""
        adopt(data, self._clock.now_ms())

    def close(self) -> None:
        """Stop the child, and tell nobody any more; calling it again changes nothing."""
        with self._starting:
            self._closed = True
        self._errands.close()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    # The thread.

    def _run(self) -> None:
        while (first := self._queue.get()) is not None and not self._closed:
            waiting = [first, *self._further()]
            kept = self._fold([segment for segment, _ in waiting])
            for number, (_, done) in enumerate(waiting):
                if not self._closed:
                    done(number < kept)

    def _further(self) -> list[_Waiting]:
        """More that wait already: a child is worth starting for several."""
        found: list[_Waiting] = []
        while len(found) < _SEGMENTS_AT_ONCE - 1 and not self._queue.empty():
            item = self._queue.get()
            if item is None:
                self._queue.put(None)
                break
            found.append(item)
        return found

    def _fold(self, segments: list[Path]) -> int:
        """How many were kept."""
        try:
            errand = Fold(self._data, list(map(str, segments)), self._retention, self._clock.now_ms())
            outcome = self._errands.run(errand)
        except StorageError as error:
            self._report(str(error))
            return 0
        assert isinstance(outcome, Folded), "what was folded is told"
        if outcome.failure:
            self._report(outcome.failure)
        else:
            self._failures = 0
        return outcome.kept

    def _report(self, failure: str) -> None:
        if self._closed:
            return
        self._failures += 1
        loud = logger.error if self._failures >= _LOUD_AFTER else logger.warning
        loud("history cannot be kept for now, so the journal grows (failure %d in a row): %s", self._failures, failure)
