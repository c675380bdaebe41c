# What becomes of a segment between the moment when recovery needs it no more and its next use.
#
#  (1) In this order: what the agenda knows of it is made durable; its header says that it is settled; the keeper has
#      it; side files of its records are removed; its header says that it is free; it is free. A crash in between
#      repeats the last step that was not noted.
#  (2) Each step of a segment comes after the same step of every older one. So what recovery finds unsettled is always
#      the whole end of the journal.
#  (3) A step that fails is tried again, at most once in a while, whenever another segment comes or `advance` is called;
#      until then the segment stays, and so do those behind it.
#  (4) Any thread may call; one at a time works, and the others leave their work to it.
"""Segments on their way to being used again."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from roost.errors import StorageError
from roost.storage.files import Files
from roost.storage.journal.keeper import Keeper
from roost.storage.journal.segment import Segment
from roost.storage.journal.side_file import SideFiles

logger = logging.getLogger("roost.storage")

_RETRY_SECONDS = 1.0
_RETRY_SECONDS_MAX = 60.0


class _Retired(msgspec.Struct, eq=False):
    segment: Segment
    settled: bool
    offered: bool = False
    kept: bool = False


class Retirement:
    """Hands segments to the keeper and then to `free`.

    `flush` makes durable what else must be, before a segment is settled; it may raise StorageError or OSError.
    """

    def __init__(
        self, keeper: Keeper, files: Files, flush: Callable[[], None], free: Callable[[Segment], None]
    ) -> None:
        self._keeper = keeper
        self._files = files
        self._flush = flush
        self._free = free
        self._lock = threading.Lock()
        self._queue: deque[_Retired] = deque()  # oldest first
        self._working = False
        self._more = False
        self._closed = False
        self._pause = 0.0
        self._resume = 0.0

    def add(self, segment: Segment, *, settled: bool = False) -> None:
        """Take a segment over; the caller sees to the order, and calls `advance`. `settled`: its header says so."""
        self._queue.append(_Retired(segment, settled))

    @property
    def waiting(self) -> int:
        """How many segments are not free yet."""
        return len(self._queue)

    def advance(self) -> None:
        """Do what can be done now; blocks for a few writes to the disk, never for the keeper."""
        with self._lock:
            self._more = True
            if self._working or self._closed:
                return
            self._working = True
        while self._take_turn():
            self._work()

    def _take_turn(self) -> bool:
        with self._lock:
            self._working = self._more and not self._closed
            self._more = False
            return self._working

    def _work(self) -> None:
        if time.monotonic() < self._resume:
            return
        try:
            self._settle()
            self._offer()
            self._release()
        except (OSError, StorageError) as error:
            self._put_off()
            logger.warning("a segment of the journal cannot be used again yet: %s", error)

    def _settle(self) -> None:
        if all(item.settled for item in self._queue):
            return
        self._flush()
        for item in list(self._queue):
            if not item.settled:
                item.segment.settle(self._files)
                item.settled = True

    def _offer(self) -> None:
        for item in list(self._queue):
            if item.settled and not item.offered and not self._closed:
                item.offered = True  # before, because `done` may come at once
                try:
                    self._keeper.keep(item.segment.path, partial(self._kept, item))
                except BaseException:
                    item.offered = False
                    raise

    def _release(self) -> None:
        while self._queue and self._queue[0].kept:
            segment = self._queue[0].segment
            SideFiles(segment.path.parent).remove_of(segment.path)
            segment.start(self._files, 0, segment.epoch)
            self._queue.popleft()
            self._pause = 0.0
            self._free(segment)

    def _kept(self, item: _Retired, kept: bool) -> None:
        if kept:
            item.kept = True
            self.advance()
        else:
            logger.warning("%s could not be kept for history; it will be tried again", item.segment.path)
            self._put_off()
            item.offered = False

    def _put_off(self) -> None:
        self._pause = min(max(2 * self._pause, _RETRY_SECONDS), _RETRY_SECONDS_MAX)
        self._resume = time.monotonic() + self._pause

    def close(self) -> list[Segment]:
        """Stop; what is not free yet, settled as far as it could be. No other thread calls any more, nor the keeper."""
        self.stop()
        try:
            self._settle()
        except (OSError, StorageError) as error:
            logger.warning("a segment of the journal will be replayed: %s", error)
        return self.stop()

    def stop(self) -> list[Segment]:
        """Do nothing more; what is not free yet."""
        self._closed = True
        return [item.segment for item in self._queue]
