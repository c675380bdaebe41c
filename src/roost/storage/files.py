"""What the journal asks of the operating system, in one place, so that tests can make it fail."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

_ZEROS = bytes(1024 * 1024)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CANNOT_RESERVE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""On macOS, which has no fdatasync, and whose fsync leaves the data in the drive's cache: see fsync(2) there."""


def sync_file(fd: int) -> None:
    """Return once the file, with all its metadata, is on the disk."""
    if _FULL_SYNC is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, _FULL_SYNC)


class Files:
    """Positioned writes, preallocation and syncing, as the kernel does them: writes may be short, all may raise."""

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write some of `data`; the number of bytes that were taken."""
        return os.pwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        """Return once everything written to the file is on the disk."""
        if _FULL_SYNC is None:
            os.fdatasync(fd)
        else:
            sync_file(fd)

    def allocate(self, fd: int, start: int, end: int) -> None:
        """Give the file real, written blocks from `start` to `end`.

        Zeros are written because blocks that are only reserved change the file's metadata when they are first used,
        which makes the fdatasync of a commit as slow as that of a growing file.
        """
        self._reserve(fd, start, end)
        for offset in range(start, end, len(_ZEROS)):
            write_all(self, fd, memoryview(_ZEROS)[: end - offset], offset)
        self.sync(fd)

    def _reserve(self, fd: int, start: int, end: int) -> None:
        """Learn at once that there is no room, where the system and the file system can tell."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(fd, start, end - start)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise


class ScriptedFiles(Files):
    """Files whose failures a test decides; otherwise the real thing.

    `refuse_write`, `refuse_sync` and `refuse_allocate` are raised for as long as they are set. `write_bytes_max` makes
    writes short. While `held` is not set, syncing waits, and `waiting` names the threads
    that do. `syncs` counts those that succeeded.
    """

    def __init__(self) -> None:
        self.refuse_write: OSError | None = None
        self.refuse_sync: OSError | None = None
        self.refuse_allocate: OSError | None = None
        self.write_bytes_max: int | None = None
        self.held = threading.Event()
        self.held.set()
        self.waiting: set[str] = set()
        self.syncs = 0

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if self.refuse_write is not None:
            super().write(fd, data[: len(data) // 2], offset)  # as a full disk does: some of it gets there
            raise self.refuse_write
        return super().write(fd, data[: self.write_bytes_max], offset)

    def sync(self, fd: int) -> None:
        if not self.held.is_set():
            self.waiting.add(threading.current_thread().name)
            self.held.wait()
            self.waiting.discard(threading.current_thread().name)
        if self.refuse_sync is not None:
            raise self.refuse_sync
        super().sync(fd)
        self.syncs += 1

    def allocate(self, fd: int, start: int, end: int) -> None:
        if self.refuse_allocate is not None:
            raise self.refuse_allocate
        super().allocate(fd, start, end)


def write_all(files: Files, fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write the whole of `data`, in as many writes as it takes."""
    view = memoryview(data)
    while view:
        taken = files.write(fd, view, offset)
        if taken == 0:
            raise OSError(errno.EIO, "a write took no bytes")
        view = view[taken:]
        offset += taken


def read_fully(fd: int, length: int, offset: int) -> bytes:
    """Read so many bytes, or as many as there are: a single read may give less for no reason."""
    found = os.pread(fd, length, offset)
    while found and len(found) < length:
        further = os.pread(fd, length - len(found), offset + len(found))
        if not further:
            break
        found += further
    return found


def is_out_of_space(error: OSError) -> bool:
    """Whether the device, the quota or the allowed file size is exhausted."""
    return error.errno in _NO_SPACE


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
