# The segments of one journal: the one that is written to, the older ones that are still needed, the free ones.
#
#  (1) A segment is free once every object in it let go of it, and all older ones are free too. What is kept is always
#      the whole end of the journal, so replaying it leads every object to its last commit, whatever its file holds.
#  (2) Free segments are used again, or removed, oldest first, for the same reason: until then they still carry their
#      old number, and a crash would have them replayed.
#  (3) `let_go` and `needed` may be called from any thread; everything else belongs to the thread that writes.
"""Which segments a journal has, and what becomes of them."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

from roost.errors import StorageError
from roost.storage.files import Files, sync_directory
from roost.storage.segment import HEADER_BYTES, Segment, SegmentReader

_FREE_MAX = 3  # kept for use; more are removed
_PREFIX = "journal-"


def segment_paths(directory: Path) -> list[Path]:
    """The files of a journal, in the order of their names (which is not that of their use)."""
    return sorted(directory.glob(f"{_PREFIX}*"))


class Segments:
    """The segments of a journal that was recovered: none is in use at the start."""

    def __init__(self, directory: Path, size: int, files: Files) -> None:
        self._directory = directory
        self._size = size
        self._files = files
        self._lock = threading.Lock()
        self._used: deque[Segment] = deque()  # oldest first; the last one is written to
        self._free: deque[Segment] = deque()  # oldest first
        self._spare: Segment | None = None
        self._names = 0
        self.epoch = 1
        self._adopt()
        self._sequence = self.epoch << 32  # numbers are never used twice, whatever earlier lives left in the files

    def _adopt(self) -> None:
        for path in segment_paths(self._directory):
            reader = SegmentReader(path)
            self.epoch = max(self.epoch, reader.epoch + 1)
            in_use = reader.sequence
            reader.close()
            if in_use:
                raise StorageError(f"{path} holds commits that were not recovered; recover the journal before using it")
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._free.append(Segment(path, fd, os.fstat(fd).st_size))
            self._names = max(self._names, int(path.name.removeprefix(_PREFIX)))

    @property
    def current(self) -> Segment:
        """The segment that is written to."""
        return self._used[-1]

    def roll(self, room: int) -> None:
        """Go on in another segment with at least `room` bytes for entries.

        Raises OSError when none can be had; the present one then stays.
        """
        spare, self._spare = self._spare, None
        if spare is None or spare.room < room:
            if spare is not None:
                self._free.appendleft(spare)
            spare = self._prepare(room)
        with self._lock:
            self._used.append(spare)
            self._collect()
        self._trim()

    def prepare_spare(self) -> None:
        """Have the next segment ready before it is needed. Raises OSError when there is no room for one."""
        if self._spare is None:
            self._spare = self._prepare(0)

    def pin(self, key: bytes, commit: int) -> None:
        """The current segment holds this commit."""
        with self._lock:
            self._used[-1].last[key] = commit

    def let_go(self, key: bytes, commit: int) -> None:
        """Nothing up to `commit` of this object is needed any more."""
        with self._lock:
            for segment in self._used:
                if segment.last.get(key, commit + 1) <= commit:
                    del segment.last[key]
            self._collect()

    def needed(self) -> set[bytes]:
        """The objects that keep segments other than the current one from being free."""
        with self._lock:
            return {key for segment in list(self._used)[:-1] for key in segment.last}

    def close(self) -> None:
        """Let go of the files. If nothing in them is needed, say so on disk, so that nothing is replayed."""
        everything = [*self._free, *self._used, *([self._spare] if self._spare else [])]
        if not self.needed() and not (self._used and self.current.last):
            for segment in everything:
                if segment.sequence:
                    segment.start(self._files, 0, self.epoch)
        for segment in everything:
            segment.close()

    def _collect(self) -> None:
        while len(self._used) > 1 and not self._used[0].last:
            self._free.append(self._used.popleft())

    def _prepare(self, room: int) -> Segment:
        size = max(self._size, HEADER_BYTES + room)
        with self._lock:
            segment = self._free.popleft() if self._free else None
        if segment is None:
            segment = self._create()
        try:
            if segment.size < size:
                self._files.allocate(segment.fd, segment.size, size)
                segment.size = size
            self._sequence += 1
            segment.start(self._files, self._sequence, self.epoch)
        except OSError:
            self._give_back(segment)
            raise
        return segment

    def _create(self) -> Segment:
        self._names += 1
        path = self._directory / f"{_PREFIX}{self._names:06d}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        sync_directory(self._directory)
        return Segment(path, fd, 0)

    def _give_back(self, segment: Segment) -> None:
        if segment.size == 0:
            segment.close()
            segment.path.unlink()
            return
        with self._lock:
            self._free.appendleft(segment)

    def _trim(self) -> None:
        """Remove free segments beyond those worth keeping, oldest first, each durably before the next."""
        while True:
            with self._lock:
                if len(self._free) <= _FREE_MAX and not any(segment.size > self._size for segment in self._free):
                    return
                segment = self._free.popleft()
            segment.close()
            segment.path.unlink()
            sync_directory(self._directory)
