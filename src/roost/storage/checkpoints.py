# Bringing objects' files up to date, beside the loop.
#
#  (1) A checkpoint begins and ends on the loop; in between the pages of durable commits are written and the file is
#      synced: a thread has the background writer do it, so that it does not share the interpreter with the loop for
#      long, or does it itself. Turns go on meanwhile, and so do their commits.
#  (2) Where the write-ahead log has grown too large, it is emptied as soon as nearly all of it is in the file, which is
#      a matter of memory. A turn that wants the database waits for that, and only then: so one object's log is emptied
#      at a time, when no turn has its database open and every commit is durable. What was committed since the file was
#      synced stays with the journal until the next checkpoint.
#  (3) A checkpoint that found no room loses nothing: the journal keeps what it would have let go of, and it is tried
#      again when the object commits next, though not at once.
#  (4) When a file cannot be synced, nobody knows what is on the disk: the file is not used again in this process. The
#      journal still has everything, and the next start mends it.
"""The threads that make checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import apsw
import msgspec

from roost.errors import StorageError
from roost.storage.background.background_writer import BackgroundLostError, BackgroundWriter
from roost.storage.background.errands import UnsyncedError
from roost.storage.writer import Writer

logger = logging.getLogger("roost.storage")

_WRITE_THREADS = 2
_UNWRITTEN_PART_MAX = 1 / 16  # of a log that is emptied: it is written meanwhile, and turns wait
_RETRY_SECONDS = 1.0


class _Step(msgspec.Struct, eq=False):
    """A part of a checkpoint that runs on a thread, and what follows it on the loop: given what the part returned."""

    then: Callable[[bool], None]
    result: Future[bool] | None = None


class Checkpoints:
    """Makes checkpoints, and empties write-ahead logs larger than `log_bytes_max`; `finished` is called on the owner's
    thread after each checkpoint that succeeded. `background` writes the files, where it is there."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        finished: Callable[[Writer], None],
        log_bytes_max: Callable[[], int],
        background: BackgroundWriter | None = None,
    ) -> None:
        self._background = background
        self._post = post
        self._finished = finished
        self._log_bytes_max = log_bytes_max
        self._writers = ThreadPoolExecutor(_WRITE_THREADS, thread_name_prefix="roost-checkpoint")
        self._mover = ThreadPoolExecutor(1, thread_name_prefix="roost-checkpoint-empty")
        self._queue: dict[Writer, None] = {}  # in order; they wait for their logs to be emptied
        self._moving = False
        self._steps: dict[_Step, None] = {}
        self._afterwards: dict[Writer, list[Callable[[], None]]] = {}

    def begin(self, writer: Writer) -> bool:
        """Begin a checkpoint; false when there is nothing that could be done now."""
        if not writer.has_news():
            return self.empty(writer)
        writer.checkpointing = True
        number, mark = writer.durable, writer.database.durable_mark
        self._run(
            self._writers, lambda: _write(writer, number, mark, self._background), lambda ok: self._wrote(writer, ok)
        )
        return True

    def empty(self, writer: Writer) -> bool:
        """Have the write-ahead log emptied, if it is too large and nearly all of it is in the file."""
        size, unwritten = writer.database.wal_bytes, writer.database.unwritten_bytes
        if size < self._log_bytes_max() or unwritten > size * _UNWRITTEN_PART_MAX or not writer.may_checkpoint():
            return False
        writer.checkpointing = True
        self._queue[writer] = None
        self._move_next()
        return True

    def after(self, writer: Writer, then: Callable[[], None]) -> bool:
        """Call back when the checkpoint that runs, or one that is begun now, is over, however it went; false when there
        is none and none can be begun."""
        if not writer.checkpointing and not self.begin(writer):
            return False
        self._afterwards.setdefault(writer, []).append(then)
        return True

    def empty_at_once(self, writer: Writer) -> None:
        """Empty the write-ahead log here and now, if that is possible."""
        if writer.may_checkpoint():
            writer.database.begin_checkpoint()
            _move(writer)

    def wait(self) -> None:
        """Wait for those that have begun, and end them."""
        while self._steps:
            step = next(iter(self._steps))
            assert step.result is not None, "a step is on its thread as soon as it is listed"
            self._follow(step, step.result.result())

    def close(self) -> None:
        """Wait, and end the threads."""
        self.wait()
        self._mover.shutdown()
        self._writers.shutdown()

    # On the loop.

    def _wrote(self, writer: Writer, succeeded: bool) -> None:
        writer.checkpointing = False
        if succeeded and self.empty(writer):
            return
        self._end(writer, succeeded)

    def _move_next(self) -> None:
        while self._queue and not self._moving:
            writer = next(iter(self._queue))
            del self._queue[writer]
            writer.checkpointing = False
            if writer.may_checkpoint():
                self._move(writer)
            else:
                self._end(writer, True)

    def _move(self, writer: Writer) -> None:
        self._moving = writer.checkpointing = True
        writer.database.begin_checkpoint()
        self._run(self._mover, lambda: _move(writer), lambda ok: self._moved(writer, ok))

    def _moved(self, writer: Writer, succeeded: bool) -> None:
        self._moving = False
        self._end(writer, succeeded)
        self._move_next()

    def _end(self, writer: Writer, succeeded: bool) -> None:
        writer.checkpointing = False
        writer.retry_at = 0.0 if succeeded else time.monotonic() + _RETRY_SECONDS
        if succeeded:
            self._finished(writer)
        for then in self._afterwards.pop(writer, []):
            then()

    def _run(self, threads: ThreadPoolExecutor, part: Callable[[], bool], then: Callable[[bool], None]) -> None:
        step = _Step(then)
        self._steps[step] = None
        step.result = threads.submit(self._on_thread, part, step)

    def _follow(self, step: _Step, succeeded: bool) -> None:
        if step in self._steps:  # else somebody who waited was here first
            del self._steps[step]
            step.then(succeeded)

    # On a thread.

    def _on_thread(self, part: Callable[[], bool], step: _Step) -> bool:
        succeeded = part()
        try:
            self._post(lambda: self._follow(step, succeeded))
        except RuntimeError:
            logger.debug("the loop is closed; whoever waits for the checkpoint ends it")
        return succeeded


def _write(writer: Writer, number: int, mark: int, background: BackgroundWriter | None) -> bool:
    try:
        if background is None or not _write_beside(writer, number, mark, background):
            writer.database.write_pages(mark)
            _sync(writer, number)
    except UnsyncedError as error:
        writer.failure = StorageError(f"{writer.database.path} cannot be made durable: {error}")
        logger.error("%s; it is not used again before the next start", writer.failure)
        return False
    except OSError as error:
        if not writer.retry_at:  # else it was said before
            logger.warning("%s could not be brought up to date: %s", writer.database.path, error)
        return False
    return True


def _write_beside(writer: Writer, number: int, mark: int, background: BackgroundWriter) -> bool:
    """Have it done by the background writer; false where there is none now."""
    try:
        writer.database.write_beside(mark, background)
    except BackgroundLostError as error:
        logger.debug("%s is brought up to date by the host itself: %s", writer.database.path, error)
        return False
    writer.synced(number)
    return True


def _sync(writer: Writer, number: int) -> None:
    try:
        writer.sync(number)
    except OSError as error:
        raise UnsyncedError(*error.args) from error


def _move(writer: Writer) -> bool:
    try:
        writer.database.move_pages()
    except (apsw.Error, OSError) as error:
        logger.warning("the write-ahead log of %s could not be emptied: %s", writer.database.path, error)
        return False
    return True
