"""Objects that were there before history was kept: theirs begins with what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from roost.errors import StorageCorruptError
from roost.history.base import Base, Based
from roost.history.shelf import Shelf
from roost.storage.database import Database
from roost.storage.journal.record import PAGE_BYTES

_SYNCED_AT_ONCE = 1_000
_NUMBER_BITS = 21
"""A life of an object numbers its commits from what its file says on, by no more than so many bits."""


def adopt(data: Path | str, now_ms: int) -> int:
    """Copy every object's file into the base; how many there were. No host may run, and the journals must be empty.

    Those that are there already are left as they are. Raises OSError when there is no room, StorageCorruptError when a
    file is no database.
    """
    shelf = Shelf(data)
    base = Base(shelf)
    count, paths = 0, []
    with shelf.changing():
        for binding, source in _files(Path(data) / "objects"):
            key = bytes.fromhex(source.stem)
            if not Database.exists(source) or base.about(binding, key) is not None:
                continue
            about = Based(_commit_of(source), now_ms, source.stat().st_size // PAGE_BYTES)
            paths.append(base.put(binding, key, source, about))
            count += 1
            if len(paths) >= _SYNCED_AT_ONCE:
                base.sync(paths)
                paths.clear()
        base.sync(paths)
    return count


def _files(objects: Path) -> Iterator[tuple[str, Path]]:
    for binding in sorted(path for path in objects.iterdir() if path.is_dir()):
        for directory, _, names in os.walk(binding):
            for name in sorted(names):
                if name.endswith(".sqlite"):
                    yield binding.name, Path(directory) / name


def _commit_of(path: Path) -> int:
    """A number that none of its commits is above, and none that will come is below."""
    try:
        connection = apsw.Connection(
            f"{path.absolute().as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            base = connection.execute("SELECT value FROM _roost_meta WHERE key = 'commit'").get
        finally:
            connection.close()
    except apsw.Error as error:
        raise StorageCorruptError(f"{path} is no database of an object: {error}") from error
    return int(base or 0) + (1 << _NUMBER_BITS) - 1
