# Where the history of a data directory lies, in which order, and who may touch it when.
#
# DIR/history/lock                                            flock: shared for readers, exclusive for trimming
# DIR/history/naming                                          flock: held while an archive is given its name
# DIR/history/state                                           what was folded into the base
# DIR/history/archives/<order>-<slot>-<sequence hex>.archive  one segment of a journal
# DIR/history/base/<binding>/<2 hex digits>/<64>.sqlite       one file per object, as of the oldest archive's beginning
# DIR/history/imported/<64>-<commit hex>.sqlite               a database that is to take an object's place
#
#  (1) Archives have their place in the order of the whole directory from the moment that they are named, and segments
#      are kept in the order of their use. A host takes over an object only when the segments of its former host were
#      kept. So the commits of any one object stand in that order.
#  (2) A segment that has an archive is not given another. Should two processes give it two all the same, no harm is
#      done: whoever reads goes on only to commits that are later than the last.
#  (3) The oldest archive goes first, over the whole directory, and `state` names it while it goes: until that says that
#      it has gone, what it changes in the base may be half done, and is done again.
"""DIR/history: the archives in order, and the locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.files import sync_directory
from roost.storage.layout import make_private, write_durably

_NAME = re.compile(r"\d{10}-\d+-[0-9a-f]+\.archive")


class ShelfState(msgspec.Struct, frozen=True):
    """What the base holds."""

    order: int = 0
    """The place of the last archive that was folded into it."""
    folding: str = ""
    """The name of the archive that is being folded into it."""


class Shelf:
    """The history of one data directory; made where it is not there."""

    def __init__(self, data: Path | str) -> None:
        self.data = Path(data)
        self.path = self.data / "history"
        self.base = self.path / "base"
        self._archives = self.path / "archives"

    # Archives.

    def archives(self) -> list[Path]:
        """All of them, oldest first."""
        try:
            names = os.listdir(self._archives)
        except FileNotFoundError:
            return []
        return [self._archives / name for name in sorted(names) if _NAME.fullmatch(name)]

    def new(self, slot: int, sequence: int) -> Path:
        """A temporary name for the archive of a segment; one that an interrupted attempt left behind is removed."""
        _make_durably(self._archives)
        for left in self._archives.glob(f"{slot}-{sequence:x}.*.new"):
            left.unlink(missing_ok=True)
        return self._archives / f"{slot}-{sequence:x}.{os.getpid()}.new"

    def find(self, slot: int, sequence: int) -> Path | None:
        """The archive of a segment, if it has one."""
        suffix = f"-{slot}-{sequence:x}.archive"
        return next((path for path in self.archives() if path.name.endswith(suffix)), None)

    def place(self, new: Path, slot: int, sequence: int) -> Path:
        """Give a whole and durable archive its place behind all others."""
        with self._locked("naming", fcntl.LOCK_EX):
            present = self.archives()
            last = max(order_of(present[-1]) if present else 0, self.state().order)
            path = self._archives / f"{last + 1:010d}-{slot}-{sequence:x}.archive"
            new.rename(path)
            sync_directory(self._archives)
        return path

    def remove(self, archive: Path) -> None:
        """Remove an archive that was folded, durably."""
        archive.unlink(missing_ok=True)
        sync_directory(self._archives)

    def imported(self, key: bytes, commit: int) -> Path:
        """Where a database stands that was brought from elsewhere, as if the object had held it after that commit."""
        _make_durably(self.path / "imported")
        return self.path / "imported" / f"{key.hex()}-{commit:x}.sqlite"

    # What was folded.

    def state(self) -> ShelfState:
        """Up to where the base reaches. Raises StorageCorruptError when it cannot be read."""
        path = self.path / "state"
        try:
            return msgspec.json.decode(path.read_bytes(), type=ShelfState)
        except FileNotFoundError:
            return ShelfState()
        except msgspec.DecodeError as error:
            raise StorageCorruptError(f"{path} does not say up to where the history was folded: {error}") from error

    def folding(self) -> Path | None:
        """The archive that was being folded when that was interrupted, to be asked for by those who read."""
        name = self.state().folding
        return self._archives / name if name and (self._archives / name).exists() else None

    def write_state(self, state: ShelfState) -> None:
        """Change it, durably."""
        write_durably(self.path / "state", msgspec.json.encode(state))

    # Locks.

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block nothing is trimmed. Waits while something is."""
        with self._locked("lock", fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def trimming(self) -> Iterator[bool]:
        """Whether archives may be folded within the block; not while somebody reads or trims."""
        try:
            with self._locked("lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except _BusyError:
            yield False

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Within the block nobody reads or trims. Waits for those who do."""
        with self._locked("lock", fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        _make_durably(self.path)
        fd = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, how)
            except BlockingIOError as error:
                raise _BusyError from error
            yield
        finally:
            os.close(fd)


def _make_durably(path: Path) -> None:
    """Make a directory whose name, and those of the new ones above it, a power failure does not take away."""
    if not path.is_dir():
        _make_durably(path.parent)
        make_private(path)
        sync_directory(path.parent)


class _BusyError(Exception):
    """Somebody else holds the lock."""


def order_of(archive: Path) -> int:
    """The place of an archive in the order of its directory."""
    return int(archive.name.partition("-")[0])
