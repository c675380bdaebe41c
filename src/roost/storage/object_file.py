"""The file of an object, as it comes to be."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from roost.storage.layout import make_private

_LEFT = ("-wal", "-shm", "-journal")


def open_or_make(path: Path) -> int:
    """Open an object's file for writing; where it is not there it is made, for nobody but the user, and empty.

    The descriptor. The file's name is not durable before its directories are synced. What SQLite once left beside the
    file is removed: it must not be read.
    """
    make_private(path.parent)
    remove_left_behind(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def remove_left_behind(path: Path) -> None:
    """Remove the logs that SQLite keeps beside a file: what they hold is in the journal, or was never confirmed."""
    for suffix in _LEFT:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
