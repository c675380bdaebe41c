# Fetching of an archive only what it has of one object.
#
#  (1) The copy has the size of the archive, and holes where there is something of others: so whatever is read of it is
#      read, and checked, as from the whole.
#  (2) A small one is fetched whole: its bytes cost less than three requests.
"""Archives in a target, fetched in part."""

from __future__ import annotations

from pathlib import Path

from roost.backup.target import Target
from roost.history.archive import FOOT_BYTES, ArchiveReader, index_at

WHOLE_BYTES = 256 * 1024


def fetch_of(target: Target, name: str, key: bytes, path: Path) -> None:
    """Make a copy of an archive at `path` that has the records of this object, and the index of all.

    Raises BackupError when it cannot be fetched, StorageCorruptError when it does not check out.
    """
    size = target.size(name)
    path.unlink(missing_ok=True)
    if size <= WHOLE_BYTES:
        _fetch(target, name, path, 0, size)
        return
    _fetch(target, name, path, size - FOOT_BYTES, FOOT_BYTES)
    with path.open("rb") as file:
        file.seek(size - FOOT_BYTES)
        index = min(index_at(file.read()), size)
    _fetch(target, name, path, index, size - index)
    with ArchiveReader(path) as archive:
        places = archive.places(key)
    for place in places:
        _fetch(target, name, path, *place)


def _fetch(target: Target, name: str, path: Path, start: int, length: int) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(start)
        for piece in target.stream(name, start, length) if length else ():
            file.write(piece)
