# The past of one object, put together from where it lies.
#
#  (1) The sources, from the oldest on: the object's file in the base, archives in their order, live segments. The live
#      segments are opened before the archives are listed: a segment that is used again meanwhile has its archive by
#      then, and reading goes on with that. What stands in both is told once.
#  (2) Page images are absolute, and applied in order onto the base they give the state after any later commit. An
#      object without a base has its whole history in archives and segments, from its first commit on.
#  (3) A record names the commit before it, where its host knew that. Where that is another than the one that was read
#      before, something is missing: states behind such a hole are told only from the next complete record on.
#  (4) While an archive is being folded, and after that was interrupted, the base holds something between its beginning
#      and its end. Its records lead from there to its end, which is then the earliest state that is known.
"""ObjectHistory: the versions of an object, and what it held at any of them."""

from __future__ import annotations

import contextlib
import datetime
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO

import msgspec

from roost.errors import HistoryError, StorageError
from roost.history.archive import ArchiveReader
from roost.history.base import Base, Based
from roost.history.journal_view import LiveSegments, SegmentRecycledError, live_slots
from roost.history.live_state import FileImages, apply
from roost.history.shelf import Shelf
from roost.ids import ObjectId, typed
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.recovery.rewinder import State

_TRIES_MAX = 100


class Version(msgspec.Struct, frozen=True):
    """What one commit made of an object."""

    commit: int
    """0: nothing was ever stored."""
    time_ms: int
    pages: int
    """How many pages it changed."""
    bytes: int
    """The size of the database after it."""


_NOTHING = Version(0, 0, 0, 0)


class _Seen(msgspec.Struct, frozen=True):
    """A commit, of which the pages were let go."""

    version: Version
    previous: int
    is_complete: bool


class _Start(msgspec.Struct, frozen=True):
    """Where the known past of an object begins."""

    base: Based | None = None
    torn_until: int = 0
    """The last commit of the archive that is half folded into the base; 0 where that is not so. See (4)."""


class ObjectHistory:
    """The history of one object in a data directory, whether or not its host runs. Waits while history is trimmed."""

    def __init__(self, data: Path | str, object_id: ObjectId) -> None:
        self._data = Path(data)
        self._shelf = Shelf(data)
        self._base = Base(self._shelf)
        self._id = object_id

    def versions(self, newest: int | None = None) -> list[Version]:
        """All versions that are known, or the newest so many of them, in order."""
        found: deque[Version] = deque(maxlen=newest)
        with self._shelf.reading():
            start = self._start()
            if start.base is not None:
                found.append(_version_of_base(start.base))
            for record, known in self._walk(start):
                if known:
                    found.append(_version_of(record))
                else:
                    found.clear()
        return list(found)

    def latest(self, count: int) -> list[Version]:
        """The newest so many versions, in order, without reading what is before the archives that they are in.

        What is not read is taken to be whole. Where damage took something of it away `versions` leaves out what cannot
        be put together any more, and here `state_at` is the first to tell.
        """
        with self._shelf.reading():
            seen = None if self._start().torn_until else self._newest(count)
        if seen is None:
            return self.versions(count)
        known, last, found = True, seen[0].previous, list[Version]()
        for one in seen:
            known = one.is_complete or (known and one.previous in (0, last))
            if known:
                found.append(one.version)
            else:
                found.clear()
            last = one.version.commit
        return found[-count:]

    def _newest(self, count: int) -> list[_Seen] | None:
        """More than so many of the newest commits, in order; None where there are not that many in archives and live
        segments."""
        for _ in range(_TRIES_MAX):
            with contextlib.ExitStack() as stack:
                live = [LiveSegments(self._data, slot) for slot in live_slots(self._data)]
                for segments in live:
                    stack.callback(segments.close)
                try:
                    found = {record.commit: _seen(record) for record in self._live_records(live)}
                except SegmentRecycledError:
                    continue
                for path in reversed(self._shelf.archives()):
                    if len(found) > count:
                        break
                    with ArchiveReader(path) as archive:
                        found.update((record.commit, _seen(record)) for record in archive.records(self._id.key))
            return [found[commit] for commit in sorted(found)] if len(found) > count else None
        raise self._too_fast()

    def at_time(self, time_ms: int) -> Version:
        """The last version that was made no later than that; one with commit 0 when nothing had been stored by then.

        Raises HistoryError when that is not known any more.
        """
        with self._shelf.reading():
            start = self._start()
            found = _NOTHING
            if start.base is not None:
                if time_ms < start.base.time_ms:
                    raise self._unknown(start)
                found = _version_of_base(start.base)
            for record in self._up_to(start, lambda record: record.time_ms > time_ms):
                found = _version_of(record)
            return found

    def state_at(self, commit: int) -> State:
        """What the object held after that commit, or after the last one before it.

        Raises HistoryError when that is not known any more.
        """
        with tempfile.TemporaryFile(prefix="roost-") as file:
            last, size = self.write_state(commit, file)
            return State(commit=last, size_pages=size, images=FileImages(file) if size else {})

    def write_state(self, commit: int, into: IO[bytes]) -> tuple[int, int]:
        """Write the pages of `state_at` into an empty file; the number of the last commit in it, and its size in pages.

        Raises HistoryError when that is not known any more.
        """
        if commit == 0:
            return 0, 0
        with self._shelf.reading():
            self._check(commit, start := self._start())
            last = size = 0
            if start.base is not None or start.torn_until:
                with contextlib.suppress(FileNotFoundError):
                    self._base.copy(self._id.binding, self._id.key, into)
            if start.base is not None:
                last, size = start.base.commit, start.base.size_pages
            for record in self._up_to(start, lambda record: record.commit > commit):
                apply(record, into.fileno())
                last, size = record.commit, record.size_pages
            return last, size

    def check(self, commit: int) -> None:
        """Raises HistoryError when it can be told without reading the journal that `state_at` would."""
        with self._shelf.reading():
            self._check(commit, self._start())

    def _check(self, commit: int, start: _Start) -> None:
        if commit and start.base is not None and commit < start.base.commit:
            raise self._unknown(start)

    # From the oldest to the newest.

    def _start(self) -> _Start:
        torn = self._shelf.folding()
        if torn is not None:
            with ArchiveReader(torn) as archive:
                run = archive.run(self._id.key)
            if run is not None:
                return _Start(torn_until=run.last)
        return _Start(self._base.about(self._id.binding, self._id.key))

    def _up_to(self, start: _Start, is_beyond: Callable[[Record], bool]) -> Iterator[Record]:
        """The records before the first that is beyond. Raises HistoryError if the state at their end is not known."""
        known, seen = not start.torn_until, False
        with contextlib.closing(self._walk(start)) as walk:
            for record, known_after in walk:
                if is_beyond(record):
                    known = known if seen else known and (known_after or start.base is not None)
                    break
                known, seen = known_after, True
                yield record
        if not known:
            raise self._unknown(start)

    def _walk(self, start: _Start) -> Generator[tuple[Record, bool]]:
        """All records, and whether the state after each is known."""
        last = start.base.commit if start.base is not None else 0
        known = start.base is not None
        with contextlib.closing(self._records(last)) as records:
            for record in records:
                if _is_complete(record) or record.commit == start.torn_until:
                    known = True
                elif record.commit < start.torn_until or not last or record.previous not in (0, last):
                    known = False
                yield record, known
                last = record.commit

    def _records(self, last: int) -> Generator[Record]:
        """All records after the commit `last`; see (1)."""
        done: set[Path] = set()
        for _ in range(_TRIES_MAX):
            with contextlib.ExitStack() as stack:
                live = [LiveSegments(self._data, slot) for slot in live_slots(self._data)]
                for segments in live:
                    stack.callback(segments.close)
                try:
                    for record in self._everything(done, live):
                        if record.commit > last:
                            last = record.commit
                            yield record
                except SegmentRecycledError:
                    continue
                return
        raise self._too_fast()

    def _everything(self, done: set[Path], live: list[LiveSegments]) -> Iterator[Record]:
        key = self._id.key
        for path in self._shelf.archives():
            if path not in done:
                with ArchiveReader(path) as archive:
                    yield from archive.records(key)
                done.add(path)
        yield from self._live_records(live)

    def _live_records(self, live: list[LiveSegments]) -> Iterator[Record]:
        for segments in live:
            for entry in segments.entries(key=self._id.key):
                yield from entry.records(self._id.key)

    def _too_fast(self) -> StorageError:
        return StorageError(f"{typed(self._id)} cannot be read: its host uses segments again faster than they are read")

    def _unknown(self, start: _Start) -> HistoryError:
        """The error that says from when on the past is known."""
        earliest = start.base.time_ms if start.base is not None else None
        if earliest is None:
            with contextlib.closing(self._walk(start)) as walk:
                earliest = next((record.time_ms for record, known in walk if known), None)
        if earliest is None:
            name = typed(self._id)
            return HistoryError(f"no history of {name} is kept from which a state of it could be put together")
        since = datetime.datetime.fromtimestamp(earliest / 1000, datetime.UTC).isoformat(timespec="milliseconds")
        return HistoryError(f"the history of {typed(self._id)} is kept from {since} on", earliest_ms=earliest)


def _is_complete(record: Record) -> bool:
    return len(record.images) >= record.size_pages == sum(number <= record.size_pages for number in record.images)


def _seen(record: Record) -> _Seen:
    return _Seen(_version_of(record), record.previous, _is_complete(record))


def _version_of(record: Record) -> Version:
    return Version(record.commit, record.time_ms, len(record.images), record.size_pages * PAGE_BYTES)


def _version_of_base(base: Based) -> Version:
    return Version(base.commit, base.time_ms, base.size_pages, base.size_pages * PAGE_BYTES)
