# Bringing objects' files up to date, beside the loop.
#
#  (1) A checkpoint begins on the loop, when the writer allows it; the pages move on one thread, the file is synced on
#      another; it ends on the loop. A turn that wants the database waits while its pages move, and only then: therefore
#      one object's pages move at a time, and nothing slow is ever in front of them.
#  (2) A checkpoint that found no room loses nothing: the journal keeps what it would have let go of, and it is tried
#      again when the object commits next.
#  (3) When a file cannot be synced, nobody knows what is on the disk: the file is not used again in this process. The
#      journal still has everything, and the next start mends it.
"""The threads that make checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import apsw
import msgspec

from roost.errors import StorageError
from roost.storage.writer import Writer

logger = logging.getLogger("roost.storage")

_SYNC_THREADS = 2


class _Step(msgspec.Struct, eq=False):
    """A part of a checkpoint that runs on a thread, and what follows it on the loop: given what the part returned."""

    then: Callable[[bool], None]
    result: Future[bool] | None = None


class Checkpoints:
    """Makes checkpoints; `finished` is called on the owner's thread after each that succeeded."""

    def __init__(self, post: Callable[[Callable[[], None]], None], finished: Callable[[Writer], None]) -> None:
        self._post = post
        self._finished = finished
        self._mover = ThreadPoolExecutor(1, thread_name_prefix="roost-checkpoint")
        self._syncers = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="roost-checkpoint-sync")
        self._queue: dict[Writer, None] = {}  # in order; they wait for their pages to move
        self._moving = False
        self._steps: dict[_Step, None] = {}
        self._afterwards: dict[Writer, list[Callable[[], None]]] = {}

    def after(self, writer: Writer, then: Callable[[], None]) -> bool:
        """Call back when the checkpoint that runs, or one that is begun now, is over, however it went; false when there
        is none and none can be begun."""
        if not writer.checkpointing and writer not in self._queue and not self.begin(writer):
            return False
        self._afterwards.setdefault(writer, []).append(then)
        return True

    def begin(self, writer: Writer) -> bool:
        """Begin a checkpoint, now or after those that wait already; false when the writer does not allow it."""
        if not writer.may_checkpoint():
            return False
        self._queue[writer] = None
        self._move_next()
        return True

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
        self._syncers.shutdown()

    # On the loop.

    def _move_next(self) -> None:
        while self._queue and not self._moving:
            writer = next(iter(self._queue))
            del self._queue[writer]
            if writer.may_checkpoint():
                self._move(writer)
            else:
                self._over(writer)

    def _move(self, writer: Writer) -> None:
        self._moving = writer.checkpointing = True
        writer.database.begin_checkpoint()
        number = writer.durable
        self._run(self._mover, lambda: _move(writer), lambda ok: self._moved(writer, number, ok))

    def _moved(self, writer: Writer, number: int, succeeded: bool) -> None:
        self._moving = False
        if succeeded:
            self._run(self._syncers, lambda: _sync(writer, number), lambda ok: self._end(writer, ok))
        else:
            self._end(writer, False)
        self._move_next()

    def _end(self, writer: Writer, succeeded: bool) -> None:
        writer.checkpointing = False
        if succeeded:
            self._finished(writer)
        self._over(writer)

    def _over(self, writer: Writer) -> None:
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


def _move(writer: Writer) -> bool:
    try:
        writer.database.move_pages()
    except (apsw.Error, OSError) as error:
        logger.warning("%s could not be brought up to date: %s", writer.database.path, error)
        return False
    return True


def _sync(writer: Writer, number: int) -> bool:
    try:
        writer.sync(number)
    except OSError as error:
        writer.failure = StorageError(f"{writer.database.path} cannot be made durable: {error}")
        logger.error("%s; it is not used again before the next start", writer.failure)
        return False
    return True
