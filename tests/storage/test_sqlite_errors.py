"""SQLite's errors in roost's words."""

from __future__ import annotations

import errno
from pathlib import Path

import apsw
import pytest

from roost.errors import StorageCorruptError, StorageError, StorageFullError, TurnRolledBackError
from roost.storage.sqlite_errors import translated


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (apsw.FullError("full"), StorageFullError, "it reached 99 bytes, or the disk has no space left"),
        (apsw.CorruptError("malformed"), StorageCorruptError, "/x/y does not check out: malformed"),
        (apsw.NotADBError("not a database"), StorageCorruptError, "does not check out"),
        (apsw.ConstraintError("FOREIGN KEY"), TurnRolledBackError, "rolled back to the last good state: FOREIGN KEY"),
        (apsw.BusyError("locked"), StorageError, "held by another program"),
        (apsw.IOError("disk I/O error"), StorageError, "the database of the object failed: disk I/O error"),
        (OSError(errno.ENOSPC, "no space"), StorageFullError, "the disk has no space left"),
        (OSError("boom"), StorageError, "the database of the object failed: boom"),
    ],
)
def test_each_kind_is_said_clearly(error: apsw.Error | OSError, kind: type[StorageError], message: str) -> None:
    told = translated(error, Path("/x/y"), 99)
    assert type(told) is kind
    assert message in str(told)
