"""Trimming: which archives go, and that nothing which interrupts it loses or tears anything."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import page

from roost.history import trimming
from roost.history.archive import ArchiveWriter
from roost.history.base import Base, Based
from roost.history.shelf import Shelf
from roost.history.trimming import Retention, expired, make_room, trim
from roost.storage.journal.record import PAGE_BYTES, Record

MakeRecord = Callable[..., Record]
A = b"a" * 32
MINUTE = 60_000
FOREVER = Retention(1e9, 1 << 60)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data")


def shelve(shelf: Shelf, sequence: int, *records: Record) -> Path:
    writer = ArchiveWriter(shelf.new(0, sequence), slot=0, sequence=sequence)
    for record in records:
        writer.add(record)
    writer.finish()
    return shelf.place(writer.path, 0, sequence)


def pages_of(shelf: Shelf) -> list[bytes]:
    with tempfile.TemporaryFile() as file:
        Base(shelf).copy("ROOM", A, file)
        file.seek(0)
        raw = file.read()
    return [raw[at : at + PAGE_BYTES] for at in range(0, len(raw), PAGE_BYTES)]


def test_what_is_older_than_the_retention_is_folded_into_the_base(shelf: Shelf, make_record: MakeRecord) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1, p2=1))
    young = shelve(shelf, 2, make_record(A, 2, time_ms=30 * MINUTE, size=2, p1=2))
    assert trim(shelf, Retention(3600, 1 << 60), 61 * MINUTE) == 1
    assert shelf.archives() == [young]
    assert Base(shelf).about("ROOM", A) == Based(1, 0, 2)
    assert pages_of(shelf) == [page(1), page(1)]
    assert (shelf.state().order, shelf.state().folding) == (1, "")


def test_more_bytes_than_allowed_make_the_oldest_go(shelf: Shelf, make_record: MakeRecord) -> None:
    paths = [shelve(shelf, n, make_record(A, n, time_ms=n, p1=n)) for n in (1, 2, 3)]
    two = sum(path.stat().st_size for path in paths[1:])
    assert trim(shelf, Retention(1e9, two), 60 * MINUTE) == 1
    assert shelf.archives() == paths[1:]


def test_what_is_younger_than_ten_minutes_stays_whatever_the_limits(shelf: Shelf, make_record: MakeRecord) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=MINUTE, p1=1))
    assert expired(shelf, Retention(0, 0), 11 * MINUTE) == []
    assert expired(shelf, Retention(0, 0), 11 * MINUTE + 1) == shelf.archives()


def test_nothing_goes_before_what_is_older(shelf: Shelf, make_record: MakeRecord) -> None:
    """The clock went back between the two."""
    shelve(shelf, 1, make_record(A, 1, time_ms=50 * MINUTE, p1=1))
    shelve(shelf, 2, make_record(A, 2, time_ms=MINUTE, p1=2))
    assert expired(shelf, Retention(1800, 1 << 60), 60 * MINUTE) == []


def test_nothing_goes_while_somebody_reads(shelf: Shelf, make_record: MakeRecord) -> None:
    path = shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1))
    with shelf.reading():
        assert trim(shelf, Retention(0, 0), 60 * MINUTE) == 0
        assert not make_room(shelf)
    assert shelf.archives() == [path]


def test_room_is_made_of_the_oldest_whatever_its_age(shelf: Shelf, make_record: MakeRecord) -> None:
    paths = [shelve(shelf, n, make_record(A, n, time_ms=n, p1=n)) for n in (1, 2)]
    assert make_room(shelf)
    assert shelf.archives() == paths[1:]
    assert make_room(shelf)
    assert not make_room(shelf)
    assert pages_of(shelf) == [page(2)]


@pytest.mark.parametrize("cut_at", range(8))
def test_trimming_that_was_cut_short_anywhere_is_done_again(
    shelf: Shelf, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut_at: int
) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1, p2=1))
    shelve(shelf, 2, make_record(A, 2, time_ms=1, size=2, p1=2), make_record(A, 3, time_ms=2, p3=3))
    steps = 0

    def cutting(function: Callable[..., object]) -> Callable[..., object]:
        def cut(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps > cut_at:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return cut

    with monkeypatch.context() as patched:
        for owner, name in ((Shelf, "write_state"), (Shelf, "remove"), (Base, "_fold_run"), (Base, "sync")):
            patched.setattr(owner, name, cutting(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            trim(shelf, Retention(0, 0), 60 * MINUTE)
    copy = Shelf(tmp_path / "copy")
    shutil.copytree(shelf.data, copy.data)
    trim(copy, Retention(0, 0), 60 * MINUTE)
    assert copy.archives() == []
    assert pages_of(copy) == [page(2), page(1), page(3)]
    assert Base(copy).about("ROOM", A) == Based(3, 2, 3)
    assert copy.state().folding == ""


def test_retention_is_never_below_ten_minutes() -> None:
    assert Retention(0, 0).milliseconds == trimming.KEPT_SECONDS_MIN * 1000
    assert FOREVER.milliseconds == 1e12
