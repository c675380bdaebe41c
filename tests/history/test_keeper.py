"""The keeper: what it was given is kept, in order, whatever happens to its children."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.history.journals import write_segment

from roost.errors import StorageError
from roost.history import errands as errands_module
from roost.history.archive import ArchiveReader
from roost.history.errands import Errand, Errands, Fold, Folded, Outcome
from roost.history.keeper import HistoryKeeper
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.record import Record

MakeRecord = Callable[..., Record]
LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")
KEY = LOBBY.key
NAMES = [Path(f"journal-{n}") for n in range(12)]


class Scripted(Errands):
    """Children whose outcomes a test decides; without any, everything is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Fold] = []
        self.outcomes: list[Outcome | StorageError] = []
        self.gate: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.held = False

    def run(self, errand: Errand, *, descriptors: tuple[int, ...] = ()) -> Outcome:
        assert isinstance(errand, Fold)
        self.asked.append(errand)
        if self.held:
            self.gate.get()
        outcome = self.outcomes.pop(0) if self.outcomes else Folded(len(errand.segments))
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome


class Told:
    """What became of each segment, in the order in which it was told."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[str, bool]] = queue.Queue()

    def of(self, segment: Path) -> Callable[[bool], None]:
        return lambda kept: self._queue.put((segment.name, kept))

    def next(self, count: int) -> list[tuple[str, bool]]:
        return [self._queue.get(timeout=60) for _ in range(count)]

    @property
    def none(self) -> bool:
        return self._queue.empty()


@pytest.fixture
def errands() -> Scripted:
    return Scripted()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def keeper(tmp_path: Path, errands: Scripted) -> Iterator[HistoryKeeper]:
    keeper = HistoryKeeper(tmp_path, Limits(history_seconds=5.0, history_bytes_max=7), errands=errands)
    yield keeper
    errands.gate.put(None)
    keeper.close()


def test_the_child_is_told_for_how_long_to_keep(keeper: HistoryKeeper, errands: Scripted, told: Told) -> None:
    keeper.keep(NAMES[0], told.of(NAMES[0]))
    assert told.next(1) == [("journal-0", True)]
    assert (errands.asked[0].retention.seconds, errands.asked[0].retention.bytes_max) == (5.0, 7)


def test_segments_that_wait_are_folded_by_one_child_in_order(
    keeper: HistoryKeeper, errands: Scripted, told: Told
) -> None:
    errands.held = True
    keeper.keep(NAMES[0], told.of(NAMES[0]))
    while not errands.asked:
        pass
    for name in NAMES[1:]:
        keeper.keep(name, told.of(name))
    for _ in range(4):
        errands.gate.put(None)
    assert told.next(12) == [(name.name, True) for name in NAMES]
    assert [len(errand.segments) for errand in errands.asked] == [1, 8, 3]


def test_those_behind_one_that_failed_come_again_after_it(keeper: HistoryKeeper, errands: Scripted, told: Told) -> None:
    errands.held = True
    errands.outcomes = [Folded(1), Folded(1, "the disk is full")]
    keeper.keep(NAMES[0], told.of(NAMES[0]))
    while not errands.asked:
        pass
    for name in NAMES[1:4]:
        keeper.keep(name, told.of(name))
    for _ in range(2):
        errands.gate.put(None)
    outcome = [("journal-0", True), ("journal-1", True), ("journal-2", False), ("journal-3", False)]
    assert told.next(4) == outcome


def test_failures_are_told_louder_when_they_do_not_end(
    keeper: HistoryKeeper, errands: Scripted, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    errands.outcomes = [StorageError("killed"), StorageError("killed"), Folded(0, "full"), Folded(1), Folded(0, "odd")]
    for n in range(5):
        keeper.keep(NAMES[n], told.of(NAMES[n]))
        assert told.next(1) == [(f"journal-{n}", n == 3)]
    assert [entry.levelname for entry in caplog.records] == ["WARNING", "WARNING", "ERROR", "WARNING"]
    assert "the journal grows (failure 3 in a row): full" in caplog.text


def test_after_closing_nobody_is_told_and_nothing_begins(tmp_path: Path, errands: Scripted, told: Told) -> None:
    keeper = HistoryKeeper(tmp_path, errands=errands)
    errands.held = True
    keeper.keep(NAMES[0], told.of(NAMES[0]))
    while not errands.asked:
        pass
    keeper.keep(NAMES[1], told.of(NAMES[1]))
    errands.close = lambda: errands.gate.put(None)  # type: ignore[method-assign]
    keeper.close()
    keeper.keep(NAMES[2], told.of(NAMES[2]))
    keeper.close()
    assert told.none
    assert len(errands.asked) == 1


KILLED = """
import os, sys
from roost.history import archive, base, folding, shelf, trimming
from roost.history.__main__ import main

def die(*arguments, **options):
    os.kill(os.getpid(), 9)

def after(function):
    return lambda *arguments, **options: (function(*arguments, **options), die())

{point}
sys.exit(main(sys.argv[1:]))
"""
POINTS = [
    "archive.ArchiveWriter._write_index = die",
    "archive.ArchiveWriter.finish = after(archive.ArchiveWriter.finish)",
    "folding._check_same_use = die",
    "shelf.Shelf.place = after(shelf.Shelf.place)",
    "trimming._fold = die",
    "shelf.Shelf.write_state = after(shelf.Shelf.write_state)",
    "base._write = die",
    "base._write = after(base._write)",
    "base.Base.sync = die",
    "shelf.Shelf.remove = die",
    "shelf.Shelf.remove = after(shelf.Shelf.remove)",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_child_that_is_killed_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, make_record: MakeRecord, told: Told, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """What is kept goes away at once here, so that the child trims too."""
    limits = Limits(history_seconds=0)
    old = write_segment(tmp_path, 1, [make_record(KEY, 1, time_ms=1, p1=1, p2=1)], number=1)
    young = write_segment(tmp_path, 2, [make_record(KEY, 2, previous=1, time_ms=1 << 50, size=2, p1=2)], number=2)
    command = errands_module.COMMAND
    monkeypatch.setattr(errands_module, "COMMAND", (sys.executable, "-c", KILLED.format(point=point)))
    keeper = HistoryKeeper(tmp_path, limits)
    keeper.keep(old, told.of(old))
    assert told.next(1) == [("journal-000001", False)]
    assert ObjectHistory(tmp_path, LOBBY).state_at(1).commit == 1, "what it held can be told in between, too"

    monkeypatch.setattr(errands_module, "COMMAND", command)
    for path in (old, young):
        keeper.keep(path, told.of(path))
        assert told.next(1) == [(path.name, True)]
    keeper.close()
    history = ObjectHistory(tmp_path, LOBBY)
    assert [version.commit for version in history.versions()] == [1, 2]
    assert [bytes(page[:1]) for page in history.state_at(2).images.values()] == [b"\2", b"\1"]
    for path in Shelf(tmp_path).archives():
        with ArchiveReader(path) as archive:
            archive.verify()
    assert not list(Shelf(tmp_path).path.rglob("*.new"))
