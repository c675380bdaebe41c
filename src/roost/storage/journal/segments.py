# The segments of one journal: the one that is written to, the older ones that are still needed, those on their way to
# being free, the free ones.
#
#  (1) A segment is needed until every object in it let go of it, and all older ones are needed no more either. What is
#      needed is always the whole end of the journal, so replaying it leads every object to its last commit, whatever
#      its file holds.
#  (2) What is needed no more goes through retirement, oldest first, and is free after it.
#  (3) A journal that was not closed cleanly is begun with what a survey found in it: its old segments are needed like
#      those of this life, until the objects in them let go.
#  (4) `let_go` and `needed` may be called from any thread; everything else belongs to the thread that writes.
"""Which segments a journal has, and what becomes of them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from roost.errors import StorageError
from roost.storage.files import Files, sync_directory
from roost.storage.journal.keeper import Keeper, NothingKept
from roost.storage.journal.retirement import Retirement
from roost.storage.journal.segment import HEADER_BYTES, Segment, SegmentReader
from roost.storage.journal.side_file import SideFiles

_FREE_MAX = 3  # kept for use; more are removed
_PREFIX = "journal-"


def segment_paths(directory: Path) -> list[Path]:
    """The files of a journal, in the order of their names (which is not that of their use)."""
    return sorted(directory.glob(f"{_PREFIX}*"))


def nothing() -> None:
    """Nothing else need be durable before a segment is used again."""


class Segments:
    """The segments of a journal.

    `needed` are the last commits of the objects in each segment that was not let go in the life before; without it, one
    that is in use is refused. `keeper` and `flush` are those of the retirement.
    """

    def __init__(
        self,
        directory: Path,
        size: int,
        files: Files,
        *,
        keeper: Keeper | None = None,
        flush: Callable[[], None] = nothing,
        needed: Mapping[Path, dict[bytes, int]] | None = None,
    ) -> None:
        self._directory = directory
        self._size = size
        self._files = files
        self._lock = threading.Lock()
        self._used: deque[Segment] = deque()  # oldest first; the last one is written to
        self._free: deque[Segment] = deque()
        self._spare: Segment | None = None
        self._retirement = Retirement(keeper or NothingKept(), files, flush, self._freed)
        self._names = 0
        self.epoch = 1
        self._adopt(needed or {})
        SideFiles(directory).remove_unused(segment_paths(directory))
        self._sequence = self.epoch << 32  # numbers are never used twice, whatever earlier lives left in the files

    def _adopt(self, needed: Mapping[Path, dict[bytes, int]]) -> None:
        for sequence, settled, segment in sorted(map(self._opened, segment_paths(self._directory)), key=_age):
            self.epoch = max(self.epoch, segment.epoch + 1)
            segment.sequence = sequence
            if not sequence:
                self._free.append(segment)
            elif settled:
                self._retirement.add(segment, settled=True)
            elif segment.path in needed:
                segment.last.update(needed[segment.path])
                self._used.append(segment)
            else:
                segment.close()
                raise StorageError(
                    f"{segment.path} holds commits that were not recovered; recover the journal before using it"
                )

    def _opened(self, path: Path) -> tuple[int, bool, Segment]:
        reader = SegmentReader(path)
        reader.close()
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        segment = Segment(path, fd, os.fstat(fd).st_size)
        segment.epoch = reader.epoch
        self._names = max(self._names, int(path.name.removeprefix(_PREFIX)))
        return reader.sequence, reader.settled, segment

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
        self._trim()

    def prepare_spare(self) -> None:
        """Have the next segment ready before it is needed. Raises OSError when there is no room for one."""
        if self._spare is None:
            self._spare = self._prepare(0)

    def pin(self, commits: Iterable[tuple[bytes, int]]) -> None:
        """The current segment holds these commits of these objects."""
        with self._lock:
            self._used[-1].last.update(commits)

    def let_go(self, key: bytes, commit: int) -> None:
        """Nothing up to `commit` of this object is needed any more."""
        with self._lock:
            for segment in self._used:
                if segment.last.get(key, commit + 1) <= commit:
                    del segment.last[key]
        self.retire()

    def retire(self) -> None:
        """Have what is needed no more used again; also what could not be before. Blocks for a few writes."""
        with self._lock:
            while len(self._used) > 1 and not self._used[0].last:
                self._retirement.add(self._used.popleft())
        if self._retirement.waiting:
            self._retirement.advance()

    def needed(self) -> set[bytes]:
        """The objects that keep segments other than the current one from being used again."""
        with self._lock:
            return {key for segment in list(self._used)[:-1] for key in segment.last}

    def close(self) -> None:
        """Let go of the files. What nothing in them needs is said so on disk, so that it is not replayed."""
        while self._used and not self._used[0].last:
            segment = self._used.popleft()
            if segment.end > HEADER_BYTES or self._used:
                self._retirement.add(segment)
            else:
                self._free.append(segment)
        retired = self._retirement.close()
        unused = [*self._free, *([self._spare] if self._spare else [])]
        for segment in unused:
            if segment.sequence:  # it was begun and never written to
                segment.start(self._files, 0, self.epoch)
        for segment in [*unused, *retired, *self._used]:
            segment.close()

    def abandon(self) -> None:
        """Let go of the files and change nothing in them: they are recovered after the next start."""
        for segment in [*self._free, *([self._spare] if self._spare else []), *self._retirement.stop(), *self._used]:
            segment.close()

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

    def _freed(self, segment: Segment) -> None:
        with self._lock:
            self._free.append(segment)

    def _trim(self) -> None:
        """Remove free segments beyond those worth keeping."""
        while True:
            with self._lock:
                if len(self._free) <= _FREE_MAX and not any(segment.size > self._size for segment in self._free):
                    return
                segment = self._free.popleft()
            segment.close()
            segment.path.unlink()
            sync_directory(self._directory)


def _age(adopted: tuple[int, bool, Segment]) -> int:
    return adopted[0]
