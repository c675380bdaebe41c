"""The past of one object: what is told of it is what it was, wherever it lies, or an error says from when on it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.history.conftest import page
from tests.history.journals import write_segment

from roost.errors import HistoryError
from roost.history.archive import ArchiveReader
from roost.history.base import Base
from roost.history.folding import fold
from roost.history.object_history import ObjectHistory, Version
from roost.history.shelf import Shelf
from roost.history.trimming import make_room
from roost.ids import IdSpace
from roost.storage.files import Files
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segment import SegmentReader

MakeRecord = Callable[..., Record]
SPACE = IdSpace("ROOM", "ROOM")
LOBBY = SPACE.from_name("lobby")
KEY, OTHER = LOBBY.key, SPACE.from_name("other").key


@pytest.fixture
def history(tmp_path: Path) -> ObjectHistory:
    return ObjectHistory(tmp_path, LOBBY)


def keep(data: Path, sequence: int, *records: Record) -> None:
    """A segment with these records that was folded and is free again."""
    path = write_segment(data, sequence, records)
    fold(data, path)
    with contextlib.closing(SegmentReader(path, writable=True)) as reader:
        reader.clear(Files())


def pages(history: ObjectHistory, commit: int) -> list[bytes]:
    state = history.state_at(commit)
    return [bytes(state.images[number]) for number in range(1, state.size_pages + 1)]


def commits(history: ObjectHistory) -> list[int]:
    return [version.commit for version in history.versions()]


def test_an_object_that_never_stored_anything_held_nothing_at_any_time(history: ObjectHistory) -> None:
    assert history.versions() == []
    assert history.at_time(5).commit == 0
    assert (history.state_at(77).size_pages, history.state_at(77).commit) == (0, 0)


def test_every_state_is_told_from_a_live_segment(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    records = [
        make_record(KEY, 10, time_ms=100, p1=1, p2=2),
        make_record(OTHER, 11, p1=9),
        make_record(KEY, 12, previous=10, time_ms=200, size=2, p1=3),
        make_record(KEY, 15, previous=12, time_ms=300, size=1, p1=4),
    ]
    write_segment(tmp_path, 1, records, settled=False)
    assert pages(history, 9) == []
    assert pages(history, 10) == pages(history, 11) == [page(1), page(2)]
    assert pages(history, 12) == pages(history, 14) == [page(3), page(2)]
    assert pages(history, 15) == pages(history, 999) == [page(4)]
    assert history.state_at(14).commit == 12
    assert history.versions() == [
        Version(10, 100, 2, 2 * PAGE_BYTES),
        Version(12, 200, 1, 2 * PAGE_BYTES),
        Version(15, 300, 1, PAGE_BYTES),
    ]
    assert history.versions(2) == history.versions()[1:]


def test_the_version_of_a_time_is_the_last_one_before_it(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, make_record(KEY, 1, time_ms=100, p1=1))
    write_segment(tmp_path, 2, [make_record(KEY, 2, time_ms=200, p1=2)], settled=False)
    assert [history.at_time(time).commit for time in (99, 100, 199, 200, 10_000)] == [0, 1, 1, 2, 2]


def test_archives_segments_and_base_make_one_history(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, make_record(KEY, 1, time_ms=100, p1=1, p2=1), make_record(KEY, 2, time_ms=200, size=2, p1=2))
    keep(tmp_path, 2, make_record(OTHER, 3, p1=7))
    keep(tmp_path, 3, make_record(KEY, 3, previous=2, time_ms=300, size=2, p1=3))
    write_segment(tmp_path, 4, [make_record(KEY, 4, previous=3, time_ms=400, size=3, p3=4)], settled=False)
    expected = {1: [page(1), page(1)], 2: [page(2), page(1)], 3: [page(3), page(1)], 4: [page(3), page(1), page(4)]}
    assert {commit: pages(history, commit) for commit in commits(history)} == expected

    assert make_room(Shelf(tmp_path))
    assert commits(history) == [2, 3, 4]
    assert {commit: pages(history, commit) for commit in (2, 3, 4)} == {n: expected[n] for n in (2, 3, 4)}
    while make_room(Shelf(tmp_path)):
        pass
    assert commits(history) == [3, 4]
    assert pages(history, 4) == expected[4]


def test_what_is_not_kept_any_more_is_refused_with_the_earliest_that_is(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, make_record(KEY, 5, time_ms=1_500, p1=1))
    make_room(Shelf(tmp_path))
    for ask in (history.state_at, history.check):
        with pytest.raises(HistoryError, match=r"is kept from 1970-01-01T00:00:01\.500\+00:00 on") as caught:
            ask(4)
        assert caught.value.earliest_ms == 1_500
    with pytest.raises(HistoryError):
        history.at_time(1_499)
    assert history.at_time(1_500).commit == 5
    assert history.state_at(0).size_pages == 0, "that it held nothing, once, is known for ever"


def test_a_segment_that_is_kept_and_still_there_is_told_once(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    path = write_segment(tmp_path, 1, [make_record(KEY, 1, p1=1), make_record(KEY, 2, p1=2)])
    fold(tmp_path, path)
    assert commits(history) == [1, 2]


def test_a_segment_that_is_used_again_while_it_is_read_is_read_from_its_archive(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_segment(tmp_path, 1, [make_record(KEY, n, p1=n) for n in range(1, 7)])
    listing = Shelf.archives
    calls = 0

    def late(shelf: Shelf) -> list[Path]:
        nonlocal calls
        found = listing(shelf)
        calls += 1
        if calls == 1:
            keep(tmp_path, 1, *(make_record(KEY, n, p1=n) for n in range(1, 7)))
            write_segment(tmp_path, 2, [make_record(KEY, 7, p1=7)], settled=False)
        return found

    monkeypatch.setattr(Shelf, "archives", late)
    assert path.exists()
    assert commits(history) == [1, 2, 3, 4, 5, 6, 7]
    assert calls > 1


def test_behind_a_hole_nothing_is_told_until_all_pages_are_known_again(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, make_record(KEY, 1, time_ms=1_000, p1=1, p2=1))
    keep(tmp_path, 2, make_record(KEY, 3, previous=2, time_ms=3_000, size=2, p1=3))
    with pytest.raises(HistoryError):
        history.state_at(3)
    with pytest.raises(HistoryError):
        history.at_time(3_000)
    assert pages(history, 2) == [page(1), page(1)]
    keep(tmp_path, 3, make_record(KEY, 4, previous=3, time_ms=4_000, p1=4, p2=4))
    assert commits(history) == [4]
    assert pages(history, 4) == [page(4), page(4)]
    assert history.at_time(1_000).commit == 1


def a_long_past(data: Path, make_record: MakeRecord) -> None:
    """Fourteen commits of an object in four archives and, the last two, in a live segment; and some of another."""
    number = 0
    for sequence in range(1, 6):
        records: list[Record] = []
        for _ in range(3 if sequence < 5 else 2):
            number += 1
            images = {"p1": 1, "p2": 1} if number == 1 else {f"p{number % 2 + 1}": number}
            records.append(make_record(KEY, number, previous=number - 1, time_ms=number * 1_000, size=2, **images))
        records.append(make_record(OTHER, sequence, previous=sequence - 1, p1=sequence))
        if sequence < 5:
            keep(data, sequence, *records)
        else:
            write_segment(data, sequence, records, settled=False)


def test_the_latest_versions_are_those_of_all(tmp_path: Path, history: ObjectHistory, make_record: MakeRecord) -> None:
    a_long_past(tmp_path, make_record)
    assert commits(history) == list(range(1, 15))
    for count in range(1, 17):
        assert history.latest(count) == history.versions(count)
    make_room(Shelf(tmp_path))  # the oldest archive goes into the base
    assert commits(history) == list(range(3, 15))
    for count in range(1, 15):
        assert history.latest(count) == history.versions(count)


def test_for_the_latest_versions_older_archives_are_not_read(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_long_past(tmp_path, make_record)
    read: list[str] = []
    records = ArchiveReader.records

    def noted(archive: ArchiveReader, key: bytes) -> Iterator[Record]:
        read.append(archive.path.name[:10].lstrip("0"))
        return records(archive, key)

    monkeypatch.setattr(ArchiveReader, "records", noted)
    assert [one.commit for one in history.latest(1)] == [14]
    assert read == []  # the live segment has two
    assert [one.commit for one in history.latest(5)] == [10, 11, 12, 13, 14]
    assert read == ["4", "3"]


def test_of_the_latest_versions_none_is_told_that_is_behind_a_hole(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, *[make_record(KEY, n, previous=n - 1, p1=n, p2=n) for n in (1, 2, 3)])
    keep(tmp_path, 2, make_record(KEY, 5, previous=4, size=2, p1=5), make_record(KEY, 6, previous=5, size=2, p1=6))
    assert history.latest(3) == history.versions(3) == []
    keep(tmp_path, 3, make_record(KEY, 7, previous=6, p1=7, p2=7))
    assert [one.commit for one in history.latest(3)] == [7]


def test_a_past_that_does_not_begin_with_the_first_commit_is_not_made_up(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    keep(tmp_path, 1, make_record(KEY, 5, size=2, p1=1))
    for commit in (4, 5, 6):
        with pytest.raises(HistoryError, match=r"no history of .* is kept from which"):
            history.state_at(commit)
    with pytest.raises(HistoryError):
        history.at_time(0)
    assert history.versions() == []


@pytest.mark.parametrize("written", ["nothing", "all"])
def test_history_can_be_read_when_folding_was_interrupted(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord, written: str
) -> None:
    keep(tmp_path, 1, make_record(KEY, 1, time_ms=100, p1=1, p2=1))
    make_room(shelf := Shelf(tmp_path))
    keep(tmp_path, 2, make_record(KEY, 2, time_ms=200, size=2, p1=2), make_record(KEY, 3, time_ms=300, size=2, p1=3))
    keep(tmp_path, 3, make_record(KEY, 4, previous=3, time_ms=400, size=2, p2=4))
    torn = shelf.archives()[0]
    if written == "all":
        with ArchiveReader(torn) as archive:
            Base(shelf).fold(archive, again=False)
    shelf.write_state(msgspec.structs.replace(shelf.state(), folding=torn.name))
    assert commits(history) == [3, 4]
    assert pages(history, 3) == [page(3), page(1)]
    assert pages(history, 4) == [page(3), page(4)]
    assert history.at_time(350).commit == 3
    for commit in (1, 2):
        with pytest.raises(HistoryError) as caught:
            history.state_at(commit)
        assert caught.value.earliest_ms == 300
    with pytest.raises(HistoryError):
        history.at_time(250)
    assert ObjectHistory(tmp_path, SPACE.from_name("other")).versions() == []


def test_an_object_moves_from_one_host_to_another(
    tmp_path: Path, history: ObjectHistory, make_record: MakeRecord
) -> None:
    fold(tmp_path, write_segment(tmp_path, 9, [make_record(KEY, 1, p1=1)], slot=3))
    fold(tmp_path, write_segment(tmp_path, 2, [make_record(KEY, 2, p1=2)], slot=0))
    write_segment(tmp_path, 3, [make_record(KEY, 3, p1=3)], slot=0, number=2, settled=False)
    assert commits(history) == [1, 2, 3]
