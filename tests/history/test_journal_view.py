"""Journals read from outside: nothing is missed, nothing is believed that was overwritten meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from tests.history.conftest import large_record, page

from roost.errors import StorageCorruptError, StorageError
from roost.history import journal_view
from roost.history.journal_view import (
    LiveSegment,
    LiveSegments,
    SegmentRecycledError,
    live_entries,
    live_keys,
    live_records,
    live_segments,
    live_slots,
)
from roost.storage.files import Files, write_all
from roost.storage.journal.batch import Batch
from roost.storage.journal.contents import Content, TableMaker
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segment import HEADER_BYTES, Entry, Segment, SegmentReader, position, split_position
from roost.storage.journal.side_file import SideFiles

SIZE = 256 * 1024


def commit(number: int, key: bytes = b"a" * 32) -> Record:
    return Record(
        key=key,
        binding="ROOM",
        commit=number,
        previous=number - 1,
        epoch=1,
        time_ms=number,
        size_pages=1,
        images={1: bytes([number % 251]) * PAGE_BYTES},
    )


class Journal:
    """The journal of a host, written by hand."""

    def __init__(self, data: Path, slot: int = 0) -> None:
        self.directory = data / "hosts" / str(slot)
        self.directory.mkdir(parents=True)
        self.segments: dict[str, Segment] = {}
        self._tables = TableMaker()

    def begin(self, name: str, sequence: int) -> Segment:
        """A new use of a segment."""
        segment = self.segments.get(name)
        if segment is None:
            path = self.directory / name
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(fd, SIZE)
            segment = self.segments[name] = Segment(path, fd, SIZE)
        segment.start(Files(), sequence, 1)
        return segment

    def write(self, segment: Segment, *records: Record) -> None:
        batch = Batch()
        for record in records:
            batch.add(record)
        tables = self._tables.tables([Content(one.key, one.binding, one.commit) for one in records])
        entry, chain = segment.pack(batch.packed(), position(segment.sequence, segment.end), tables)
        write_all(Files(), segment.fd, entry, segment.end)
        self._tables.wrote(segment.sequence, segment.end, len(entry), tables)
        segment.end, segment.chain = segment.end + len(entry), chain

    def close(self) -> None:
        for segment in self.segments.values():
            segment.close()


def numbers(data: Path, after: dict[int, int] | None = None) -> list[int]:
    return [record.commit for entry in live_entries(data, after) for record in entry.records()]


@pytest.fixture
def journal(tmp_path: Path):  # type: ignore[no-untyped-def]
    with contextlib.closing(Journal(tmp_path)) as journal:
        yield journal


def test_a_side_file_that_is_gone_tells_those_alone_who_want_it(tmp_path: Path, journal: Journal) -> None:
    large = large_record(2, 7, b"l" * 32)
    images = large.images
    assert isinstance(images, PartedImages)
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1), large)
    side_files = SideFiles(segment.path.parent)
    side_files.write(large.key, 2, large.size_pages, images.part)
    (entry,) = live_entries(tmp_path)
    assert [set(map(bytes, one.images.values())) for one in entry.records()] == [{bytes([1]) * PAGE_BYTES}, {page(7)}]
    side_files.remove([(large.key, 2)])
    assert [one.commit for one in entry.records(b"a" * 32)] == [1]
    with pytest.raises(SegmentRecycledError):
        list(entry.records(large.key))


def test_segments_are_read_in_the_order_of_their_use_whatever_their_names(tmp_path: Path, journal: Journal) -> None:
    first, second = journal.begin("journal-000002", 7), journal.begin("journal-000001", 8)
    journal.write(first, commit(1), commit(2))
    journal.write(second, commit(3))
    assert numbers(tmp_path) == [1, 2, 3]
    assert [record.commit for record in live_records(tmp_path)] == [1, 2, 3]


def test_the_objects_with_live_commits_are_known_without_unpacking_them(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(journal.begin("journal-000001", 7), commit(1, b"a" * 32), commit(1, b"b" * 32))
    settled = journal.begin("journal-000002", 8)
    journal.write(settled, commit(2, b"c" * 32))
    settled.settle(Files())
    monkeypatch.setattr(journal_view, "unpack", None)
    assert live_keys(tmp_path) == {b"a" * 32, b"b" * 32, b"c" * 32}


def test_reading_goes_on_where_it_ended(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    *_, last = live_entries(tmp_path)
    assert split_position(last.end) == (7, segment.end)
    assert numbers(tmp_path, {0: last.end}) == []
    journal.write(segment, commit(2))
    journal.write(journal.begin("journal-000002", 8), commit(3))
    assert numbers(tmp_path, {0: last.end}) == [2, 3]


def test_one_object_is_found_among_others(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1), commit(1, b"b" * 32))
    journal.write(segment, commit(2))
    journal.write(segment, commit(2, b"b" * 32))
    assert [record.commit for record in live_records(tmp_path, b"b" * 32)] == [1, 2]
    assert {record.key for record in live_records(tmp_path, b"b" * 32)} == {b"b" * 32}


def test_what_a_crash_tore_is_the_end(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    journal.write(segment, commit(2))
    os.pwrite(segment.fd, b"\xff" * 4, segment.end - 4)
    assert numbers(tmp_path) == [1]


def test_what_an_earlier_use_left_behind_is_not_read(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    journal.write(segment, commit(2))
    journal.begin("journal-000001", 9)
    assert numbers(tmp_path) == []
    journal.write(segment, commit(3))
    assert numbers(tmp_path) == [3]


def test_every_host_that_ever_ran_is_read(tmp_path: Path, journal: Journal) -> None:
    journal.write(journal.begin("journal-000001", 7), commit(1))
    with contextlib.closing(Journal(tmp_path, 12)) as other:
        segment = other.begin("journal-000001", 3)
        other.write(segment, commit(2, b"b" * 32))
        segment.settle(Files())
        assert live_slots(tmp_path) == [0, 12]
        assert numbers(tmp_path) == [1, 2]
        assert live_segments(tmp_path) == [LiveSegment(0, 7, False), LiveSegment(12, 3, True)]


def test_without_a_data_directory_there_is_nothing(tmp_path: Path) -> None:
    assert live_slots(tmp_path / "none") == []
    assert list(live_records(tmp_path / "none")) == []


def test_a_segment_that_is_used_again_while_it_is_read_is_told(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    segments = LiveSegments(tmp_path, 0)
    journal.begin("journal-000001", 8)
    journal.write(segment, commit(2))
    with contextlib.closing(segments), pytest.raises(SegmentRecycledError, match="used again") as raised:
        list(segments.entries())
    assert (raised.value.slot, raised.value.sequence) == (0, 7)


def test_the_content_of_an_entry_is_believed_only_if_its_segment_is_still_the_same(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    read = SegmentReader.read

    def overtaken(reader, entry):  # type: ignore[no-untyped-def]
        journal.begin("journal-000001", 8)
        return read(reader, entry)

    monkeypatch.setattr(SegmentReader, "read", overtaken)
    with pytest.raises(SegmentRecycledError):
        numbers(tmp_path)


def test_a_segment_that_was_removed_while_it_is_read_is_told(tmp_path: Path, journal: Journal) -> None:
    segment = journal.begin("journal-000001", 7)
    journal.write(segment, commit(1))
    with contextlib.closing(LiveSegments(tmp_path, 0)) as segments:
        segment.path.unlink()
        with pytest.raises(SegmentRecycledError):
            list(segments.entries())


def test_later_segments_are_looked_at_before_earlier_ones_are_read_to_their_end(
    tmp_path: Path, journal: Journal
) -> None:
    """Else the end of the earlier one could grow after it was read, and what follows would have a hole before it."""
    first, second = journal.begin("journal-000001", 7), journal.begin("journal-000002", 8)
    journal.write(first, commit(1))
    with contextlib.closing(LiveSegments(tmp_path, 0)) as segments:
        entries = segments.entries()
        seen = [next(entries)]  # the second was empty when this began
        journal.write(first, commit(2))
        journal.write(second, commit(3))
        seen += entries
    assert [record.commit for entry in seen for record in entry.records()] == [1]
    assert numbers(tmp_path, {0: seen[-1].end}) == [2, 3]


def test_all_segments_of_a_slot_are_seen_as_they_were_at_one_moment(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = journal.begin("journal-000001", 3), journal.begin("journal-000002", 7)
    journal.write(first, commit(1))
    journal.write(second, commit(2))
    opened = SegmentReader
    rolls = iter([("journal-000001", 8)])

    def rolled_meanwhile(path: Path):  # type: ignore[no-untyped-def]
        reader = opened(path)
        for roll in rolls:
            journal.write(journal.begin(*roll), commit(3))
            break
        return reader

    monkeypatch.setattr(journal_view, "SegmentReader", rolled_meanwhile)
    assert numbers(tmp_path) == [2, 3]


def test_what_is_read_was_made_durable_first(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.write(journal.begin("journal-000001", 7), commit(1))
    synced: list[int] = []
    monkeypatch.setattr(journal_view, "sync_file", synced.append)
    entries = live_entries(tmp_path)
    next(entries)
    assert len(synced) == 1


def test_a_damaged_header_is_told_once_it_is_no_header_just_being_written(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_view, "_PAUSE_SECONDS", 0)
    segment = journal.begin("journal-000001", 7)
    os.pwrite(segment.fd, b"\xff" * HEADER_BYTES, 0)
    with pytest.raises(StorageCorruptError, match="does not begin like a segment"):
        numbers(tmp_path)


def test_a_journal_that_never_holds_still_is_an_error_and_no_loop_without_end(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_view, "_PAUSE_SECONDS", 0)
    journal.begin("journal-000001", 7)
    monkeypatch.setattr(journal_view, "_unchanged", lambda readers: False)
    with pytest.raises(StorageError, match="faster than it can be read"):
        numbers(tmp_path)


def test_reading_goes_on_behind_the_last_entry_without_reading_those_before_again(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = journal.begin("journal-000001", 7)
    for number in range(1, 9):
        journal.write(segment, commit(number))
    looked: list[int] = []
    entry_at = SegmentReader.entry_at

    def look(self: SegmentReader, at: int) -> Entry | None:
        looked.append(at)
        return entry_at(self, at)

    monkeypatch.setattr(SegmentReader, "entry_at", look)
    with contextlib.closing(LiveSegments(tmp_path, 0)) as segments:
        list(segments.entries(after=position(7, segment.end)))
        reached = segments.reached
    assert reached is not None
    end = segment.end
    journal.write(segment, commit(9))
    looked.clear()
    with contextlib.closing(LiveSegments(tmp_path, 0)) as segments:
        (entry,) = segments.entries(reached.end, read=reached)
    assert [record.commit for record in entry.records()] == [9]
    assert looked == [end, segment.end]
    journal.write(journal.begin("journal-000001", 8), commit(10))
    with contextlib.closing(LiveSegments(tmp_path, 0)) as segments:
        (entry,) = segments.entries(reached.end, read=reached)
    assert [record.commit for record in entry.records()] == [10], "the segment was used again"
