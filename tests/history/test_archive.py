"""Archives: what was added is found again by object, whole, or an error says where it is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.history.conftest import LARGE_PAGES, large_record, page

from roost.errors import StorageCorruptError
from roost.history import archive as archive_module
from roost.history.archive import ArchiveReader, ArchiveWriter, Run
from roost.storage.journal.record import Record

MakeRecord = Callable[..., Record]
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def write(path: Path, records: Iterable[Record]) -> Path:
    writer = ArchiveWriter(path, slot=3, sequence=7)
    for record in records:
        writer.add(record)
    writer.finish()
    return path


@pytest.fixture
def some(tmp_path: Path, make_record: MakeRecord) -> Path:
    records = [
        make_record(B, 5, time_ms=500, p1=1, p2=2),
        make_record(A, 3, time_ms=510, binding="CHAT", p1=3),
        make_record(B, 6, time_ms=520, alarm=9_000, p2=4),
    ]
    return write(tmp_path / "some.archive", records)


def test_objects_are_listed_by_key_with_their_commits_and_times(some: Path) -> None:
    with ArchiveReader(some) as reader:
        assert list(reader.objects()) == [Run(A, "CHAT", 3, 3, 510, 510), Run(B, "ROOM", 5, 6, 500, 520)]
        assert (reader.slot, reader.sequence) == (3, 7)
        assert (reader.first_ms, reader.last_ms) == (500, 520)


def test_the_records_of_an_object_come_back_as_they_were(some: Path, make_record: MakeRecord) -> None:
    with ArchiveReader(some) as reader:
        found = list(reader.records(B))
        assert found == [
            make_record(B, 5, time_ms=500, p1=1, p2=2),
            make_record(B, 6, time_ms=520, alarm=9_000, p2=4),
        ]


def test_an_object_that_is_not_there_has_no_records(some: Path) -> None:
    with ArchiveReader(some) as reader:
        assert reader.run(C) is None
        assert list(reader.records(C)) == []


def test_a_large_record_comes_back_among_others_and_is_read_part_by_part(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, large, after = make_record(A, 1, p1=1), large_record(2, 7, A), make_record(A, 3, p2=3)
    path = write(tmp_path / "large.archive", [before, make_record(B, 9, p1=9), large, after, large_record(4, 8, A)])
    with ArchiveReader(path) as reader:
        reader.verify()
        found = list(reader.records(A))
        assert [(one.commit, one.aside, one.size_pages) for one in found[1:4:2]] == [
            (2, True, LARGE_PAGES),
            (4, True, LARGE_PAGES),
        ]
        assert (found[0], found[2]) == (before, after)
        read: list[int] = []
        content = reader._content

        def noted(number: int) -> bytes:
            read.append(number)
            return content(number)

        monkeypatch.setattr(reader, "_content", noted)
        assert all(image == page(7) for image in found[1].images.values())
        assert len(read) == 2
        assert [one.commit for one in reader.records(B)] == [9]
        assert len(reader.places(A)) == 2 * 3


def test_damage_in_a_part_of_a_large_record_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "large.archive", [large_record(2, 7, A)])
    with ArchiveReader(path) as reader:
        offset, length = reader.places(A)[2]
    raw = bytearray(path.read_bytes())
    raw[offset + length // 2] ^= 1
    path.write_bytes(raw)
    with ArchiveReader(path) as reader, pytest.raises(StorageCorruptError, match="chunk 2"):
        reader.verify()


def test_an_archive_of_nothing_can_be_read(tmp_path: Path) -> None:
    with ArchiveReader(write(tmp_path / "nothing.archive", [])) as reader:
        assert list(reader.objects()) == []
        assert reader.run(A) is None
        reader.verify()


def test_every_object_is_found_among_many(tmp_path: Path, make_record: MakeRecord) -> None:
    keys = [random.Random(n).randbytes(32) for n in range(200)]
    path = write(tmp_path / "many.archive", [make_record(key, n + 1, p1=n) for n, key in enumerate(keys)])
    with ArchiveReader(path) as reader:
        assert [record.commit for key in keys for record in reader.records(key)] == list(range(1, 201))
        assert [run.key for run in reader.objects()] == sorted(keys)


def test_more_than_is_held_at_once_stays_in_order(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_HELD_BYTES_MAX", 50_000)
    records = [make_record((A, B, A)[n % 3], n + 1, p1=n % 250, p2=n % 7) for n in range(120)]
    with ArchiveReader(write(tmp_path / "large.archive", records)) as reader:
        for key in (A, B):
            assert list(reader.records(key)) == [record for record in records if record.key == key]
        reader.verify()


def test_what_was_not_finished_is_no_archive(tmp_path: Path, make_record: MakeRecord) -> None:
    writer = ArchiveWriter(tmp_path / "x", slot=0, sequence=1)
    writer.add(make_record(p1=1))
    writer.close()
    with pytest.raises(StorageCorruptError, match="is damaged"):
        ArchiveReader(tmp_path / "x")


def test_archives_are_for_nobody_but_the_user(some: Path) -> None:
    assert some.stat().st_mode & 0o777 == 0o600


def test_every_byte_that_changed_is_noticed(some: Path) -> None:
    whole = some.read_bytes()
    for at in range(0, len(whole), 7):
        if at < 8:
            continue  # the magic at the beginning is for people
        some.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(StorageCorruptError, match="archive"), ArchiveReader(some) as reader:
            reader.verify()


@pytest.mark.parametrize("keep", [0, 5, 100])
def test_a_file_that_was_cut_is_refused(some: Path, keep: int) -> None:
    some.write_bytes(some.read_bytes()[:keep])
    with pytest.raises(StorageCorruptError, match="is damaged"):
        ArchiveReader(some)


def test_a_newer_version_is_refused_by_its_number(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(archive_module, "VERSION", 9)
        path = write(tmp_path / "newer.archive", [make_record(p1=1)])
    with pytest.raises(StorageCorruptError, match="version 9; this roost reads 1"):
        ArchiveReader(path)


def test_what_is_compressed_alike_takes_little(tmp_path: Path, make_record: MakeRecord) -> None:
    records = [make_record(A, n, p1=b"value %d" % n) for n in range(1, 101)]
    assert write(tmp_path / "x.archive", records).stat().st_size < 100 * 200
