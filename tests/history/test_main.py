"""What the child process does with its errand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import page
from tests.history.journals import write_segment

from roost.history import __main__ as child
from roost.history.__main__ import perform
from roost.history.errands import Fold, Folded, Found, Lookup, Refused, Rewind, Rewound
from roost.history.shelf import Shelf
from roost.history.trimming import Retention
from roost.ids import IdSpace
from roost.storage.journal.record import PAGE_BYTES, Record

MakeRecord = Callable[..., Record]
KEY = IdSpace("ROOM", "ROOM").from_name("lobby").key
FOREVER = Retention(1e9, 1 << 60)


@pytest.fixture(autouse=True)
def nice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much the child made itself stand back; this process must not."""
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    return asked


def test_folding_keeps_the_segments_and_stands_back_for_those_who_serve(
    tmp_path: Path, make_record: MakeRecord, nice: list[int]
) -> None:
    paths = [write_segment(tmp_path, n, [make_record(KEY, n, p1=n)], number=n) for n in (1, 2)]
    assert perform(Fold(str(tmp_path), list(map(str, paths)), FOREVER, 0)) == Folded(2)
    assert len(Shelf(tmp_path).archives()) == 2
    assert nice == [child.NICE]


def test_folding_stops_at_the_first_that_fails_and_says_why(tmp_path: Path, make_record: MakeRecord) -> None:
    good = write_segment(tmp_path, 1, [make_record(KEY, 1, p1=1)], number=1)
    busy = write_segment(tmp_path, 2, [make_record(KEY, 2, p1=2)], number=2, settled=False)
    third = write_segment(tmp_path, 3, [make_record(KEY, 3, p1=3)], number=3)
    outcome = perform(Fold(str(tmp_path), [str(good), str(busy), str(third)], FOREVER, 0))
    assert isinstance(outcome, Folded)
    assert (outcome.kept, "journal-000002 cannot be folded" in outcome.failure) == (1, True)


def test_folding_trims(tmp_path: Path, make_record: MakeRecord) -> None:
    paths = [write_segment(tmp_path, n, [make_record(KEY, n, time_ms=n, p1=n)], number=n) for n in (1, 2)]
    assert perform(Fold(str(tmp_path), list(map(str, paths)), Retention(0, 0), 10**9)) == Folded(2)
    assert Shelf(tmp_path).archives() == []


def test_what_is_kept_is_kept_even_when_trimming_fails(tmp_path: Path, make_record: MakeRecord) -> None:
    path = write_segment(tmp_path, 1, [make_record(KEY, 1, time_ms=1, p1=1)])
    Shelf(tmp_path).path.mkdir()
    (Shelf(tmp_path).path / "base").touch()
    outcome = perform(Fold(str(tmp_path), [str(path)], Retention(0, 0), 10**9))
    assert isinstance(outcome, Folded)
    assert (outcome.kept, "cannot be trimmed" in outcome.failure) == (1, True)


def test_rewinding_writes_the_state_into_the_file_that_was_handed_over(tmp_path: Path, make_record: MakeRecord) -> None:
    write_segment(tmp_path, 1, [make_record(KEY, 1, p1=1, p2=2), make_record(KEY, 5, p1=5)], settled=False)
    with tempfile.TemporaryFile() as file:
        errand = Rewind(str(tmp_path), "ROOM", KEY.hex(), 3, os.dup(file.fileno()))
        assert perform(errand) == Rewound(1, 2)
        assert file.read(2 * PAGE_BYTES + 1) == page(1) + page(2)


def test_looking_up_tells_the_commit_of_a_time(tmp_path: Path, make_record: MakeRecord) -> None:
    write_segment(tmp_path, 1, [make_record(KEY, 4, time_ms=100, p1=1)], settled=False)
    assert perform(Lookup(str(tmp_path), "ROOM", KEY.hex(), 100)) == Found(4)
    assert perform(Lookup(str(tmp_path), "ROOM", KEY.hex(), 99)) == Found(0)


def test_what_is_not_known_is_refused(tmp_path: Path, make_record: MakeRecord) -> None:
    write_segment(tmp_path, 1, [make_record(KEY, 4, size=2, p1=1)], settled=False)
    outcome = perform(Lookup(str(tmp_path), "ROOM", KEY.hex(), 100))
    assert isinstance(outcome, Refused)
    assert outcome.kind == "HistoryError"


def test_what_the_system_refuses_is_an_error_of_the_storage(tmp_path: Path) -> None:
    (tmp_path / "history").touch()
    outcome = perform(Lookup(str(tmp_path), "ROOM", KEY.hex(), 100))
    assert isinstance(outcome, Refused)
    assert outcome.kind == "StorageError"
