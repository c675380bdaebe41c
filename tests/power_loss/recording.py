"""Programs that run on a recorded disk: what they did to a directory, in order, and what they said meanwhile."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SHIM = Path(__file__).with_name("recorder.c")
SOURCES = Path(__file__).parents[2]
_NOTE = struct.Struct("<IIQQQQII")
_MAGIC = 0x4E4F5445


class Kind(IntEnum):
    """What was done; as in recorder.c."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    ALLOCATE = 4
    SYNC = 5
    RENAME = 6
    LINK = 7
    UNLINK = 8
    MKDIR = 9
    RMDIR = 10
    MARK = 11


class Event(NamedTuple):
    """One deed. `file` is an inode; of a SYNC, `offset` says how many events there were when it began."""

    number: int
    kind: Kind
    file: int
    offset: int
    length: int
    process: int
    path: str
    data: bytes

    def __str__(self) -> str:
        name = Path(self.path).name or str(self.file)
        return f"{self.number}: {self.kind.name} {name} {self.offset}+{self.length} {self.data[:40]!r}"


def built_shim(directory: Path) -> Path:
    """recorder.c, compiled. Fails with what is missing where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler is not None, "there is no C compiler for recorder.c (Debian: apt-get install gcc libc6-dev)"
    made = directory / "recorder.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(made), str(SHIM), "-lpthread"], check=True)
    return made


class Recording:
    """A directory and all that was done to it, by one program after the other."""

    def __init__(self, directory: Path, shim: Path) -> None:
        self.root = directory.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.at_first = {path: path.read_bytes() for path in files_below(self.root)}
        self.inodes = {path.stat().st_ino: path for path in self.at_first}
        self.directories = [path for path in sorted(self.root.rglob("*")) if path.is_dir()]
        self._trace = self.root.with_name(self.root.name + ".trace")
        self._shim = shim

    def run(
        self, program: Path, *arguments: str, forget: Sequence[str] = (), status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. `forget`: what is like one of these patterns is never synced, whatever it asks."""
        environ = os.environ | {
            "LD_PRELOAD": str(self._shim),
            "POWER_ROOT": str(self.root),
            "POWER_TRACE": str(self._trace),
            "POWER_FORGET": ":".join(forget),
            "PYTHONPATH": f"{SOURCES / 'src'}:{SOURCES}",
        }
        command = [sys.executable, str(program), str(self.root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        assert status is None or done.returncode == status, f"{command} ended with {done.returncode}: {done.stderr}"
        return done

    def events(self) -> list[Event]:
        """Everything so far."""
        return parsed(self._trace.read_bytes())


def files_below(directory: Path) -> list[Path]:
    """The files of a directory, at any depth, but for SQLite's shared memory."""
    return sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.endswith("-shm"))


def parsed(raw: bytes) -> list[Event]:
    """The events of a trace."""
    found: list[Event] = []
    at = 0
    while at < len(raw):
        magic, kind, file, offset, length, process, path_bytes, data_bytes = _NOTE.unpack_from(raw, at)
        assert magic == _MAGIC, f"the trace is garbled at {at}"
        at += _NOTE.size
        path, at = raw[at : at + path_bytes].decode(), at + path_bytes
        data, at = raw[at : at + data_bytes], at + data_bytes
        found.append(Event(len(found) + 1, Kind(kind), file, offset, length, process, path, data))
    return found
