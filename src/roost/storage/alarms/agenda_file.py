# The part of the agenda that is on disk: a row for each object that has an alarm, in one SQLite file for each host.
#
#  (1) It is an index and no more: the truth is in the objects' own files, and in the journal. A file that is missing,
#      of another version or damaged is replaced by an empty one that says of itself that it is not complete; then the
#      alarms are looked for where they are, see `agenda_scan`.
#  (2) Ordinary writes are not synced. `sync=True` makes this write and all before it durable: they are in one file,
#      the write-ahead log, which is synced as a whole. Until then the journal has what was written.
#  (3) A batch is one statement, given its rows as JSON: the interpreter is let go of once for all of them, not for
#      each.
#  (4) `at` is later than `due` only after attempts to ring that failed. Those are forgotten when a host opens the file:
#      its successor, which may be a new version of the app, tries at once.
"""The agenda's file."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw
import msgspec

from roost.errors import StorageCorruptError
from roost.storage.alarms.agenda_reader import NAME, AgendaReader, Failed, connect, json_text, translated
from roost.storage.alarms.agenda_window import Entry
from roost.storage.files import sync_directory
from roost.storage.layout import make_private

logger = logging.getLogger("roost.storage")

FAILED_MAX = 1_000
"""Failed alarms that are listed for a host; of one object, its own file has the last few."""
_VERSION = 1
_CACHE_KIB = 8_000
_CHECKPOINT_PAGES = 8_000
"""Keys are spread over the whole file, so nearly every row of a batch has a page of its own: with these, a batch of
16 000 in a file of 300 000 rows takes half as long as with SQLite's defaults (`benchmarks/storage_alarms.py`)."""
_SCHEMA = """
    PRAGMA journal_mode = WAL;
    BEGIN;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE alarms (
        key BLOB PRIMARY KEY, at INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL,
        binding TEXT NOT NULL, name TEXT
    ) WITHOUT ROWID;
    CREATE INDEX alarms_at ON alarms (at);
    CREATE INDEX alarms_deferred ON alarms (key) WHERE at <> due;
    CREATE TABLE failed (
        number INTEGER PRIMARY KEY, key BLOB NOT NULL, binding TEXT NOT NULL, name TEXT,
        alarm TEXT NOT NULL, scheduled INTEGER NOT NULL, failed_at INTEGER NOT NULL, error TEXT NOT NULL,
        UNIQUE (key, alarm, failed_at)
    );
    INSERT INTO meta VALUES ('syncs', 0), ('complete', 0);
    PRAGMA user_version = 1;
    COMMIT;
"""
_PUT = """
    INSERT INTO alarms
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?)
    WHERE true
    ON CONFLICT (key) DO UPDATE SET at = excluded.at, due = excluded.due, tries = excluded.tries,
        binding = excluded.binding, name = coalesce(excluded.name, name)
"""
_REMOVE = "DELETE FROM alarms WHERE key IN (SELECT unhex(value) FROM json_each(?))"
_FAIL = "INSERT OR IGNORE INTO failed VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
_TRIM_FAILED = "DELETE FROM failed WHERE number <= (SELECT max(number) FROM failed) - ?"
_FORGIVE = "DELETE FROM failed WHERE key = ? AND alarm = ?"
_DEFERRED = "UPDATE alarms SET at = due, tries = 0 WHERE at <> due"
_SET_COMPLETE = "UPDATE meta SET value = ? WHERE name = 'complete'"
_COUNT_SYNC = "UPDATE meta SET value = value + 1 WHERE name = 'syncs'"


class Content(Protocol):
    """What a record of the journal says of alarms."""

    @property
    def key(self) -> bytes: ...
    @property
    def binding(self) -> str: ...
    @property
    def alarm(self) -> int | None: ...


def entry_of(content: Content) -> Entry:
    """The entry that a record tells of. Records carry no names."""
    return Entry(content.key, content.binding, None, content.alarm, content.alarm or 0)


class Changes(msgspec.Struct):
    """What one batch changes."""

    entries: Iterable[Entry] = ()
    """One for each object; those that are not due at all are removed."""
    failed: Sequence[Failed] = ()
    forgiven: Sequence[tuple[bytes, str]] = ()
    """Failed alarms, by object and alarm's key, that are not listed any more."""
    complete: bool | None = None
    """From now on the file knows every object that has an alarm, or does not; None: as before."""


class AgendaFile(AgendaReader):
    """The file of one host, for the process that owns the host. Use it on one thread at a time.

    Raises StorageFullError when there is no room, StorageCorruptError when it turns out to be damaged, StorageError.
    """

    def __init__(self, directory: Path, *, complete: bool) -> None:
        """`complete`: should there be no file, a new one knows every alarm, because there can be none yet."""
        path = directory / NAME
        super().__init__(path, _open_or_replace(path, complete))
        self.complete = self.is_complete()
        """Whether it knows every object that has an alarm."""

    def replace(self, error: StorageCorruptError) -> None:
        """It cannot be read any more: go on with an empty one, which is not complete."""
        with contextlib.suppress(apsw.Error):
            self.connection.close(True)
        with translated(self.path):
            _put_aside(self.path, error)
            self.connection = _create(self.path, complete=False)
        self.complete = False

    def write(self, changes: Changes, *, sync: bool = False) -> None:
        """Make the changes, all or none; with `sync` they, and all before them, are durable afterwards."""
        due = [_row(entry) for entry in changes.entries if entry.due is not None]
        gone = [entry.key.hex() for entry in changes.entries if entry.due is None]
        execute = self.connection.execute
        with translated(self.path):
            execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            with self.connection:
                if due:
                    execute(_PUT, (json_text(due),))
                if gone:
                    execute(_REMOVE, (json_text(gone),))
                self._write_failed(changes)
                if changes.complete is not None:
                    execute(_SET_COMPLETE, (int(changes.complete),))
                if sync:
                    execute(_COUNT_SYNC)  # so that there is something to sync
        if changes.complete is not None:
            self.complete = changes.complete

    def replay(self, contents: Iterable[Content]) -> None:
        """What the journal tells after a crash, in its order; durable when it returns."""
        entries = {content.key: entry_of(content) for content in contents}
        self.write(Changes(entries.values()), sync=True)

    def _write_failed(self, changes: Changes) -> None:
        if changes.failed:
            self.connection.executemany(_FAIL, [msgspec.structs.astuple(one) for one in changes.failed])
            self.connection.execute(_TRIM_FAILED, (FAILED_MAX,))
        if changes.forgiven:
            self.connection.executemany(_FORGIVE, changes.forgiven)

    def close(self) -> None:
        """Let go of the file."""
        with translated(self.path):
            self.connection.close()


def distrust(data: Path) -> None:
    """Objects' files were changed while no host ran: the agendas may be wrong. The next start makes them anew from the
    objects' files, beside the work."""
    for path in sorted((data / "hosts").glob(f"*/{NAME}")):
        file = AgendaFile(path.parent, complete=False)
        file.write(Changes(complete=False), sync=True)
        file.close()


def _open_or_replace(path: Path, complete: bool) -> apsw.Connection:
    with translated(path):
        if not path.exists():
            return _create(path, complete)
    try:
        return _open(path)
    except StorageCorruptError as error:
        with translated(path):
            _put_aside(path, error)
            return _create(path, complete=False)


def _open(path: Path) -> apsw.Connection:
    with translated(path):
        connection = _connect(path)
        try:
            version = connection.pragma("user_version")
            if version != _VERSION:
                raise apsw.NotADBError(f"it has version {version}, this roost writes {_VERSION}")
            connection.execute(_DEFERRED)
        except BaseException:
            connection.close(True)
            raise
        return connection


def _create(path: Path, complete: bool) -> apsw.Connection:
    make_private(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(path)
    connection.execute(_SCHEMA).fetchall()
    connection.execute(_SET_COMPLETE, (int(complete),))
    sync_directory(path.parent)
    return connection


def _connect(path: Path) -> apsw.Connection:
    connection = connect(path)
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}").fetchall()
    connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
    return connection


def _put_aside(path: Path, error: Exception) -> None:
    logger.warning("the agenda of alarms is made anew from the objects' files: %s", error)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(f"{NAME}.damaged"))


def _row(entry: Entry) -> tuple[Any, ...]:
    return (entry.key.hex(), entry.at, entry.due, entry.tries, entry.binding, entry.name)
