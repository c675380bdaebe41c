"""Folding: a settled segment becomes an archive, once, whatever comes in between."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import large_record, page
from tests.history.journals import write_segment

from roost.errors import StorageError
from roost.history import folding
from roost.history.archive import ArchiveReader, ArchiveWriter
from roost.history.base import Base, Based
from roost.history.folding import fold, fold_all
from roost.history.shelf import Shelf
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import Record
from roost.storage.journal.side_file import SideFiles

MakeRecord = Callable[..., Record]
A, B = b"a" * 32, b"b" * 32


def kept(path: Path | None, key: bytes = A) -> list[int]:
    assert path is not None
    with ArchiveReader(path) as archive:
        archive.verify()
        return [record.commit for record in archive.records(key)]


def test_all_that_is_in_a_segment_is_in_its_archive(tmp_path: Path, make_record: MakeRecord) -> None:
    records = [make_record((A, B)[n % 2], n, p1=n, time_ms=n) for n in range(1, 8)]
    path = fold(tmp_path, write_segment(tmp_path, 0x100000005, records, slot=2))
    assert path is not None
    assert path.name == "0000000001-2-100000005.archive"
    with ArchiveReader(path) as archive:
        assert (archive.slot, archive.sequence) == (2, 0x100000005)
        for key in (A, B):
            assert list(archive.records(key)) == [record for record in records if record.key == key]


def with_side_file(data: Path, record: Record) -> Record:
    images = record.images
    assert isinstance(images, PartedImages)
    slot = data / "hosts" / "0"
    slot.mkdir(parents=True, exist_ok=True)
    SideFiles(slot).write(record.key, record.commit, record.size_pages, images.part)
    return record


def test_what_stands_in_a_side_file_is_in_the_archive_too(tmp_path: Path, make_record: MakeRecord) -> None:
    records = [make_record(A, 1, p1=1), with_side_file(tmp_path, large_record(2, 7)), make_record(A, 3, p1=3)]
    path = fold(tmp_path, write_segment(tmp_path, 1, records))
    assert kept(path) == [1, 2, 3]
    assert path is not None
    with ArchiveReader(path) as archive:
        large = list(archive.records(A))[1]
        assert set(map(bytes, large.images.values())) == {page(7)}


@pytest.mark.parametrize("damage", ["missing", "rotten"])
def test_a_side_file_that_cannot_be_read_is_left_out_and_reported(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    large = with_side_file(tmp_path, large_record(2, 7))
    path = SideFiles(tmp_path / "hosts" / "0").path(A, 2)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert kept(fold(tmp_path, write_segment(tmp_path, 1, [make_record(A, 1, p1=1), large]))) == [1]
    assert f"the history of object {A.hex()} has a hole there" in caplog.text


def test_a_segment_is_folded_once(tmp_path: Path, make_record: MakeRecord) -> None:
    segment = write_segment(tmp_path, 1, [make_record(A, 1, p1=1)])
    assert fold(tmp_path, segment) == fold(tmp_path, segment)
    assert len(Shelf(tmp_path).archives()) == 1


def test_a_journal_that_began_anew_under_old_numbers_is_kept_too(tmp_path: Path, make_record: MakeRecord) -> None:
    fold(tmp_path, write_segment(tmp_path, 1, [make_record(A, 1, p1=1)]))
    assert kept(fold(tmp_path, write_segment(tmp_path, 1, [make_record(A, 9, p1=2)]))) == [9]
    assert len(Shelf(tmp_path).archives()) == 2


def test_a_segment_of_nothing_has_no_archive(tmp_path: Path) -> None:
    assert fold(tmp_path, write_segment(tmp_path, 1, [])) is None
    assert fold(tmp_path, write_segment(tmp_path, 0, [], settled=False)) is None
    assert Shelf(tmp_path).archives() == []


def test_a_segment_in_use_is_refused(tmp_path: Path, make_record: MakeRecord) -> None:
    segment = write_segment(tmp_path, 1, [make_record(A, 1, p1=1)], settled=False)
    with pytest.raises(StorageError, match="is in use"):
        fold(tmp_path, segment)


def test_a_segment_that_was_used_again_meanwhile_is_not_kept_under_its_old_number(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = write_segment(tmp_path, 1, [make_record(A, 1, p1=1)])

    class Late(ArchiveWriter):
        def finish(self) -> None:
            super().finish()
            write_segment(tmp_path, 2, [make_record(A, 2, p1=2)])

    monkeypatch.setattr(folding, "ArchiveWriter", Late)
    with pytest.raises(StorageError, match="used again while"):
        fold(tmp_path, segment)
    assert list((tmp_path / "history" / "archives").iterdir()) == []


def test_what_is_damaged_is_left_out_and_reported(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    segment = write_segment(tmp_path, 1, [make_record(A, n, p1=n) for n in range(1, 7)])
    raw = bytearray(segment.read_bytes())
    second = raw.index(b"RENT", raw.index(b"RENT") + 4)
    raw[raw.index(b"RENT", second + 4) - 10] ^= 0xFF
    segment.write_bytes(raw)
    assert kept(fold(tmp_path, segment)) == [1, 2, 5, 6]
    assert "has a hole" in caplog.text


def full_for(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space is left for the next archives, so many times."""
    left = times

    class Full(ArchiveWriter):
        def finish(self) -> None:
            nonlocal left
            if left:
                left -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            super().finish()

    monkeypatch.setattr(folding, "ArchiveWriter", Full)


def test_older_history_gives_way_when_no_space_is_left(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (1, 2, 3):
        fold(tmp_path, write_segment(tmp_path, n, [make_record(A, n, p1=n)]))
    full_for(2, monkeypatch)
    assert kept(fold(tmp_path, write_segment(tmp_path, 4, [make_record(A, 4, p1=4)]))) == [4]
    shelf = Shelf(tmp_path)
    assert [kept(path) for path in shelf.archives()] == [[3], [4]]
    assert Base(shelf).about("ROOM", A) == Based(2, 1_000, 1)


def test_no_space_and_nothing_to_give_up_is_told_and_leaves_nothing_behind(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = write_segment(tmp_path, 1, [make_record(A, 1, p1=1)])
    with monkeypatch.context() as patched:
        full_for(1, patched)
        with pytest.raises(OSError, match="No space left"):
            fold(tmp_path, segment)
    assert list((tmp_path / "history" / "archives").iterdir()) == []
    assert kept(fold(tmp_path, segment)) == [1]


def test_another_failure_gives_up_no_history(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold(tmp_path, write_segment(tmp_path, 1, [make_record(A, 1, p1=1)]))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(folding, "_copy", fail)
    with pytest.raises(OSError, match="Input/output"):
        fold(tmp_path, write_segment(tmp_path, 2, [make_record(A, 2, p1=2)]))
    assert len(Shelf(tmp_path).archives()) == 1


def test_every_settled_segment_of_every_host_is_folded_in_the_order_of_their_use(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    write_segment(tmp_path, 8, [make_record(A, 2, p1=2)], number=1)
    write_segment(tmp_path, 7, [make_record(A, 1, p1=1)], number=2)
    write_segment(tmp_path, 9, [make_record(A, 3, p1=3)], number=3, settled=False)
    write_segment(tmp_path, 1, [make_record(B, 5, p1=5)], slot=1)
    assert fold_all(tmp_path) == 3
    archives = Shelf(tmp_path).archives()
    assert [kept(path) for path in archives[:2]] == [[1], [2]]
    assert kept(archives[2], B) == [5]
