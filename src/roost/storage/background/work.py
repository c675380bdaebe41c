# What the background writer does.
#
#  (1) Everything here is what the host could do itself, and does when the writer is gone: to do it again, whole, after
#      any part of it was done, does no harm.
#  (2) The host sees to it that nobody else writes to a file meanwhile. A descriptor of ours can be closed at any time:
#      the locks of SQLite that closing could drop are those of another process.
#  (3) Of a crash only what is plain is recovered here: an object that has lost commits, whose pages stand elsewhere, or
#      with whom anything goes wrong is left to the host, which tells the trouble to whoever wants the object.
"""Doing the errands of a host."""

from __future__ import annotations

import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roost.errors import StorageCorruptError, StorageError
from roost.storage.background.errands import (
    Answer,
    Done,
    Errand,
    Failed,
    ReadJournal,
    Recover,
    SyncNames,
    UnsyncedError,
    WritePages,
    receive_errand,
    receive_exactly,
    send,
)
from roost.storage.files import Files, sync_directory, sync_file, write_all
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.layout import DataDirectory
from roost.storage.object_file import open_or_make
from roost.storage.recovery.replay import Replay, names_of, sync_names, sync_object
from roost.storage.recovery.survey import Survey
from roost.storage.sums import keep_sums, remove_sums, runs

logger = logging.getLogger("roost.storage")

_RUN_PAGES_MAX = 64
_SYNC_THREADS = 3


class Work:
    """Does the errands that come over some connections, one at a time over each."""

    def __init__(self) -> None:
        self._recovering: Recovering | None = None

    def serve(self, connection: socket.socket) -> None:
        """Do what is asked over one connection. Raises EOFError when the host is gone."""
        while True:
            errand, body = receive_errand(connection)
            incoming = Body(connection, body)
            answer = self._answer(errand, incoming)
            incoming.skip()
            send(connection, answer)

    def _answer(self, errand: Errand, body: Body) -> Answer:
        try:
            return self._do(errand, body)
        except OSError as error:
            return Failed(error.strerror or str(error), error.errno, isinstance(error, UnsyncedError))
        except StorageError as error:
            return Failed(str(error))

    def _do(self, errand: Errand, body: Body) -> Done:
        match errand:
            case WritePages():
                write_pages(errand, body)
                return Done()
            case ReadJournal():
                self._recovering = Recovering(errand)
                return Done()
            case Recover():
                return Done(self._known().recover(errand.keys))
            case SyncNames():
                self._known().sync_names(errand.keys)
                return Done()

    def _known(self) -> Recovering:
        if self._recovering is None:
            raise StorageError("no journal was read that could be recovered from")
        return self._recovering


class Body:
    """The bytes that follow a message, as far as they were not read yet."""

    def __init__(self, connection: socket.socket, length: int) -> None:
        self._connection = connection
        self.left = length

    def read(self, length: int) -> memoryview:
        """The next so many bytes."""
        assert length <= self.left, "the host names the pages that it sends"
        self.left -= length
        return receive_exactly(self._connection, length)

    def skip(self) -> None:
        """Let go of the rest."""
        while self.left:
            self.read(min(self.left, _RUN_PAGES_MAX * PAGE_BYTES))


def write_pages(errand: WritePages, body: Body) -> None:
    """Do what it asks. Raises UnsyncedError, or another OSError where the writes have failed."""
    path = Path(errand.path)
    fd = _made(path) if errand.is_new else os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for first, count in runs(errand.pages, _RUN_PAGES_MAX):
            write_all(Files(), fd, body.read(count * PAGE_BYTES), (first - 1) * PAGE_BYTES)
        if errand.size_pages and os.fstat(fd).st_size != errand.size_pages * PAGE_BYTES:
            os.ftruncate(fd, errand.size_pages * PAGE_BYTES)
        try:
            sync_file(fd)
            keep_sums(path, fd, {*errand.pages, *errand.unsummed}, name_too=not errand.is_new)
            if errand.is_new:
                sync_names([path])
        except OSError as error:
            raise UnsyncedError(*error.args) from error
    finally:
        os.close(fd)


def _made(path: Path) -> int:
    """A file that has not been durable: all of its checksums are made anew."""
    remove_sums(path)
    return open_or_make(path)


class Recovering:
    """Brings objects' files to what the journal has of them. Raises StorageError when it cannot be read."""

    def __init__(self, errand: ReadJournal) -> None:
        self._layout = DataDirectory(errand.data)
        self._survey = Survey(Path(errand.slot), only={Path(path) for path in errand.segments})
        self._lock = threading.Lock()
        self._last: tuple[int, list[Record]] = (-1, [])
        """The entry that was read last, and its records: objects come in the order of their entries."""

    def recover(self, keys: list[bytes]) -> list[bytes]:
        """Recover these objects, as far as that is plain; those that were."""
        plain = {key for key in keys if (traces := self._survey.objects.get(key)) is not None and not traces.lost}
        try:
            replay, failed = self._replayed(plain)
        except StorageCorruptError as error:
            logger.warning("%d objects are recovered one by one: %s", len(plain), error)
            return []
        with ThreadPoolExecutor(_SYNC_THREADS) as threads:
            done = list(threads.map(lambda key: self._sync(key, replay), plain - failed))
        return [key for key in done if key is not None]

    def sync_names(self, keys: list[bytes]) -> None:
        """Make the names of their files durable."""
        with ThreadPoolExecutor(_SYNC_THREADS) as threads:
            for directories in names_of(map(self._path, keys)):
                list(threads.map(sync_directory, directories))

    def _replayed(self, keys: set[bytes]) -> tuple[Replay, set[bytes]]:
        """Write what the journal has of them, newest first; those with whom that did not go well."""
        replay, failed = Replay(), set[bytes]()
        places = {place for key in keys for place in self._survey.objects[key].places}
        try:
            for place in sorted(places, reverse=True):
                for record in reversed(self._records(place)):
                    if record.key in keys and record.key not in failed and not self._apply(replay, record):
                        failed.add(record.key)
        finally:
            replay.close()
        return replay, failed

    def _records(self, place: int) -> list[Record]:
        with self._lock:
            if self._last[0] != place:
                self._last = (place, list(self._survey.places[place].records()))
            return self._last[1]

    def _apply(self, replay: Replay, record: Record) -> bool:
        if record.aside:
            return False
        try:
            replay.apply(self._path(record.key), record)
        except OSError as error:
            logger.warning("object %s cannot be recovered now: %s", record.key.hex(), error)
            return False
        return True

    def _sync(self, key: bytes, replay: Replay) -> bytes | None:
        path = self._path(key)
        try:
            sync_object(path, replay.pages(path))
        except OSError as error:
            logger.warning("object %s cannot be recovered now: %s", key.hex(), error)
            return None
        return key

    def _path(self, key: bytes) -> Path:
        return self._layout.object_path(self._survey.objects[key].binding, key)
