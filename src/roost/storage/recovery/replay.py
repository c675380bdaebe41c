# Records written into objects' files.
#
#  (1) Images are absolute, and what the journal has of an object is always the whole end of its history. So the last
#      image of each page wins, whatever the file holds, and doing it again does no harm.
#  (2) An object's write-ahead log (`-wal`) is never trusted: after a crash it may hold commits that the journal does
#      not. It is removed before anything is written.
"""Replaying the journal into objects' files."""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable
from pathlib import Path

from roost.storage.files import Files, sync_directory, sync_file, write_all
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.object_file import open_or_make
from roost.storage.sums import keep_sums

_OPEN_MAX = 128


class Replay:
    """Writes the newest images of objects' pages; given the records of each object *latest first*."""

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._written: dict[Path, set[int]] = {}
        """The pages of each file that have their last image."""
        self._sizes: dict[Path, int] = {}
        self.commits = 0

    @property
    def paths(self) -> Iterable[Path]:
        """The files that were written to."""
        return self._sizes.keys()

    def apply(self, path: Path, record: Record) -> None:
        """Bring into an object's file what a commit changed and none after it. Raises OSError.

        Raises StorageCorruptError, and leaves the file as it is, where its pages stand elsewhere and do not check out.
        """
        if isinstance(record.images, PartedImages):
            record.images.verify()
        fd = self._descriptor(path)
        if path not in self._sizes:
            os.ftruncate(fd, record.size_pages * PAGE_BYTES)
            self._sizes[path] = record.size_pages
            self._written[path] = set()
        written, size = self._written[path], self._sizes[path]
        for number, image in record.images.items():
            if number <= size and number not in written:
                write_all(self._files, fd, image, (number - 1) * PAGE_BYTES)
                written.add(number)
        self.commits += 1

    def pages(self, path: Path) -> set[int]:
        """The pages of a file that were written to."""
        return self._written[path]

    def forget(self, path: Path) -> None:
        """Let go of a file that somebody else goes on with: our descriptor must not be closed when it is in use."""
        fd = self._open.pop(path, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Let go of the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, path: Path) -> int:
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        if len(self._open) >= _OPEN_MAX:
            os.close(self._open.popitem(last=False)[1])
        fd = self._open[path] = (
            open_or_make(path) if path not in self._sizes else os.open(path, os.O_RDWR | os.O_CLOEXEC)
        )
        return fd


def sync_object(path: Path, pages: Collection[int]) -> None:
    """Make an object's file durable, with the checksums of the pages that were written; `sync_names` is to follow."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_file(fd)
        keep_sums(path, fd, pages, name_too=False)
    finally:
        os.close(fd)


def names_of(paths: Iterable[Path]) -> list[list[Path]]:
    """The directories that hold the names of objects' files: their own, then those of these, up to that of all."""
    levels: list[set[Path]] = [set(), set(), set()]
    for path in paths:
        for level, parent in zip(levels, path.parents, strict=False):
            level.add(parent)
    return [sorted(level) for level in levels]


def sync_names(paths: Iterable[Path]) -> None:
    """Make the names of objects' files durable."""
    for directory in itertools.chain.from_iterable(names_of(paths)):
        sync_directory(directory)
