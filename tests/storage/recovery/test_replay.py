"""Records written into objects' files, newest first."""

from __future__ import annotations

from pathlib import Path

from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.recovery.replay import Replay, names_of


def record(commit: int, size: int, **pages: int) -> Record:
    images = {int(name[1:]): bytes([fill]) * PAGE_BYTES for name, fill in pages.items()}
    return Record(
        key=bytes(32), binding="ROOM", commit=commit, previous=0, epoch=1, time_ms=0, size_pages=size, images=images
    )


def replayed(path: Path, *newest_first: Record) -> list[int]:
    replay = Replay()
    for one in newest_first:
        replay.apply(path, one)
    replay.close()
    raw = path.read_bytes()
    assert len(raw) % PAGE_BYTES == 0
    return [raw[at] for at in range(0, len(raw), PAGE_BYTES)]


def test_the_newest_image_of_each_page_wins(tmp_path: Path) -> None:
    records = record(3, 3, p1=31), record(2, 3, p1=21, p3=23), record(1, 3, p1=11, p2=12, p3=13)
    assert replayed(tmp_path / "a", *records) == [31, 12, 23]


def test_what_the_file_held_stays_where_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes([1]) * PAGE_BYTES + bytes([2]) * PAGE_BYTES)
    assert replayed(tmp_path / "a", record(5, 2, p2=52)) == [1, 52]
    assert replayed(tmp_path / "a", record(5, 2, p2=52)) == [1, 52]


def test_pages_beyond_the_last_size_are_not_brought_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(9 * PAGE_BYTES))
    assert replayed(tmp_path / "a", record(2, 1, p1=21), record(1, 4, p1=11, p4=14)) == [21]


def test_a_write_ahead_log_of_another_version_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a-wal").write_bytes(b"left")
    replayed(tmp_path / "a", record(1, 1, p1=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_many_files_are_written_with_few_descriptors(tmp_path: Path) -> None:
    replay = Replay()
    for turn in (2, 1):
        for number in range(300):
            replay.apply(
                tmp_path / str(number), record(turn, 2, p1=10 * turn, p2=turn) if turn == 1 else record(2, 2, p1=9)
            )
    assert len(replay._open) <= 128
    replay.close()
    assert {(tmp_path / str(number)).read_bytes()[0] for number in range(300)} == {9}


def test_names_are_synced_from_the_file_upwards(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    paths = [
        objects / "ROOM" / "aa" / "1.sqlite",
        objects / "ROOM" / "bb" / "2.sqlite",
        objects / "T" / "aa" / "3.sqlite",
    ]
    room, other = objects / "ROOM", objects / "T"
    assert names_of(paths) == [[room / "aa", room / "bb", other / "aa"], [room, other], [objects]]
