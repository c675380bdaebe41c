"""Segments: what is read back is what this use of the file wrote, in order, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.storage.files import Files
from roost.storage.journal.batch import Batch
from roost.storage.journal.contents import Content, TableMaker
from roost.storage.journal.record import Record
from roost.storage.journal.segment import ENTRY_BYTES, HEADER_BYTES, Gap, Segment, SegmentReader, position

SIZE = 64 * 1024
BATCH_AT = ENTRY_BYTES + 2  # behind two empty tables


def new_segment(path: Path, sequence: int = 1) -> Segment:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    if os.fstat(fd).st_size < SIZE:
        os.truncate(fd, SIZE)
    segment = Segment(path, fd, SIZE)
    segment.start(Files(), sequence, 5)
    return segment


def add(segment: Segment, *records: bytes, durable: int = 0) -> None:
    for record in records:
        raw, segment.chain = segment.pack(record, durable)
        os.pwrite(segment.fd, raw, segment.end)
        segment.end += len(raw)


def packed(commit: int) -> bytes:
    """A batch of one record."""
    batch = Batch()
    batch.add(
        Record(
            key=bytes(32), binding="ROOM", commit=commit, previous=0, epoch=1, time_ms=0, size_pages=1,
            images={1: bytes([commit]) * 4096},
        )
    )  # fmt: skip
    return batch.packed()


def read(path: Path) -> list[bytes]:
    reader = SegmentReader(path)
    found = [reader.read(entry) for entry in reader.entries()]
    reader.close()
    return found


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s", 3)
    add(segment, b"one", b"two" * 1000, b"")
    segment.close()
    assert read(tmp_path / "s") == [b"one", b"two" * 1000, b""]
    reader = SegmentReader(tmp_path / "s")
    assert (reader.sequence, reader.epoch) == (3, 5)
    reader.close()


def test_an_earlier_use_is_never_read(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s", 1)
    add(segment, b"old one", b"old two")
    segment.start(Files(), 2, 5)
    assert read(tmp_path / "s") == []
    add(segment, b"new one")  # as long as the old one, so that the old second entry follows seamlessly
    assert read(tmp_path / "s") == [b"new one"]
    segment.close()


def test_what_a_failed_write_left_behind_is_not_read_as_a_continuation(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s")
    end, chain = segment.end, segment.chain
    add(segment, b"failed 1", b"failed 2")
    segment.end, segment.chain = end, chain
    add(segment, b"later  1")
    assert read(tmp_path / "s") == [b"later  1"]
    segment.close()


@pytest.mark.parametrize("at", [0, 4, 20, 40, ENTRY_BYTES - 1, BATCH_AT, BATCH_AT + 2])
def test_reading_ends_at_the_first_entry_that_does_not_check_out(tmp_path: Path, at: int) -> None:
    segment = new_segment(tmp_path / "s")
    add(segment, b"good")
    start = segment.end
    add(segment, b"bad", b"after")
    byte = os.pread(segment.fd, 1, start + at)[0]
    os.pwrite(segment.fd, bytes([byte ^ 1]), start + at)
    assert read(tmp_path / "s") == [b"good"]
    segment.close()


def walked(path: Path) -> list[bytes | tuple[int, int]]:
    reader = SegmentReader(path)
    steps = [(step.start, step.end) if isinstance(step, Gap) else reader.read(step) for step in reader.walk()]
    reader.close()
    return steps


@pytest.mark.parametrize("at", [0, 20, ENTRY_BYTES - 1, BATCH_AT, BATCH_AT + 5])
def test_what_stands_behind_damage_is_read_all_the_same(tmp_path: Path, at: int) -> None:
    segment = new_segment(tmp_path / "s")
    batches = [packed(number) for number in range(4)]
    add(segment, batches[0])
    start = segment.end
    add(segment, batches[1])
    end = segment.end
    add(segment, *batches[2:])
    byte = os.pread(segment.fd, 1, start + at)[0]
    os.pwrite(segment.fd, bytes([byte ^ 1]), start + at)
    assert walked(tmp_path / "s") == [batches[0], (start, end), *batches[2:]]
    segment.close()


def test_behind_damage_whose_chain_is_lost_records_must_check_out_by_themselves(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s")
    add(segment, packed(1), b"no batch", packed(2))
    os.pwrite(segment.fd, b"\xff", HEADER_BYTES)
    (gap, second, last) = walked(tmp_path / "s")
    assert gap == (HEADER_BYTES, HEADER_BYTES + ENTRY_BYTES + 2 + len(packed(1)))
    assert isinstance(second, tuple)
    assert last == packed(2)
    segment.close()


def test_a_torn_end_is_no_damage(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s")
    add(segment, packed(1), packed(2))
    os.pwrite(segment.fd, b"\xff" * 10, segment.end - 10)
    assert walked(tmp_path / "s") == [packed(1)]
    segment.close()


def test_one_bad_sector_of_the_header_costs_nothing(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s", 3)
    add(segment, b"one")
    os.pwrite(segment.fd, bytes(512), 0)
    assert read(tmp_path / "s") == [b"one"]
    segment.settle(Files())
    os.pwrite(segment.fd, os.urandom(512), HEADER_BYTES // 2)
    reader = SegmentReader(tmp_path / "s")
    assert (reader.sequence, reader.epoch, reader.settled) == (3, 5, True)
    reader.close()
    segment.close()


def test_a_settled_segment_says_so_and_keeps_what_it_holds(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s", 3)
    add(segment, b"one")
    reader = SegmentReader(tmp_path / "s", writable=True)
    assert not reader.settled
    reader.settle(Files())
    reader.close()
    reader = SegmentReader(tmp_path / "s")
    assert reader.settled
    reader.close()
    assert read(tmp_path / "s") == [b"one"]
    segment.start(Files(), 4, 5)
    reader = SegmentReader(tmp_path / "s")
    assert (reader.sequence, reader.settled) == (4, False)
    reader.close()
    segment.close()


def test_a_table_of_contents_tells_what_an_entry_holds_without_its_batch(tmp_path: Path) -> None:
    segment, maker = new_segment(tmp_path / "s"), TableMaker()
    contents = [Content(bytes(32), "ROOM", 5, None), Content(b"k" * 32, "OTHER", 6, 1_700_000_000_000)]
    tables = maker.tables(contents)
    raw, _ = segment.pack(b"unreadable", 0, tables)
    os.pwrite(segment.fd, raw, segment.end)
    reader = SegmentReader(tmp_path / "s")
    (entry,) = reader.entries()
    assert reader.contents(entry) == contents
    reader.close()
    segment.close()


def test_a_damaged_table_is_made_up_from_the_records(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s")
    tables = TableMaker().tables([Content(bytes(32), "ROOM", 7)])
    raw, _ = segment.pack(packed(7), 0, tables)
    os.pwrite(segment.fd, raw, segment.end)
    os.pwrite(segment.fd, b"\xff", segment.end + ENTRY_BYTES + 3)
    reader = SegmentReader(tmp_path / "s")
    (entry,) = reader.entries()
    assert reader.table(entry) is None
    assert reader.contents(entry) == [Content(bytes(32), "ROOM", 7)]
    reader.close()
    segment.close()


def test_a_preallocated_or_cleared_file_is_not_in_use(tmp_path: Path) -> None:
    (tmp_path / "zero").write_bytes(bytes(SIZE))
    (tmp_path / "empty").write_bytes(b"")
    segment = new_segment(tmp_path / "used")
    add(segment, b"x")
    segment.close()
    reader = SegmentReader(tmp_path / "used", writable=True)
    assert reader.sequence == 1
    reader.clear(Files())
    reader.close()
    for name in ("zero", "empty", "used"):
        reader = SegmentReader(tmp_path / name)
        assert reader.sequence == 0
        assert list(reader.entries()) == []
        reader.close()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"not a journal" * 1000)
    with pytest.raises(StorageCorruptError, match="does not begin like a segment"):
        SegmentReader(tmp_path / "s")


def test_positions_grow_along_the_journal() -> None:
    points = [position(1, HEADER_BYTES), position(1, SIZE), position(2, HEADER_BYTES), position(3, 0)]
    assert points == sorted(points)


def test_reading_goes_on_behind_an_entry_that_was_read(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s", 3)
    add(segment, b"one", b"two")
    reader = SegmentReader(tmp_path / "s")
    first, second = reader.entries()
    add(segment, b"three")
    segment.close()
    reader.close()
    reader = SegmentReader(tmp_path / "s")
    assert [reader.read(entry) for entry in reader.entries(second.end, second.chain)] == [b"three"]
    assert list(reader.entries(second.end, first.chain)) == [], "it does not follow that one"
    reader.close()
