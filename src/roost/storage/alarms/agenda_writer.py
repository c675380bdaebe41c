# The thread that writes the agenda's file and reads from it, beside the loop.
#
#  (1) What is added waits for `WRITE_SECONDS` at most, or until there is enough of it, and is written as one batch.
#  (2) A batch that could not be written goes back in front of what came after it, and is tried again.
#  (3) `flush` is over when everything that was added before it is written and synced. It fails when that write does.
#  (4) After a sync that failed nobody knows what is on the disk, and asking again would only be told what the page
#      cache holds: no flush succeeds any more in this process.
#  (5) What was written is waiting until the loop has heard of it; `loaded` and that news come in the order in which the
#      thread did the work.
#  (6) A file that turns out to be damaged is replaced by an empty one, `lost` is told, and the batch is written there.
"""Writing and reading the agenda's file on a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw
import msgspec

from roost.errors import StorageCorruptError, StorageError
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_reader import Failed
from roost.storage.alarms.agenda_window import Entry, Moment

logger = logging.getLogger("roost.storage")

LOAD_COUNT = 1_024
BATCH_MAX = 16_384
"""Entries that wait, before they are written at once."""
WRITE_SECONDS = 1.0
"""From the first that waits to the write. Nothing is lost by it; who looks from outside sees the file."""
RETRY_SECONDS = 1.0
_SYNC_FAILED = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]
Loaded = Callable[[Moment, list[Entry]], None]


class _Batch(msgspec.Struct, eq=False):
    """What was added and is not in the file yet."""

    entries: dict[bytes, Entry] = {}
    failed: list[Failed] = []
    forgiven: list[tuple[bytes, str]] = []
    complete: bool | None = None

    @property
    def empty(self) -> bool:
        return not (self.entries or self.failed or self.forgiven or self.complete is not None)

    def changes(self) -> Changes:
        return Changes(self.entries.values(), self.failed, self.forgiven, self.complete)

    def followed_by(self, later: _Batch) -> _Batch:
        return _Batch(
            {**self.entries, **later.entries},
            [*self.failed, *later.failed],
            [*self.forgiven, *later.forgiven],
            self.complete if later.complete is None else later.complete,
        )


class AgendaWriter:
    """Belongs to the loop, but for `flush`. The thread begins with the first work."""

    def __init__(self, file: AgendaFile, *, post: Post, loaded: Loaded, lost: Callable[[], None]) -> None:
        self._file = file
        self._post = post
        self._loaded = loaded
        self._lost = lost
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._fresh = _Batch()
        self._under_way: deque[_Batch] = deque()
        """Batches that the thread has taken, and whose end the loop has not heard of."""
        self._write_at: float | None = None
        self._load: tuple[Moment, Sequence[str]] | None = None
        self._load_at = 0.0
        self._questions: deque[Callable[[], None]] = deque()
        self._flushes = self._flushed = 0
        self._flush_error: StorageError | None = None
        self._unsynced = False
        self._distrusted: StorageError | None = None
        self._damaged: StorageCorruptError | None = None
        self._full = False
        self._closing = False

    # -- adding --------------------------------------------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Have it written, in the place of what was there of its object."""
        with self._changed:
            self._fresh.entries[entry.key] = entry
            if self._write_at is None or len(self._fresh.entries) == BATCH_MAX:
                self._soon(WRITE_SECONDS)

    def add_failed(self, failed: Failed) -> None:
        with self._changed:
            self._fresh.failed.append(failed)
            self._soon(0.0)

    def forgive(self, key: bytes, alarm: str) -> None:
        with self._changed:
            self._fresh.forgiven.append((key, alarm))
            self._soon(0.0)

    def set_complete(self) -> None:
        """The file knows every alarm, with what was added so far."""
        with self._changed:
            self._fresh.complete = True
            self._soon(0.0)

    def waiting(self) -> dict[bytes, Entry]:
        """What may not be in the file yet, or not in what was loaded from it."""
        with self._changed:
            batches = [*self._under_way, self._fresh]
            return {key: entry for batch in batches for key, entry in batch.entries.items()}

    def load(self, after: Moment, bindings: Sequence[str]) -> None:
        """Have the next `LOAD_COUNT` entries read; `loaded` gets them."""
        with self._changed:
            self._load = (after, bindings)
            self._wake()

    def ask(self, question: Callable[[AgendaFile], T], answer: Callable[[T], None]) -> None:
        """Have the file asked when there is nothing else to do. Without an answer when it cannot be read."""
        with self._changed:
            self._questions.append(lambda: self._answer(question, answer))
            self._wake()

    def flush(self) -> None:
        """Wait until everything that was added is durable. Raises StorageError."""
        with self._changed:
            if self._fresh.empty and not self._under_way and not self._unsynced:
                return
            self._flushes += 1
            mine = self._flushes
            self._wake()
            self._changed.wait_for(lambda: self._flushed >= mine)
            error = self._flush_error
        if error is not None:
            raise type(error)(*error.args)

    def close(self) -> None:
        """Write what waits, end the thread, close the file. What could not be written is reported and forgotten."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        elif not self._fresh.empty:
            self._write(sync=True)
        try:
            self._file.close()
        except StorageError as error:
            logger.warning("%s", error)

    def _soon(self, seconds: float) -> None:
        at = time.monotonic() + (0.0 if len(self._fresh.entries) >= BATCH_MAX else seconds)
        if self._write_at is None or at < self._write_at:
            self._write_at = at
            self._wake()

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="roost-agenda", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while True:
                now = time.monotonic()
                if self._flushes > self._flushed:
                    return lambda: self._write(sync=True)
                if self._closing:
                    return None if self._fresh.empty else self._write_last
                if self._load is not None and self._load_at <= now:
                    return self._read
                if self._write_at is not None and self._write_at <= now:
                    return lambda: self._write(sync=False)
                if self._questions:
                    return self._questions.popleft()
                self._changed.wait(self._seconds_to_wait(now))

    def _seconds_to_wait(self, now: float) -> float | None:
        moments = [self._write_at] if self._write_at is not None else []
        if self._load is not None:
            moments.append(self._load_at)
        return max(min(moments) - now, 0.0) if moments else None

    def _write(self, *, sync: bool) -> None:
        with self._changed:
            batch, self._fresh = self._fresh, _Batch()
            self._under_way.append(batch)
            self._write_at = None
            flushes = self._flushes
        error = self._attempt(batch, sync)
        with self._changed:
            if error is not None:
                self._put_back(batch)
            self._unsynced = not (sync and error is None)
            if sync:
                self._flushed, self._flush_error = flushes, error
            self._changed.notify_all()
        if error is None:
            self._tell(self._forget_first)

    def _write_last(self) -> None:
        self._write(sync=True)
        with self._changed:
            self._fresh = _Batch()  # if it is still there, it could not be written: see `close`

    def _put_back(self, batch: _Batch) -> None:
        self._under_way.remove(batch)
        self._fresh = batch.followed_by(self._fresh)
        self._write_at = time.monotonic() + RETRY_SECONDS

    def _attempt(self, batch: _Batch, sync: bool) -> StorageError | None:
        """Write a batch; why that was not possible."""
        try:
            self._write_or_replace(batch, sync)
        except StorageError as error:
            self._report(error)
            return error
        if self._full:
            self._full = False
            logger.info("the agenda of alarms can be written again")
        return self._distrusted if sync else None

    def _write_or_replace(self, batch: _Batch, sync: bool) -> None:
        self._replace_if_damaged()
        try:
            self._file.write(batch.changes(), sync=sync)
        except StorageCorruptError as error:
            self._damaged = error
            self._replace_if_damaged()
            self._file.write(batch.changes(), sync=sync)

    def _replace_if_damaged(self) -> None:
        if self._damaged is not None:
            self._file.replace(self._damaged)
            self._damaged = None
            self._tell(self._lost)

    def _report(self, error: StorageError) -> None:
        cause = error.__cause__
        if isinstance(cause, apsw.Error) and getattr(cause, "extendedresult", 0) in _SYNC_FAILED:
            self._distrusted = error
        if not self._full:
            self._full = True
            logger.error("%s; the journal keeps what is not written", error)

    def _read(self) -> None:
        with self._changed:
            assert self._load is not None, "there is something to load"
            after, bindings = self._load
        try:
            self._replace_if_damaged()
            rows = self._file.load(after, LOAD_COUNT, bindings)
        except StorageCorruptError as error:
            self._damaged = error  # replaced at the next attempt
            return
        except StorageError as error:
            self._report(error)
            self._load_at = time.monotonic() + RETRY_SECONDS
            return
        with self._changed:
            self._load = None
        self._tell(lambda: self._loaded(after, rows))

    def _answer(self, question: Callable[[AgendaFile], T], answer: Callable[[T], None]) -> None:
        try:
            answered = question(self._file)
        except StorageError as error:
            self._report(error)
        else:
            self._tell(lambda: answer(answered))

    def _forget_first(self) -> None:
        with self._changed:
            self._under_way.popleft()

    def _tell(self, function: Callable[[], None]) -> None:
        try:
            self._post(function)
        except RuntimeError:
            logger.debug("the loop of the agenda's owner is closed")
