# What the agenda's file holds, for whoever may read it: its own host, and people who look.
#
#  (1) Other processes may read at any time, by `readers_of`: SQLite keeps a reader's view and the host's writes apart,
#      so neither waits for the other, and no object's file is touched.
#  (2) The file lags behind what the host knows by `WRITE_SECONDS` of the agenda at most, as long as it can be written.
"""Reading the agenda's file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.storage.alarms.agenda_window import Entry, Moment
from roost.storage.files import is_out_of_space

NAME = "agenda.sqlite"
BUSY_MS = 10_000  # only who first opens what a killed host left makes others wait, for as long as it takes to read that
_LOAD = """
    SELECT key, binding, name, due, at, tries FROM alarms
    WHERE (at, key) > (?, ?) AND binding IN (SELECT value FROM json_each(?))
    ORDER BY at, key LIMIT ?
"""
_NEXT = "SELECT key, binding, name, due, at, tries FROM alarms ORDER BY at, key LIMIT ?"
_ALL = "SELECT key, binding, name, due, at, tries FROM alarms"
_FIND = "SELECT key, binding, name, due, at, tries FROM alarms WHERE key IN (SELECT unhex(value) FROM json_each(?))"
_FAILED = """
    SELECT key, binding, name, alarm, scheduled, failed_at, error FROM failed
    ORDER BY failed_at DESC, number DESC LIMIT ?
"""
_COUNTS = "SELECT binding, count(*) FROM alarms GROUP BY binding ORDER BY binding"
_COMPLETE = "SELECT value FROM meta WHERE name = 'complete'"


class Failed(msgspec.Struct, frozen=True):
    """An alarm that was given up, and the object that had set it."""

    key: bytes
    binding: str
    name: str | None
    """Of the object."""
    alarm: str
    """The alarm's key; empty for the one without."""
    scheduled: int
    failed_at: int
    error: str


class AgendaReader:
    """What can be asked of a file; `connection` is to it. Raises StorageError and its kinds."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.path = path
        self.connection = connection

    def load(self, after: Moment, count: int, bindings: Sequence[str]) -> list[Entry]:
        """The next entries of these classes, in their order."""
        return self._entries(_LOAD, (*after, json_text(list(bindings)), count))

    def next(self, count: int) -> list[Entry]:
        """The entries that ring next, of whatever class."""
        return self._entries(_NEXT, (count,))

    def find(self, keys: Iterable[bytes]) -> list[Entry]:
        """The entries of those objects that have one."""
        return self._entries(_FIND, (json_text([key.hex() for key in keys]),))

    def entries(self) -> Iterator[Entry]:
        """All of them, in no order."""
        with translated(self.path):
            for row in self.connection.execute(_ALL):
                yield Entry(*row)

    def counts(self) -> dict[str, int]:
        """How many objects of each class have an alarm."""
        with translated(self.path):
            return dict(self.connection.execute(_COUNTS))

    def failed(self, count: int) -> list[Failed]:
        """The alarms that were given up, the latest first."""
        with translated(self.path):
            return [Failed(*row) for row in self.connection.execute(_FAILED, (count,))]

    def is_complete(self) -> bool:
        """Whether it knows every object that has an alarm."""
        with translated(self.path):
            return bool(self.connection.execute(_COMPLETE).get == 1)

    def _entries(self, query: str, bindings: tuple[Any, ...]) -> list[Entry]:
        with translated(self.path):
            return [Entry(*row) for row in self.connection.execute(query, bindings)]


@contextlib.contextmanager
def readers_of(data: Path) -> Iterator[list[AgendaReader]]:
    """The files of all hosts of a data directory, whether they run or not."""
    readers: list[AgendaReader] = []
    try:
        for path in sorted((data / "hosts").glob(f"*/{NAME}")):
            with translated(path):
                readers.append(AgendaReader(path, connect(path)))
                readers[-1].connection.pragma("query_only", True)
        yield readers
    finally:
        for reader in readers:
            reader.connection.close(True)


def connect(path: Path) -> apsw.Connection:
    """A connection to a file that is there. Raises apsw.Error."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MS)
    return connection


def json_text(rows: list[Any]) -> str:
    """As a statement's argument."""
    return msgspec.json.encode(rows).decode()


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises StorageFullError, StorageCorruptError or StorageError for what SQLite and the system raise."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        if _is_full(error):
            raise StorageFullError(f"no space left for the agenda of alarms {path}: {error}") from error
        raise _kind(error)(f"the agenda of alarms {path} cannot be used: {error}") from error


def _is_full(error: apsw.Error | OSError) -> bool:
    """Whether there is no space left; where its shared memory cannot grow, SQLite says only that."""
    if isinstance(error, OSError):
        return is_out_of_space(error)
    if isinstance(error, apsw.FullError):
        return True
    return isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def _kind(error: apsw.Error | OSError) -> type[StorageError]:
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.SQLError)):
        return StorageCorruptError  # a statement that does not fit the tables is as bad as a page that does not
    return StorageError
