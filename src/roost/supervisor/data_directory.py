"""The data directory as the supervisor sees it: one roost at a time, its sockets, and how many hosts it had."""

# DIR/lock             held (flock) by the supervisor for as long as it runs
# DIR/hosts/<n>/lock   held by the host process of slot n, and outliving the supervisor where that was killed
# DIR/processes.json   how many hosts the data was last written with
# DIR/run/             Unix sockets; DIR/run/sockets holds the path of their directory where DIR is too long for them

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roost.errors import DataDirectoryError
from roost.supervisor.messages import Sockets

SOCKET_PATH_BYTES_MAX = 100  # of sun_path's 108 on Linux and 104 elsewhere, with the closing zero
_LONGEST_SOCKET = "/run/host-255.sock"
_ELSEWHERE = "sockets"
_NOT_ALLOWED = "roost must be allowed to write there"
_HINTS: dict[int | None, str] = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on its disk")


class Processes(msgspec.Struct, frozen=True):
    """What DIR/processes.json holds."""

    hosts: int


class DataDirectory:
    """A data directory that this process has locked; `close` lets go of it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._elsewhere: Path | None = None

    def make_sockets(self) -> Sockets:
        """An empty directory for the Unix sockets that a process of this machine finds with `find_sockets`."""
        run = self.path / "run"
        with _translated(run):
            shutil.rmtree(run, ignore_errors=True)
            run.mkdir(mode=0o700)
            if len(os.fsencode(self.path)) + len(_LONGEST_SOCKET) <= SOCKET_PATH_BYTES_MAX:
                return Sockets(str(run))
            self._elsewhere = Path(tempfile.mkdtemp(prefix="roost-"))
            _write_private(run / _ELSEWHERE, str(self._elsewhere).encode())
        return Sockets(str(self._elsewhere))

    def hosts_before(self) -> int | None:
        """With how many hosts the data was last written; None where it never was."""
        path = self.path / "processes.json"
        with _translated(path):
            if not path.exists():
                return None
            try:
                return msgspec.json.decode(path.read_bytes(), type=Processes).hosts
            except msgspec.DecodeError as error:
                raise DataDirectoryError(f"{path} does not say how many hosts wrote the data: {error}") from error

    def prepare_for(self, hosts: int, recover: Callable[[Path, int], object]) -> None:
        """From now on the data is written with so many hosts. Where that is another number, `recover` it all first:
        each host has a journal of its own objects, and other objects are its own then."""
        before = self.hosts_before()
        if before is not None and before != hosts:
            recover(self.path, hosts)
        if before != hosts:
            self._remember_hosts(hosts)

    def _remember_hosts(self, hosts: int) -> None:
        path = self.path / "processes.json"
        new = path.with_suffix(".new")
        with _translated(path):
            _write_private(new, msgspec.json.encode(Processes(hosts)))
            new.replace(path)

    def busy_hosts(self) -> list[int]:
        """Slots whose host still runs: of a roost before this one whose supervisor was killed."""
        busy = []
        for lock in sorted(self.path.glob("hosts/*/lock")):
            with open(lock, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    busy.append(int(lock.parent.name))
        return busy

    def close(self) -> None:
        """Let go of the directory; calling it again changes nothing."""
        if self._lock >= 0:
            for directory in filter(None, (self.path / "run", self._elsewhere)):
                shutil.rmtree(directory, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def claim(path: str | os.PathLike[str]) -> DataDirectory:
    """Create the directory where it is not there, and lock it.

    Raises DataDirectoryError when it cannot be written to, the disk is full, or another roost uses it.
    """
    directory = Path(path)
    with _translated(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            _write_private(ignore, b"# Made by roost: data does not belong into version control.\n*\n")
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        os.close(lock)
        raise DataDirectoryError(
            f"the data directory {directory} is in use by another roost{f' (process {holder})' if holder else ''}; "
            "stop that one, or use another directory, as in `--data DIR`"
        ) from error
    try:
        with _translated(directory / "lock"):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except DataDirectoryError:
        os.close(lock)
        raise
    return DataDirectory(directory, lock)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody but its user can read, durably."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def find_sockets(path: str | os.PathLike[str]) -> Sockets:
    """Where the roost that uses this data directory has its sockets."""
    run = Path(path) / "run"
    elsewhere = run / _ELSEWHERE
    return Sockets(elsewhere.read_text() if elsewhere.is_file() else str(run))


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise DataDirectoryError(
            f"the data directory cannot be used: {error.strerror} ({where}); {_HINTS.get(error.errno, _NOT_ALLOWED)}"
        ) from error
