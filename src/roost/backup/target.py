# A target is where backups lie: names and bytes, no more than what an object store offers.
#
#  (1) What `write` has written appears whole and durable when its block ends, or not at all when the block raises. What
#      a killed writer left behind is never read.
#  (2) Names have segments divided by `/`; `names` tells them in the order of their bytes.
#  (3) A thing that was written is read back as it was: whoever writes it keeps a checksum of it.
#  (4) Everything foreign is translated: MissingError for a name that is not there, TargetUnavailableError for what may
#      be better in a moment (no network, no room), BackupError for the rest.
"""The contract of a target, and the driver for a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from roost.errors import BackupError, ConfigurationError
from roost.storage.files import sync_directory, sync_file
from roost.storage.layout import make_private

_READ_BYTES = 4 * 1024 * 1024
_UNFINISHED = ".unfinished-"
_PERMANENT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG})


class MissingError(BackupError):
    """The target holds nothing of that name."""


class TargetUnavailableError(BackupError):
    """The target cannot be reached, or has no room; it may be otherwise in a moment."""

    retryable = True


class Sink(Protocol):
    """What `write` gives: takes bytes, one piece after the other."""

    def write(self, data: bytes, /) -> object: ...


class Target(Protocol):
    """Where backups lie."""

    title: str
    """As people write it."""

    def write(self, name: str) -> contextlib.AbstractContextManager[Sink]:
        """Write something, piece by piece; what was there under that name is replaced."""

    def stream(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of it, in pieces: `length` from `start`, or all."""

    def size(self, name: str) -> int:
        """Its bytes."""

    def names(self, prefix: str) -> Iterator[str]:
        """What begins with `prefix`, which ends at a `/`."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove these; those that are gone already do no harm."""


def write_bytes(target: Target, name: str, data: bytes) -> None:
    """Write something that is at hand."""
    with target.write(name) as sink:
        sink.write(data)


def read_bytes(target: Target, name: str, start: int = 0, length: int | None = None) -> bytes:
    """Read something that fits into memory."""
    return b"".join(target.stream(name, start, length))


class DirectoryTarget:
    """A directory: another disk, or one of another machine that is mounted here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = str(path)

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Sink]:
        path = self.path / name
        with self._translated(name):
            make_private(path.parent)
            fd, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        try:
            with open(fd, "wb") as file:
                yield _FileSink(self, name, file)
                with self._translated(name):
                    file.flush()
                    sync_file(file.fileno())
            with self._translated(name):
                os.replace(unfinished, path)
                self._sync_names(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise

    def stream(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        with self._translated(name):
            file = open(self.path / name, "rb")  # noqa: SIM115 - closed below: what the caller raises is not ours
        with file:
            file.seek(start)
            left = length
            while left is None or left > 0:
                with self._translated(name):
                    data = file.read(_READ_BYTES if left is None else min(left, _READ_BYTES))
                if not data:
                    return
                left = None if left is None else left - len(data)
                yield data

    def size(self, name: str) -> int:
        with self._translated(name):
            return (self.path / name).stat().st_size

    def names(self, prefix: str) -> Iterator[str]:
        yield from self._below(prefix.rstrip("/"))

    def remove(self, names: Iterable[str]) -> None:
        parents = set()
        for name in names:
            with self._translated(name), contextlib.suppress(FileNotFoundError):
                (self.path / name).unlink()
                parents.add((self.path / name).parent)
        for parent in parents:
            with contextlib.suppress(OSError):  # it is not empty, or gone
                parent.rmdir()

    def _below(self, name: str) -> Iterator[str]:
        entries: list[tuple[str, bool]] = []
        with self._translated(name), contextlib.suppress(FileNotFoundError), os.scandir(self.path / name) as found:
            entries += [(entry.name, entry.is_dir()) for entry in found]
        for inner, is_directory in sorted(entries, key=lambda one: f"{one[0]}/" if one[1] else one[0]):
            path = f"{name}/{inner}" if name else inner
            if is_directory:
                yield from self._below(path)
            elif not inner.startswith(_UNFINISHED):
                yield path

    def _sync_names(self, directory: Path) -> None:
        """Make the names on the way to a directory durable, as far up as they are ours."""
        for path in (directory, *directory.parents):
            sync_directory(path)
            if path == self.path:
                return

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise MissingError(f"{self.title} holds no {name}") from error
        except OSError as error:
            kind = BackupError if error.errno in _PERMANENT else TargetUnavailableError
            raise kind(f"{self.title} cannot be used: {error.strerror or error} ({error.filename or name})") from error


class _FileSink:
    """Its errors are the target's; those of whoever writes to it are not."""

    def __init__(self, target: DirectoryTarget, name: str, file: IO[bytes]) -> None:
        self._target = target
        self._name = name
        self._file = file

    def write(self, data: bytes, /) -> None:
        with self._target._translated(self._name):
            self._file.write(data)


def open_target(text: str, *, endpoint: str | None = None, region: str | None = None) -> Target:
    """The target that a person names: `s3://bucket/prefix`, or a directory.

    Raises ConfigurationError when it names neither, or a library is missing.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        return DirectoryTarget(Path(text).absolute())
    if scheme == "s3":
        from roost.backup.s3_target import S3Target  # obstore need not be there

        return S3Target(text, endpoint=endpoint, region=region)
    raise ConfigurationError(f"a backup's target is a directory or s3://bucket/prefix, got {text!r}")
