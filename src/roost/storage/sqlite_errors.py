"""SQLite's errors, said in roost's words."""

from __future__ import annotations

from pathlib import Path

import apsw

from roost.errors import StorageCorruptError, StorageError, StorageFullError, TurnRolledBackError
from roost.storage.files import is_out_of_space


def translated(error: apsw.Error | OSError, path: Path, size_max: int) -> StorageError:
    """What a failure of an object's database means to the caller; to be raised from `error`."""
    if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and is_out_of_space(error)):
        return StorageFullError(
            f"the database of the object is full: it reached {size_max} bytes, or the disk has no space left ({path})"
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return StorageCorruptError(f"{path} does not check out: {error}")
    if isinstance(error, apsw.ConstraintError):
        return TurnRolledBackError(f"the turn was rolled back to the last good state: {error}")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StorageError(f"{path} is held by another program: {error}")
    return StorageError(f"the database of the object failed: {error} ({path})")
