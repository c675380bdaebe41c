"""The data directory: where everything lies, who may use it, and in which format it is.

DIR/format                                              the format's version
DIR/hosts/<slot>/lock                                   held (flock) by the process that owns the slot
DIR/hosts/<slot>/journal-<n>                            the segments of its journal
DIR/hosts/<slot>/side/                                  the pages of its largest commits
DIR/objects/<binding>/<2 hex digits>/<64>.sqlite        one file per object
DIR/restores/                                           objects that go back to an earlier commit when they next begin
DIR/upgrade.lock                                        held (flock) while the directory is brought to this format

Files are for nobody but their user (0600), directories too (0700), whatever the umask is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from roost.errors import DataDirectoryError, InvalidArgumentError
from roost.storage.files import Files, sync_directory, write_all

FORMAT = 2
_ORPHAN_SECONDS = 10.0  # that a sync of a disk which hangs may keep the child of a host that was killed
_ORPHAN_PAUSE_SECONDS = 0.005
_BINDING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class DataDirectory:
    """The paths of one data directory; made if it is not there, refused if it cannot be used.

    `upgrade` is called with a directory of the format before this one, and brings it up to date. Without it, such a
    directory is refused.
    """

    def __init__(self, path: Path | str, upgrade: Callable[[DataDirectory], None] | None = None) -> None:
        self.path = Path(path)
        try:
            for name in ("hosts", "objects", "restores"):
                make_private(self.path / name)
            sync_directory(self.path)
            self._check_format(upgrade)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def object_path(self, binding: str, key: bytes) -> Path:
        """Where the file of an object is, or would be."""
        if not _BINDING.fullmatch(binding):
            raise InvalidArgumentError(
                f"the binding {binding!r} cannot be a directory's name: use letters, digits and _"
            )
        digits = key.hex()
        return Path(f"{self.path}/objects/{binding}/{digits[:2]}/{digits}.sqlite")  # a join for each part costs 5 µs

    def slot(self, number: int) -> SlotLock:
        """Take the right to run host number `number`. Raises DataDirectoryError when another process has it."""
        return SlotLock(self.path, number)

    def slots(self) -> list[int]:
        """The numbers of all hosts that ever ran here."""
        return sorted(int(entry.name) for entry in (self.path / "hosts").iterdir() if entry.name.isdecimal())

    @property
    def format(self) -> str:
        """The format that the directory says it has; empty when it is new."""
        try:
            return (self.path / "format").read_text(errors="replace").strip()[:20]
        except FileNotFoundError:
            return ""

    def set_format(self, number: int) -> None:
        """Say durably which format the directory has."""
        write_durably(self.path / "format", f"{number}\n".encode())

    def upgrade_lock(self) -> int:
        """Wait until nobody else upgrades the directory; closing the descriptor lets the next one."""
        fd = os.open(self.path / "upgrade.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def _check_format(self, upgrade: Callable[[DataDirectory], None] | None) -> None:
        if not self.format:
            self.set_format(FORMAT)
        elif self.format == str(FORMAT - 1):
            if upgrade is None:
                raise DataDirectoryError(
                    f"{self.path} has storage format {self.format}; this version of roost reads format {FORMAT}:"
                    " start it once on this directory, which upgrades it"
                )
            upgrade(self)
        elif self.format != str(FORMAT):
            raise DataDirectoryError(
                f"{self.path} has storage format {self.format!r}; this version of roost reads format {FORMAT}:"
                " run the version that wrote it, or choose another data directory"
            )


class SlotLock:
    """The right to own a host's slot; it ends with `release`, or with the process."""

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.path = directory / "hosts" / str(number)
        try:
            make_durably(self.path)
            self._fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(directory, error) from error
        try:
            self._take()
        except OSError as error:
            holder = self._holder()
            os.close(self._fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _unusable(directory, error) from error
            raise DataDirectoryError(
                f"{directory} is in use by another roost: host {number} runs as process {holder or 'unknown'}"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @property
    def fd(self) -> int:
        """The descriptor that holds it. A child that inherits it holds the slot too, until it ends."""
        return self._fd

    def _take(self) -> None:
        """Take the lock; where the last holder was killed, once its child has ended too, which it is about to."""
        end = time.monotonic() + _ORPHAN_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end or _is_alive(self._holder()):
                    raise
                time.sleep(_ORPHAN_PAUSE_SECONDS)
            else:
                return

    def _holder(self) -> str:
        return os.pread(self._fd, 20, 0).decode(errors="replace").strip()

    def release(self) -> None:
        """Give the slot back."""
        os.close(self._fd)


def _is_alive(holder: str) -> bool:
    """Whether the process runs that a lock names; also where that cannot be told."""
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, PermissionError):
        return True  # as far as we can tell
    return True


def make_private(path: Path) -> None:
    """Make a directory, and those above it that are not there, for nobody but the user. Not durable by itself."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    except FileNotFoundError:
        make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def make_durably(path: Path) -> None:
    """Make a private directory, in one that is there, whose name survives a power failure."""
    if not path.is_dir():
        make_private(path)
    sync_directory(path.parent)


def write_durably(file: Path, content: bytes) -> None:
    """Put a small file in the place of what is there: after a crash it is there whole, or the one before is."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(Files(), fd, content, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.rename(file)
    sync_directory(file.parent)


def _unusable(path: Path, error: OSError) -> DataDirectoryError:
    return DataDirectoryError(f"the data directory {path} cannot be used: {error.strerror or error} ({error.filename})")
