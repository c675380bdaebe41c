# What a disk may hold after the power failed, given what was done to it and what was synced.
#
#  (1) Contents. What was written before a sync of the file began is there once that sync has returned. Of what was
#      written since, every sector of 512 bytes is as it was after any one of these writes, whatever the others are: the
#      page cache is written back when it likes, in any order, and a sector is what a disk writes whole. A file's length
#      follows the same rule. Where a truncation was lost, so is what was written later into the part that it cut off.
#  (2) Names. A name that was made, changed or removed is so for certain once its directory was synced. Until then:
#      - in the `ordered` manner, that of ext4, XFS and btrfs, such changes are kept in the order in which they were
#        made, all up to some point; every fsync keeps all that came before it, an fdatasync does where the file grew;
#      - in the `free` manner, which POSIX permits, each is kept or lost by itself, unless an earlier one that it rests
#        on was lost. Syncing a file says nothing of its name.
#  (3) What no name leads to is gone.
#
# After "All File Systems Are Not Created Equal" (Pillai and others, OSDI 2014; ALICE) and "Finding Crash-Consistency
# Bugs with Bounded Black-Box Crash Testing" (Mohan and others, OSDI 2018; CrashMonkey).
"""A model of a disk: what was recorded goes in, the states that a power failure may leave come out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from .recording import Event, Kind, Recording

SECTOR = 512


class Fate(Enum):
    """What became of something that was not synced."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"
    """Some of its sectors are kept."""
    HOLE = "hole"
    """The file has grown, and zeros are where the data should be."""


class Choice(Protocol):
    """Decides what a power failure keeps."""

    def of_change(self, event: Event) -> Fate:
        """Of a write, a truncation or an allocation."""

    def of_sector(self) -> bool:
        """Whether a sector of a torn write is kept."""

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        """Those that are kept, in order."""


class File:
    """The contents of one file: what is certain, and what was done since."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.pending: list[Event] = []

    def sync(self, since: int) -> None:
        """What was done up to an event is certain now."""
        certain = [event for event in self.pending if event.number <= since]
        if certain:
            self.durable = _after(self.durable, certain, _keep_all)
            self.pending = [event for event in self.pending if event.number > since]

    def grew(self, since: int) -> bool:
        """Whether any of what a sync makes certain changed the length."""
        length = len(self.durable)
        for event in self.pending:
            if event.number <= since and (event.kind is Kind.TRUNCATE or event.offset + event.length > length):
                return True
        return False

    def crashed(self, choice: Choice) -> bytes:
        return _after(self.durable, self.pending, choice.of_change, choice.of_sector)


def _keep_all(_event: Event) -> Fate:
    return Fate.KEPT


def _keep_sector() -> bool:
    return True


def _after(
    durable: bytes,
    events: Sequence[Event],
    fate_of: Callable[[Event], Fate],
    keeps: Callable[[], bool] = _keep_sector,
) -> bytes:
    contents = _Contents(durable)
    for event in events:
        fate = fate_of(event)
        if event.kind is Kind.TRUNCATE:
            contents.truncate(event.length, fate is Fate.KEPT)
        elif event.kind is Kind.ALLOCATE:
            contents.allocate(event.offset + event.length, fate is Fate.KEPT)
        else:
            contents.write(event.offset, event.data, fate, keeps)
    return bytes(contents.disk)


class _Contents:
    """A file in the page cache and on the disk, side by side."""

    def __init__(self, durable: bytes) -> None:
        self._cache = bytearray(durable)
        self.disk = bytearray(durable)
        self._barrier: int | None = None
        """From here on nothing reaches the disk any more: a truncation was lost."""

    def truncate(self, length: int, kept: bool) -> None:
        _resize(self._cache, length)
        if not kept:
            self._barrier = length if self._barrier is None else min(self._barrier, length)
        elif self._barrier is None or length <= self._barrier:
            _resize(self.disk, length)

    def allocate(self, end: int, kept: bool) -> None:
        if end > len(self._cache):
            _resize(self._cache, end)
        if kept and self._barrier is None and end > len(self.disk):
            _resize(self.disk, end)

    def write(self, offset: int, data: bytes, fate: Fate, keeps: Callable[[], bool]) -> None:
        end = offset + len(data)
        if len(self._cache) < end:
            _resize(self._cache, end)
        self._cache[offset:end] = data
        if fate is Fate.KEPT:
            self._flush(offset, end)
        elif fate is Fate.HOLE:
            self._grow(end)
        elif fate is Fate.TORN:
            for start in range(offset - offset % SECTOR, end, SECTOR):
                if keeps():
                    self._flush(max(start, offset), min(start + SECTOR, end))

    def _grow(self, end: int) -> None:
        if self._barrier is None and end > len(self.disk):
            _resize(self.disk, end)

    def _flush(self, start: int, end: int) -> None:
        """Whole sectors, as they are in the page cache now."""
        start -= start % SECTOR
        end = min(end + -end % SECTOR, len(self._cache))
        if self._barrier is not None:
            end = min(end, self._barrier)
        if end > start:
            if len(self.disk) < end:
                _resize(self.disk, end)
            self.disk[start:end] = self._cache[start:end]


def _resize(data: bytearray, length: int) -> None:
    if length <= len(data):
        del data[length:]
    else:
        data += bytes(length - len(data))


class State(NamedTuple):
    """A disk after a power failure, by names below its root."""

    files: dict[str, bytes]
    directories: list[str]

    def fingerprint(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for name, contents in sorted(self.files.items()):
            digest.update(f"{name}:{len(contents)}:".encode())
            digest.update(contents)
        digest.update("".join(self.directories).encode())
        return digest.digest()

    def write(self, directory: Path) -> None:
        """Make it real."""
        directory.mkdir(parents=True)
        for name in self.directories:
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, contents in self.files.items():
            fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, contents)
            os.close(fd)


class Disk:
    """A disk under a recording; `ordered` is the manner in which it keeps names, see (2)."""

    def __init__(self, recording: Recording, *, ordered: bool) -> None:
        self._root = str(recording.root)
        self._ordered = ordered
        self._names: dict[str, File] = {}
        self._directories = {self._below(str(path)) for path in recording.directories}
        self._files: dict[int, File] = {}  # by inode, as of the last event
        self._now: dict[str, File] = {}
        self._pending: list[Event] = []
        self._made: dict[int, File] = {}  # by the number of the event that made it
        for inode, path in recording.inodes.items():
            file = self._files[inode] = File(recording.at_first[path])
            self._names[self._below(str(path))] = file
        self._now.update(self._names)

    def _below(self, path: str) -> str:
        return path[len(self._root) + 1 :]

    def apply(self, event: Event) -> None:
        """One more event has happened."""
        if event.kind is Kind.SYNC:
            self._sync(event)
        elif event.kind in (Kind.WRITE, Kind.TRUNCATE, Kind.ALLOCATE):
            self._files[event.file].pending.append(event)
        elif event.kind is not Kind.MARK:
            self._name(event)

    def _name(self, event: Event) -> None:
        self._pending.append(event)
        if event.kind is Kind.CREATE:
            self._files[event.file] = self._made[event.number] = File()
        _rename(event, self._now, set(), self._made, self._below)

    def _sync(self, event: Event) -> None:
        file = None if event.path else self._files[event.file]
        keeps_names = self._ordered and (file is None or not event.length or file.grew(event.offset))
        if file is not None:
            file.sync(event.offset)
        if keeps_names:
            self._settle([one for one in self._pending if one.number <= event.offset])
        elif file is None:
            here = self._below(event.path)
            self._settle([one for one in self._pending if one.number <= event.offset and self._is_in(one, here)])

    def _is_in(self, event: Event, directory: str) -> bool:
        changed = event.data.decode() if event.kind in (Kind.RENAME, Kind.LINK) else event.path
        return os.path.dirname(self._below(changed)) == directory

    def _settle(self, certain: list[Event]) -> None:
        if certain:
            certain = _with_what_they_rest_on(certain, self._pending)
        for event in certain:
            _rename(event, self._names, self._directories, self._made, self._below)
        settled = set(certain)
        self._pending = [event for event in self._pending if event not in settled]

    def crashed(self, choice: Choice) -> State:
        """What is left when the power fails now."""
        names, directories = dict(self._names), set(self._directories)
        for event in choice.of_names(self._pending):
            _rename(event, names, directories, self._made, self._below)
        reachable = sorted(path for path in directories if _leads_to(path, directories))
        there = {"", *reachable}
        contents: dict[int, bytes] = {}
        files = {}
        for name, file in names.items():
            if os.path.dirname(name) in there:
                if id(file) not in contents:
                    contents[id(file)] = file.crashed(choice)
                files[name] = contents[id(file)]
        return State(files, reachable)

    def unsynced(self) -> list[Event]:
        """What a power failure now may or may not keep."""
        files = {id(file): file for file in (*self._now.values(), *self._names.values())}
        changes = [event for file in files.values() for event in file.pending]
        return sorted([*changes, *self._pending], key=lambda event: event.number)


def _with_what_they_rest_on(certain: list[Event], pending: list[Event]) -> list[Event]:
    """These, and the earlier changes of the same names: a name in one directory may come from another one."""
    found, paths = set(certain), {path for event in certain for path in touched(event)}
    for event in reversed(pending):
        if event in found or (event.number < max(certain).number and touched(event) & paths):
            found.add(event)
            paths |= touched(event)
    return sorted(found)


def _leads_to(path: str, directories: set[str]) -> bool:
    parent = os.path.dirname(path)
    return parent == "" or (parent in directories and _leads_to(parent, directories))


def _rename(
    event: Event, names: dict[str, File], directories: set[str], made: dict[int, File], below: Callable[[str], str]
) -> None:
    """Let a change of names happen, as far as what it rests on is there."""
    path = below(event.path)
    if event.kind is Kind.CREATE:
        names[path] = made[event.number]
    elif event.kind is Kind.UNLINK:
        names.pop(path, None)
    elif event.kind is Kind.MKDIR:
        directories.add(path)
    elif event.kind is Kind.RMDIR:
        directories.discard(path)
    else:
        assert path not in directories, "renaming a directory is not understood"
        if path not in names:
            return
        file = names.pop(path) if event.kind is Kind.RENAME else names[path]
        names[below(event.data.decode())] = file


def touched(event: Event) -> set[str]:
    """The paths that a change of names is about."""
    paths = {event.path}
    if event.kind in (Kind.RENAME, Kind.LINK):
        paths.add(event.data.decode())
    return paths
