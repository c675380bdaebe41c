"""What is fetched of an archive for one object."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.backup import partial_fetch
from roost.backup.partial_fetch import fetch_of
from roost.backup.target import DirectoryTarget, write_bytes
from roost.errors import StorageCorruptError
from roost.history.archive import ArchiveReader, ArchiveWriter
from roost.storage.journal.record import PAGE_BYTES, Record

KEYS = [bytes([number]) * 32 for number in range(30)]
NAME = "log/one.archive"


class Counting(DirectoryTarget):
    fetched = 0

    def stream(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for piece in super().stream(name, start, length):
            self.fetched += len(piece)
            yield piece


@pytest.fixture
def records() -> list[Record]:
    chance = random.Random(7)
    return [
        Record(
            key=key, binding="ROOM", commit=commit, previous=0, epoch=1, time_ms=commit, size_pages=8,
            images={page: chance.randbytes(PAGE_BYTES) for page in range(1, 9)},
        )
        for commit in (1, 2)
        for key in KEYS
    ]  # fmt: skip


@pytest.fixture
def target(tmp_path: Path, records: list[Record]) -> Counting:
    writer = ArchiveWriter(tmp_path / "archive", slot=0, sequence=1)
    for record in records:
        writer.add(record)
    writer.finish()
    target = Counting(tmp_path / "target")
    write_bytes(target, NAME, (tmp_path / "archive").read_bytes())
    return target


def fetched(target: Counting, path: Path) -> None:
    fetch_of(target, NAME, KEYS[7], path)
    ArchiveReader(path).close()


def test_one_object_is_read_from_it_as_from_the_whole(target: Counting, records: list[Record], tmp_path: Path) -> None:
    fetch_of(target, NAME, KEYS[7], tmp_path / "part")
    with ArchiveReader(tmp_path / "part") as archive:
        assert list(archive.records(KEYS[7])) == [one for one in records if one.key == KEYS[7]]
        with pytest.raises(StorageCorruptError):
            list(archive.records(KEYS[8]))
    assert target.fetched < target.size(NAME) / 10


def test_of_an_object_that_is_not_in_it_nothing_but_the_index_is_fetched(target: Counting, tmp_path: Path) -> None:
    fetch_of(target, NAME, b"x" * 32, tmp_path / "part")
    with ArchiveReader(tmp_path / "part") as archive:
        assert list(archive.records(b"x" * 32)) == []
    assert target.fetched < 10_000


def test_a_small_one_is_fetched_whole(target: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_fetch, "WHOLE_BYTES", target.size(NAME))
    fetch_of(target, NAME, KEYS[7], tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == (target.path / NAME).read_bytes()


@pytest.mark.parametrize("size", [0, 50, 400_000])
def test_one_that_is_damaged_is_told(target: Counting, tmp_path: Path, size: int) -> None:
    write_bytes(target, NAME, b"\xff" * size)
    with pytest.raises(StorageCorruptError):
        fetched(target, tmp_path / "part")
