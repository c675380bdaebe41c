"""The base: an object's pages where its kept history begins."""

from __future__ import annotations

import io
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import LARGE_PAGES, large_record, page

from roost.errors import StorageCorruptError
from roost.history import base as base_module
from roost.history.archive import ArchiveReader, ArchiveWriter
from roost.history.base import Base, Based
from roost.history.shelf import Shelf
from roost.storage.journal.record import PAGE_BYTES, Record

MakeRecord = Callable[..., Record]
A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def archive(tmp_path: Path, *records: Record) -> ArchiveReader:
    with tempfile.NamedTemporaryFile(dir=tmp_path, delete=False) as file:
        writer = ArchiveWriter(Path(file.name), slot=0, sequence=1)
    for record in records:
        writer.add(record)
    writer.finish()
    return ArchiveReader(Path(file.name))


def pages_of(base: Base, key: bytes = A) -> list[bytes]:
    with tempfile.TemporaryFile() as file:
        base.copy("ROOM", key, file)
        file.seek(0)
        raw = file.read()
    return [raw[at : at + PAGE_BYTES] for at in range(0, len(raw), PAGE_BYTES)]


def test_an_object_without_a_file_has_its_whole_history_in_archives(shelf: Shelf) -> None:
    assert Base(shelf).about("ROOM", A) is None


def test_a_folded_run_leaves_the_last_image_of_each_page(shelf: Shelf, tmp_path: Path, make_record: MakeRecord) -> None:
    base = Base(shelf)
    with archive(
        tmp_path,
        make_record(A, 1, time_ms=10, p1=1, p2=2),
        make_record(A, 2, time_ms=20, size=2, p1=3),
        make_record(B, 9, time_ms=30, p1=9),
    ) as first:
        base.fold(first, again=False)
    assert base.about("ROOM", A) == Based(2, 20, 2)
    assert pages_of(base) == [page(3), page(2)]
    assert pages_of(base, B) == [page(9)]


def test_what_was_cut_off_and_grew_again_holds_nothing_of_before(
    shelf: Shelf, tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    for held in (8_192, 0):
        monkeypatch.setattr(base_module, "_HELD_PAGES_MAX", held)
        base = Base(Shelf(tmp_path / str(held)))
        with archive(tmp_path, make_record(A, 1, p1=1, p2=2, p3=3)) as first:
            base.fold(first, again=False)
        with archive(tmp_path, make_record(A, 2, size=1, p1=4), make_record(A, 3, size=3, p3=5)) as second:
            base.fold(second, again=False)
        assert pages_of(base) == [page(4), bytes(PAGE_BYTES), page(5)]


def test_a_large_record_takes_the_place_of_everything_before(
    shelf: Shelf, tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "_HELD_PAGES_MAX", 2)
    base = Base(shelf)
    records = [make_record(A, 1, p1=1, p2=2), large_record(2, 7), make_record(A, 3, p2=3, size=LARGE_PAGES)]
    base.fold(archive(tmp_path, *records), again=False)
    found = pages_of(base)
    assert len(found) == LARGE_PAGES
    assert [found[0], found[1], found[-1]] == [page(7), page(3), page(7)]
    assert base.about("ROOM", A) == Based(3, 1_000, LARGE_PAGES)


def test_runs_that_the_base_has_already_change_nothing(shelf: Shelf, tmp_path: Path, make_record: MakeRecord) -> None:
    base = Base(shelf)
    old, new = make_record(A, 1, p1=1), make_record(A, 2, p1=2)
    with archive(tmp_path, old, new) as both, archive(tmp_path, old) as first:
        base.fold(both, again=False)
        base.fold(first, again=False)
    assert base.about("ROOM", A) == Based(2, 1_000, 1)
    assert pages_of(base) == [page(2)]


@pytest.mark.parametrize("torn", ["no trailer", "a trailer that lies"])
def test_a_fold_that_was_interrupted_is_mended_by_the_next(
    shelf: Shelf, tmp_path: Path, make_record: MakeRecord, torn: str
) -> None:
    base = Base(shelf)
    with archive(tmp_path, make_record(A, 1, p1=1, p2=2)) as first:
        base.fold(first, again=False)
    with archive(tmp_path, make_record(A, 2, size=2, p1=3), make_record(A, 3, size=3, p3=4)) as second:
        base.fold(second, again=False)
        path = base.path("ROOM", A)
        raw = path.read_bytes()
        half = page(1) + raw[PAGE_BYTES:]
        path.write_bytes(half if torn == "a trailer that lies" else half[: 2 * PAGE_BYTES + 100])
        base.fold(second, again=True)
    assert pages_of(base) == [page(3), page(2), page(4)]
    assert base.about("ROOM", A) == Based(3, 1_000, 3)


def test_a_file_without_its_trailer_is_refused(shelf: Shelf, tmp_path: Path, make_record: MakeRecord) -> None:
    base = Base(shelf)
    with archive(tmp_path, make_record(A, 1, p1=1)) as first:
        base.fold(first, again=False)
    path = base.path("ROOM", A)
    for raw in (path.read_bytes()[:-1], b"", path.read_bytes()[PAGE_BYTES:]):
        path.write_bytes(raw)
        with pytest.raises(StorageCorruptError, match="does not say which commit"):
            base.about("ROOM", A)


def test_a_database_that_is_put_there_can_be_opened_as_it_lies(shelf: Shelf, tmp_path: Path) -> None:
    source = tmp_path / "source.sqlite"
    connection = sqlite3.connect(source)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (42)")
    connection.commit()
    connection.close()
    base = Base(shelf)
    path = base.put("ROOM", A, source, Based(7, 70, source.stat().st_size // PAGE_BYTES))
    base.sync([path])
    assert base.about("ROOM", A) == Based(7, 70, source.stat().st_size // PAGE_BYTES)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT x FROM t").fetchall() == [(42,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert b"".join(pages_of(base)) == source.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_copying_needs_an_object_that_is_there(shelf: Shelf) -> None:
    with pytest.raises(FileNotFoundError):
        Base(shelf).copy("ROOM", A, io.BytesIO())
