"""Side files: whole and durable before their records, checked when they are read, gone when nothing needs them."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import record
from tests.history.journals import write_segment

from roost.errors import StorageCorruptError
from roost.storage.files import Files, ScriptedFiles
from roost.storage.journal import side_file
from roost.storage.journal.parted_images import PAGE_BYTES, PART_PAGES
from roost.storage.journal.record import Record
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import Segments, segment_paths
from roost.storage.journal.side_file import SideFileMissingError, SideFiles, commits_of

KEY = b"k" * 32
SIZE = PART_PAGES + 5


@pytest.fixture(scope="module")
def pages() -> bytes:
    return random.Random(1).randbytes(SIZE * PAGE_BYTES)


@pytest.fixture
def part(pages: bytes) -> Callable[[int], bytes]:
    length = PART_PAGES * PAGE_BYTES
    return lambda number: pages[number * length : (number + 1) * length]


@pytest.fixture
def side_files(tmp_path: Path) -> SideFiles:
    slot = tmp_path / "hosts" / "0"
    slot.mkdir(parents=True)
    return SideFiles(slot)


def head(commit: int = 7, size: int = SIZE) -> Record:
    """A record as it is decoded: its pages stand elsewhere."""
    return Record(
        key=KEY,
        binding="ROOM",
        commit=commit,
        previous=0,
        epoch=1,
        time_ms=1,
        size_pages=size,
        images={},
        aside=True,
    )


def test_what_was_written_comes_back(side_files: SideFiles, pages: bytes, part: Callable[[int], bytes]) -> None:
    written = side_files.write(KEY, 7, SIZE, part)
    found = side_files.whole(head())
    assert b"".join(found.images.values()) == b"".join(written.values()) == pages
    assert side_files.all() == {(KEY, 7)}
    assert os.stat(side_files.path(KEY, 7)).st_mode & 0o777 == 0o600


def test_a_record_that_holds_its_pages_is_left_as_it_is(side_files: SideFiles) -> None:
    ordinary = record(KEY, 1, p1=1)
    assert side_files.whole(ordinary) is ordinary


def test_a_side_file_that_is_not_there_is_told(side_files: SideFiles) -> None:
    with pytest.raises(SideFileMissingError, match="the pages of commit 7 of object 6b6b"):
        side_files.whole(head())


def test_what_was_opened_can_be_read_after_it_was_removed(
    side_files: SideFiles, pages: bytes, part: Callable[[int], bytes]
) -> None:
    side_files.write(KEY, 7, SIZE, part)
    found = side_files.whole(head())
    side_files.remove([(KEY, 7), (KEY, 8)])
    assert b"".join(found.images.values()) == pages
    assert side_files.all() == set()


def test_a_side_file_of_another_size_is_refused(side_files: SideFiles, part: Callable[[int], bytes]) -> None:
    side_files.write(KEY, 7, SIZE, part)
    with pytest.raises(StorageCorruptError, match="does not begin like one of its commit"):
        side_files.whole(head(size=SIZE + 1))


@pytest.mark.parametrize("at", [3, 60, 5_000, -1])
def test_any_flipped_bit_is_noticed(side_files: SideFiles, part: Callable[[int], bytes], at: int) -> None:
    side_files.write(KEY, 7, SIZE, part)
    path = side_files.path(KEY, 7)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    path.write_bytes(raw)
    with pytest.raises(StorageCorruptError, match="the side file"):
        list(side_files.whole(head()).images.values())


def test_one_that_was_cut_is_refused(side_files: SideFiles, part: Callable[[int], bytes]) -> None:
    side_files.write(KEY, 7, SIZE, part)
    path = side_files.path(KEY, 7)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StorageCorruptError):
        list(side_files.whole(head()).images.values())


def test_a_block_that_the_disk_cannot_read_is_damage(
    side_files: SideFiles, part: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    side_files.write(KEY, 7, SIZE, part)
    images = side_files.whole(head()).images

    def unreadable(fd: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "a bad block")

    monkeypatch.setattr(side_file, "read_fully", unreadable)
    with pytest.raises(StorageCorruptError, match="cannot be read from the disk"):
        list(images.values())


def test_without_room_nothing_is_left_behind(
    side_files: SideFiles, tmp_path: Path, part: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ScriptedFiles()
    full.refuse_write = OSError(errno.ENOSPC, "no space left")
    monkeypatch.setattr(side_file, "Files", lambda: full)
    with pytest.raises(OSError, match="no space left"):
        side_files.write(KEY, 7, SIZE, part)
    assert list((tmp_path / "hosts" / "0" / "side").iterdir()) == []


def test_a_large_one_is_synced_while_it_is_written(
    side_files: SideFiles, part: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = ScriptedFiles()
    monkeypatch.setattr(side_file, "Files", lambda: counting)
    monkeypatch.setattr(side_file, "SYNC_BYTES", 1024 * 1024)
    side_files.write(KEY, 7, SIZE, part)
    assert counting.syncs == 1  # the first part is 4 MiB of noise, the second one 20 KiB


# Which ones stay.


def segment(tmp_path: Path, commit: int, *, settled: bool = False, number: int = 1) -> Path:
    return write_segment(tmp_path, number, [head(commit)], number=number, settled=settled)


def test_what_no_segment_has_a_record_of_goes_at_the_next_start(
    side_files: SideFiles, tmp_path: Path, part: Callable[[int], bytes]
) -> None:
    paths = [segment(tmp_path, 7), segment(tmp_path, 8, settled=True, number=2)]
    for commit in (7, 8, 9):
        side_files.write(KEY, commit, SIZE, part)
    unfinished = side_files.path(KEY, 10).with_suffix(".new")
    unfinished.write_bytes(b"begun")
    needed = {paths[0]: {KEY: 7}}
    journal = Segments(tmp_path / "hosts" / "0", 16 * 1024, Files(), needed=needed)
    assert side_files.all() == {(KEY, 7), (KEY, 8)}
    assert not unfinished.exists()
    journal.abandon()


def test_where_a_segment_is_damaged_none_is_removed(
    side_files: SideFiles, tmp_path: Path, part: Callable[[int], bytes]
) -> None:
    path = write_segment(tmp_path, 1, [record(KEY, n, p1=n) for n in range(1, 6)], settled=False)
    with path.open("r+b") as file:
        file.seek(4096 + 200)
        file.write(b"rot")
    side_files.write(KEY, 9, SIZE, part)
    assert commits_of(path) is None
    side_files.remove_unused([path])
    assert side_files.all() == {(KEY, 9)}


def test_it_goes_when_its_segment_becomes_free_and_no_earlier(
    side_files: SideFiles, tmp_path: Path, part: Callable[[int], bytes]
) -> None:
    directory = tmp_path / "hosts" / "0"
    side_files.write(KEY, 7, SIZE, part)
    path = segment(tmp_path, 7)
    kept: list[Callable[[bool], None]] = []

    class Keeper:
        def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
            kept.append(done)

        def adopt(self, data: Path) -> None: ...
        def close(self) -> None: ...

    journal = Segments(directory, 16 * 1024, Files(), keeper=Keeper(), needed={path: {KEY: 7}})
    journal.roll(0)
    journal.let_go(KEY, 7)
    assert len(kept) == 1
    assert side_files.all() == {(KEY, 7)}
    kept[0](True)
    assert side_files.all() == set()
    reader = SegmentReader(path)
    reader.close()
    assert reader.sequence == 0
    journal.abandon()
    assert len(segment_paths(directory)) == 2
