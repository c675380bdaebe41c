# The host's side of its background writer.
#
#  (1) It is started when it is first asked something, and again when it is gone, though not at once.
#  (2) Whoever asks waits, on a thread of its own, and may be told that the writer is gone: then nothing is known of the
#      errand, and the host does it itself.
#  (3) It inherits the lock of the host's slot: where the host is killed, nobody else has the slot before the writer has
#      ended too, which it does at once.
"""BackgroundWriter: the child process that writes objects' files for a host."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from roost.storage.background.errands import Done, Errand, Failed, UnsyncedError, receive_answer, send

logger = logging.getLogger("roost.storage")

CONNECTIONS = 4
"""How many errands are done at a time."""
_SENT_BYTES = 1024 * 1024  # that may be on the way before whoever sends must wait
_RETRY_SECONDS = 10.0
_END_SECONDS = 5.0
_CHILD = Path(__file__).with_name("child.py")


class BackgroundLostError(Exception):
    """There is no background writer: whoever asked does it itself."""


class BackgroundWriter:
    """Asks a child process; `lock` is the descriptor of the slot's lock. Any thread may ask."""

    def __init__(self, lock: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = lock
        self._clock = clock
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._free: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        """Connections that nobody waits on. None: there is no use in waiting for one."""
        self._retry_at = 0.0
        self._may_start = True

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def ask(self, errand: Errand, body: Sequence[bytes | memoryview] = ()) -> Done:
        """Have something done; blocks until it is.

        Raises OSError as the child met it, UnsyncedError where that was in a sync, and BackgroundLostError.
        """
        free = self._running()
        connection = free.get()
        if connection is None:
            free.put(None)  # for the next one who waits
            raise BackgroundLostError("the background writer is gone")
        try:
            send(connection, errand, body)
            answer = receive_answer(connection)
        except (OSError, EOFError) as error:
            connection.close()
            self._lost(free)
            raise BackgroundLostError("the background writer is gone") from error
        self._give_back(free, connection)
        return _checked(answer)

    def start_no_more(self) -> None:
        """The host is about to end: use the child if it is there."""
        self._may_start = False

    def close(self) -> None:
        """End the child; nobody asks any more."""
        self._may_start = False
        with self._changing:
            process, self._process = self._process, None
            _close_all(self._free)  # it ends when the first of them is closed
        if process is not None:
            _end(process)

    def _running(self) -> queue.SimpleQueue[socket.socket | None]:
        """The connections of the child, which is started if need be."""
        with self._changing:
            if self._process is None:
                if not self._may_start or self._clock() < self._retry_at:
                    raise BackgroundLostError("there is no background writer now")
                self._start()
            return self._free

    def _start(self) -> None:
        ours: list[socket.socket] = []
        theirs: list[socket.socket] = []
        try:
            for _ in range(CONNECTIONS):
                for ends, end in zip((ours, theirs), socket.socketpair(), strict=True):
                    ends.append(end)
            descriptors = [end.fileno() for end in theirs]
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_CHILD), *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[*descriptors, self._lock],
                start_new_session=True,  # Ctrl-C on the terminal is the host's affair
            )
        except OSError as error:
            for end in ours:
                end.close()
            self._retry_at = self._clock() + _RETRY_SECONDS
            logger.warning("no background writer can be started, so its work is done by the host itself: %s", error)
            raise BackgroundLostError("the background writer cannot be started") from error
        finally:
            for end in theirs:
                end.close()
        self._free = queue.SimpleQueue()
        for end in ours:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_BYTES)
            self._free.put(end)

    def _give_back(self, free: queue.SimpleQueue[socket.socket | None], connection: socket.socket) -> None:
        with self._changing:
            if free is self._free and self._process is not None:
                free.put(connection)
            else:
                connection.close()

    def _lost(self, free: queue.SimpleQueue[socket.socket | None]) -> None:
        """One of its connections is broken: it is gone, or of no use any more."""
        with self._changing:
            if free is not self._free or self._process is None:
                return
            process, self._process = self._process, None
            self._retry_at = self._clock() + _RETRY_SECONDS
            status = _end(process)  # nobody goes on before it has written its last
            _close_all(free)
        free.put(None)
        logger.warning("the background writer ended with status %d; the host does its work itself for a while", status)


def _close_all(free: queue.SimpleQueue[socket.socket | None]) -> None:
    with contextlib.suppress(queue.Empty):
        while (connection := free.get_nowait()) is not None:
            connection.close()


def _end(process: subprocess.Popen[bytes]) -> int:
    """See to it that a child ends."""
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _checked(answer: Done | Failed) -> Done:
    if isinstance(answer, Done):
        return answer
    if answer.errno is None:
        raise BackgroundLostError(answer.message)
    if answer.is_unsynced:
        raise UnsyncedError(answer.errno, answer.message)
    raise OSError(answer.errno, answer.message)
