# The times at which an object asks to be woken, in hidden tables of its own database.
#
#  (1) There is one row for each alarm that is set, until what became of its run is written: a crash in the middle of a
#      run leaves the row, and the alarm rings again.
#  (2) `setting` tells two settings of the same alarm apart, even to the same time. What becomes of a run concerns only
#      the setting that it ran for: an alarm that was set anew meanwhile stays as it was set.
#  (3) The tables are made when the first alarm is set, and the index with the first that has a name: an object without
#      alarms has nothing of them, and one with a single alarm no page more than it needs.
"""Alarms in the hidden tables: the statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

UNNAMED = ""
"""The name of the alarm that is set without a key."""
FAILED_KEPT = 10

_TABLE = """
    CREATE TABLE _roost_alarms (
        name TEXT PRIMARY KEY, due INTEGER NOT NULL, scheduled INTEGER NOT NULL, retries INTEGER NOT NULL,
        setting INTEGER NOT NULL
    ) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX IF NOT EXISTS _roost_alarms_due ON _roost_alarms (due)"
_FAILED_TABLE = """
    CREATE TABLE IF NOT EXISTS _roost_failed_alarms (
        name TEXT NOT NULL, scheduled INTEGER NOT NULL, failed_at INTEGER NOT NULL, error TEXT NOT NULL
    )
"""
_EXISTS = "SELECT 1 FROM sqlite_schema WHERE name = ?"
_EARLIEST = "SELECT min(due) FROM _roost_alarms"
_COLUMNS = "SELECT name, due, scheduled, retries, setting FROM _roost_alarms"
_GET = f"{_COLUMNS} WHERE name = ?"
_NEXT_DUE = f"{_COLUMNS} WHERE due <= ? ORDER BY due, name LIMIT 1"
_NAMED = "SELECT name, due FROM _roost_alarms WHERE name <> '' ORDER BY due, name"
_COUNT = "SELECT count(*) FROM _roost_alarms"
_SET = "INSERT OR REPLACE INTO _roost_alarms VALUES (?, ?, ?, 0, random())"
_DELETE = "DELETE FROM _roost_alarms WHERE name = ?"
_END = "DELETE FROM _roost_alarms WHERE name = ? AND setting = ?"
_RETRY = "UPDATE _roost_alarms SET due = ?, retries = ? WHERE name = ? AND setting = ?"
_ADD_FAILED = "INSERT INTO _roost_failed_alarms VALUES (?, ?, ?, ?)"
_TRIM_FAILED = """
    DELETE FROM _roost_failed_alarms WHERE rowid <= (SELECT max(rowid) FROM _roost_failed_alarms) - ?
"""
_FORGET_FAILED = "DELETE FROM _roost_failed_alarms WHERE name = ?"
_FAILED = "SELECT name, scheduled, failed_at, error FROM _roost_failed_alarms ORDER BY rowid"


Change = Callable[[apsw.Connection], object]
"""Changes alarms; what it returns is true where the change was made."""


class Alarm(msgspec.Struct, frozen=True):
    """One alarm that is set."""

    name: str
    """Its key, or `UNNAMED`."""
    due: int
    """When it rings next, in milliseconds since the epoch."""
    scheduled: int
    """When it was to ring at first."""
    retries: int
    """How many runs have failed."""
    setting: int

    @property
    def key(self) -> str | None:
        """The key that it was set with; None for the alarm without one."""
        return self.name or None


class FailedAlarm(msgspec.Struct, frozen=True):
    """An alarm that was given up after its last retry had failed."""

    name: str
    """The key that it was set with, or "" for the alarm without one."""
    scheduled: int
    """When it was to ring, in milliseconds since the epoch."""
    failed_at: int
    """When the last run failed."""
    error: str
    """What the last run raised."""

    @property
    def key(self) -> str | None:
        """The key that it was set with; None for the alarm without one."""
        return self.name or None


def earliest(connection: apsw.Connection) -> int | None:
    """When the first of them is due; None when none is set."""
    for (due,) in _rows(connection, _EARLIEST):
        return None if due is None else int(due)
    return None


def get(connection: apsw.Connection, name: str) -> Alarm | None:
    """The alarm of that name, if it is set."""
    for row in _rows(connection, _GET, (name,)):
        return Alarm(*row)
    return None


def next_due(connection: apsw.Connection, now_ms: int) -> Alarm | None:
    """Of those that are due, the one that was due first."""
    for row in _rows(connection, _NEXT_DUE, (now_ms,)):
        return Alarm(*row)
    return None


def named(connection: apsw.Connection) -> list[tuple[str, int]]:
    """Those with names, each with when it is due; the earliest first."""
    return [(str(name), int(due)) for name, due in _rows(connection, _NAMED)]


def count(connection: apsw.Connection) -> int:
    """How many are set."""
    return sum(int(number) for (number,) in _rows(connection, _COUNT))


def put(connection: apsw.Connection, name: str, due: int) -> None:
    """Set an alarm; it replaces the one of that name, and its retries."""
    if not _exists(connection, "_roost_alarms"):
        connection.execute(_TABLE)
    if name != UNNAMED:
        connection.execute(_INDEX)
    connection.execute(_SET, (name, due, due))


def delete(connection: apsw.Connection, name: str) -> bool:
    """Remove an alarm; whether it was set."""
    return _changed(connection, _DELETE, (name,))


def end(connection: apsw.Connection, alarm: Alarm) -> bool:
    """The alarm has run, and is over; false when it was set anew or deleted meanwhile."""
    return _changed(connection, _END, (alarm.name, alarm.setting))


def retry(connection: apsw.Connection, alarm: Alarm, due: int) -> bool:
    """The run failed, and there is to be another; false when it was set anew or deleted meanwhile."""
    return _changed(connection, _RETRY, (due, alarm.retries + 1, alarm.name, alarm.setting))


def add_failed(connection: apsw.Connection, failed: FailedAlarm) -> None:
    """Remember an alarm that was given up; of those, only the last few are kept."""
    connection.execute(_FAILED_TABLE)
    connection.execute(_ADD_FAILED, (failed.name, failed.scheduled, failed.failed_at, failed.error))
    connection.execute(_TRIM_FAILED, (FAILED_KEPT,))


def set_again(connection: apsw.Connection, name: str, due: int) -> bool:
    """Set an alarm that was given up, unless it was set since, and forget that it was."""
    if get(connection, name) is None:
        put(connection, name, due)
    connection.execute(_FORGET_FAILED, (name,))
    return True


def failed(connection: apsw.Connection) -> list[FailedAlarm]:
    """Those that were given up, the latest last."""
    return [FailedAlarm(*row) for row in _rows(connection, _FAILED, table="_roost_failed_alarms")]


def _changed(connection: apsw.Connection, statement: str, bindings: tuple[Any, ...]) -> bool:
    if not _exists(connection, "_roost_alarms"):
        return False
    connection.execute(statement, bindings)
    return connection.changes() > 0


def _rows(
    connection: apsw.Connection, query: str, bindings: tuple[Any, ...] = (), table: str = "_roost_alarms"
) -> list[Any]:
    """The rows of a query; none when the table was never made."""
    try:
        return connection.execute(query, bindings).fetchall()
    except apsw.SQLError:
        if _exists(connection, table):
            raise
        return []


def _exists(connection: apsw.Connection, table: str) -> bool:
    return bool(connection.execute(_EXISTS, (table,)).fetchall())
