"""From the last need of a segment to its next use: every step in order, none skipped, and what fails is tried again."""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import StorageError
from roost.storage.files import ScriptedFiles
from roost.storage.journal import retirement
from roost.storage.journal.segment import HEADER_BYTES, SegmentReader
from roost.storage.journal.segments import Segments, segment_paths

SIZE = 16 * 1024


class Shelf:
    """A keeper whose work a test finishes by hand."""

    def __init__(self) -> None:
        self.offered: list[tuple[Path, Callable[[bool], None]]] = []
        self.refuses: Exception | None = None

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.offered.append((segment, done))

    def adopt(self, data: Path) -> None: ...
    def close(self) -> None: ...


class Journal:
    """Segments with a keeper; `flushed` says how often the agenda was made durable."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retirement, "_RETRY_SECONDS", 0.0)
        monkeypatch.setattr(retirement, "_RETRY_SECONDS_MAX", 0.0)
        self.directory = directory
        self.files, self.keeper = ScriptedFiles(), Shelf()
        self.flushed = 0
        self.refuse_flush: Exception | None = None
        self.segments = self.open()

    def open(self) -> Segments:
        return Segments(self.directory, SIZE, self.files, keeper=self.keeper, flush=self.flush)

    def flush(self) -> None:
        if self.refuse_flush is not None:
            raise self.refuse_flush
        self.flushed += 1

    def use(self, key: bytes) -> Path:
        """Begin a segment that this object needs."""
        self.segments.roll(0)
        self.segments.pin([(key, 1)])
        self.segments.current.end = HEADER_BYTES + 1  # as if it had an entry
        return self.segments.current.path

    def states(self) -> list[str]:
        return [state(path) for path in segment_paths(self.directory)]


def state(path: Path) -> str:
    reader = SegmentReader(path)
    reader.close()
    return "free" if not reader.sequence else "settled" if reader.settled else "in use"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    return Journal(tmp_path, monkeypatch)


def test_a_segment_is_used_again_only_when_it_was_kept(journal: Journal) -> None:
    first, second = journal.use(b"a"), journal.use(b"b")
    journal.segments.let_go(b"a", 1)
    assert (state(first), journal.flushed) == ("settled", 1)
    ((offered, done),) = journal.keeper.offered
    assert offered == first
    assert journal.use(b"c") not in (first, second)
    done(True)
    assert state(first) == "free"
    assert journal.use(b"d") == first


def test_nothing_is_settled_before_the_agenda_is_durable(journal: Journal) -> None:
    first = journal.use(b"a")
    journal.use(b"b")
    journal.refuse_flush = StorageError("no room for the agenda")
    journal.segments.let_go(b"a", 1)
    assert (state(first), journal.keeper.offered) == ("in use", [])
    journal.refuse_flush = None
    journal.segments.retire()
    assert (state(first), len(journal.keeper.offered)) == ("settled", 1)


def test_a_segment_that_could_not_be_kept_is_offered_again(journal: Journal) -> None:
    first = journal.use(b"a")
    journal.use(b"b")
    journal.segments.let_go(b"a", 1)
    journal.keeper.offered.pop()[1](False)
    assert state(first) == "settled"
    journal.segments.retire()
    journal.keeper.offered.pop()[1](True)
    assert state(first) == "free"


def test_a_keeper_that_raises_is_asked_again(journal: Journal) -> None:
    first = journal.use(b"a")
    journal.use(b"b")
    journal.keeper.refuses = OSError(errno.EMFILE, "too many open files")
    journal.segments.let_go(b"a", 1)
    assert state(first) == "settled"
    journal.keeper.refuses = None
    journal.segments.retire()
    journal.keeper.offered.pop()[1](True)
    assert state(first) == "free"


def test_segments_are_freed_oldest_first_however_the_keeper_finishes(journal: Journal) -> None:
    first, second = journal.use(b"a"), journal.use(b"b")
    journal.use(b"c")
    journal.segments.let_go(b"b", 1)
    assert journal.states() == ["in use"] * 3
    journal.segments.let_go(b"a", 1)
    (_, keep_first), (_, keep_second) = journal.keeper.offered
    keep_second(True)
    assert [state(first), state(second)] == ["settled", "settled"]
    keep_first(True)
    assert [state(first), state(second)] == ["free", "free"]


def test_a_mark_that_cannot_be_written_holds_up_those_behind_it(journal: Journal) -> None:
    first, second = journal.use(b"a"), journal.use(b"b")
    journal.use(b"c")
    journal.files.refuse_sync = OSError(errno.EIO, "input/output error")
    journal.segments.let_go(b"a", 1)
    journal.segments.let_go(b"b", 1)
    assert journal.keeper.offered == []
    journal.files.refuse_sync = None
    journal.segments.retire()
    assert [path for path, _ in journal.keeper.offered] == [first, second]


def test_a_failing_keeper_is_not_asked_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, monkeypatch)
    monkeypatch.setattr(retirement, "_RETRY_SECONDS", 5.0)
    monkeypatch.setattr(retirement, "_RETRY_SECONDS_MAX", 60.0)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    journal.use(b"a")
    journal.use(b"b")
    journal.segments.let_go(b"a", 1)
    asked = []
    for _ in range(200):
        while journal.keeper.offered:
            asked.append(now)
            journal.keeper.offered.pop()[1](False)
        now += 1
        journal.segments.retire()
    assert [later - earlier for earlier, later in itertools.pairwise(asked)] == [5, 10, 20, 40, 60, 60]


def test_what_a_clean_close_did_not_get_kept_is_offered_after_the_next_start(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [journal.use(b"a"), journal.use(b"b"), journal.use(b"c")]
    for key in (b"a", b"b", b"c"):
        journal.segments.let_go(key, 1)
    journal.segments.close()
    assert journal.states() == ["settled"] * 3
    journal.keeper.offered.clear()
    segments = journal.open()
    segments.roll(0)
    segments.retire()
    assert [path for path, _ in journal.keeper.offered] == paths
    for _, done in journal.keeper.offered:
        done(True)
    assert [state(path) for path in paths] == ["free"] * 3
    segments.close()


def test_a_close_without_a_durable_agenda_leaves_everything_to_be_replayed(journal: Journal) -> None:
    journal.use(b"a")
    journal.segments.let_go(b"a", 1)
    journal.refuse_flush = StorageError("no room")
    journal.segments.close()
    assert journal.states() == ["in use"]
