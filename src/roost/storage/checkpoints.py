# Bringing objects' files up to date, beside the loop.
#
#  (1) A checkpoint begins on the loop, when the writer allows it, runs on a thread of its own, and ends on the loop.
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

from roost.errors import StorageError
from roost.storage.writer import Writer

logger = logging.getLogger("roost.storage")

_THREADS = 2


class Checkpoints:
    """Makes checkpoints; `finished` is called on the owner's thread after each that succeeded."""

    def __init__(self, post: Callable[[Callable[[], None]], None], finished: Callable[[Writer], None]) -> None:
        self._post = post
        self._finished = finished
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-checkpoint")
        self._running: dict[Writer, tuple[object, Future[bool]]] = {}

    def begin(self, writer: Writer) -> bool:
        """Begin a checkpoint, if that is possible now."""
        if not writer.may_checkpoint():
            return False
        writer.checkpointing = True
        writer.database.begin_checkpoint()
        ticket = object()
        self._running[writer] = ticket, self._threads.submit(self._run, writer, ticket)
        return True

    def wait(self) -> None:
        """Wait for those that are running, and end them."""
        while self._running:
            writer, (ticket, running) = next(iter(self._running.items()))
            self._end(writer, ticket, running.result())

    def close(self) -> None:
        """Wait, and end the threads."""
        self.wait()
        self._threads.shutdown()

    def _run(self, writer: Writer, ticket: object) -> bool:
        succeeded = self._make(writer)
        try:
            self._post(lambda: self._end(writer, ticket, succeeded))
        except RuntimeError:
            logger.debug("the loop is closed; whoever waits for the checkpoint ends it")
        return succeeded

    def _make(self, writer: Writer) -> bool:
        try:
            writer.checkpoint()
        except apsw.Error as error:
            logger.warning("%s could not be brought up to date: %s", writer.database.path, error)
            return False
        except OSError as error:
            writer.failure = StorageError(f"{writer.database.path} cannot be made durable: {error}")
            logger.error("%s; it is not used again before the next start", writer.failure)
            return False
        return True

    def _end(self, writer: Writer, ticket: object, succeeded: bool) -> None:
        running = self._running.get(writer)
        if running is None or running[0] is not ticket:
            return  # somebody who waited ended it already
        del self._running[writer]
        writer.checkpointing = False
        if succeeded:
            self._finished(writer)
