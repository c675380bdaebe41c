"""The data directory: where everything lies, who may use it, and in which format it is.

DIR/format                                              the format's version
DIR/hosts/<slot>/lock                                   held (flock) by the process that owns the slot
DIR/hosts/<slot>/journal-<n>                            the segments of its journal
DIR/objects/<binding>/<2 hex digits>/<64>.sqlite        one file per object
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

from roost.errors import DataDirectoryError, InvalidArgumentError
from roost.storage.files import sync_directory

FORMAT = 1
_BINDING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class DataDirectory:
    """The paths of one data directory; made if it is not there, refused if it cannot be used."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            make_private(self.path / "hosts")
            make_private(self.path / "objects")
            self._check_format()
        except OSError as error:
            raise _unusable(self.path, error) from error

    def object_path(self, binding: str, key: bytes) -> Path:
        """Where the file of an object is, or would be."""
        if not _BINDING.fullmatch(binding):
            raise InvalidArgumentError(
                f"the binding {binding!r} cannot be a directory's name: use letters, digits and _"
            )
        digits = key.hex()
        return self.path / "objects" / binding / digits[:2] / f"{digits}.sqlite"

    def slot(self, number: int) -> SlotLock:
        """Take the right to run host number `number`. Raises DataDirectoryError when another process has it."""
        return SlotLock(self.path, number)

    def slots(self) -> list[int]:
        """The numbers of all hosts that ever ran here."""
        return sorted(int(entry.name) for entry in (self.path / "hosts").iterdir() if entry.name.isdecimal())

    def _check_format(self) -> None:
        file = self.path / "format"
        try:
            text = file.read_text().strip()
        except FileNotFoundError:
            _write_durably(file, f"{FORMAT}\n")
            return
        if text != str(FORMAT):
            raise DataDirectoryError(
                f"{self.path} has storage format {text[:20]!r}; this version of roost reads format {FORMAT}:"
                " run the version that wrote it, or choose another data directory"
            )


class SlotLock:
    """The right to own a host's slot; it ends with `release`, or with the process."""

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.path = directory / "hosts" / str(number)
        try:
            make_private(self.path)
            self._fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(directory, error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _unusable(directory, error) from error
            raise DataDirectoryError(
                f"{directory} is in use by another roost: host {number} runs as process {holder or 'unknown'}"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the slot back."""
        os.close(self._fd)


def make_private(path: Path) -> None:
    """Make a directory, and those above it, for nobody but the user."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_durably(file: Path, text: str) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.rename(file)
    sync_directory(file.parent)


def _unusable(path: Path, error: OSError) -> DataDirectoryError:
    return DataDirectoryError(f"the data directory {path} cannot be used: {error.strerror or error} ({error.filename})")
