"""Segments: what is read back is what this use of the file wrote, in order, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.storage.files import Files
from roost.storage.segment import ENTRY_BYTES, HEADER_BYTES, Segment, SegmentReader, position

SIZE = 64 * 1024


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


@pytest.mark.parametrize("at", [0, 4, 20, 40, ENTRY_BYTES - 1, ENTRY_BYTES, ENTRY_BYTES + 2])
def test_reading_ends_at_the_first_entry_that_does_not_check_out(tmp_path: Path, at: int) -> None:
    segment = new_segment(tmp_path / "s")
    add(segment, b"good")
    start = segment.end
    add(segment, b"bad", b"after")
    byte = os.pread(segment.fd, 1, start + at)[0]
    os.pwrite(segment.fd, bytes([byte ^ 1]), start + at)
    assert read(tmp_path / "s") == [b"good"]
    segment.close()


def test_entries_behind_a_bad_one_still_tell_what_was_durable(tmp_path: Path) -> None:
    segment = new_segment(tmp_path / "s")
    add(segment, b"good")
    end = segment.end
    add(segment, b"bad")
    durable = position(1, segment.end)
    add(segment, b"after", durable=durable)
    os.pwrite(segment.fd, b"\xff", end + ENTRY_BYTES)
    reader = SegmentReader(tmp_path / "s")
    assert len(list(reader.entries())) == 1
    assert reader.durable_beyond(end) == durable
    assert reader.durable_beyond(segment.end) == 0
    reader.close()
    segment.close()


def test_a_preallocated_or_cleared_file_is_not_in_use(tmp_path: Path) -> None:
    (tmp_path / "zero").write_bytes(bytes(SIZE))
    (tmp_path / "empty").write_bytes(b"")
    segment = new_segment(tmp_path / "used")
    add(segment, b"x")
    segment.close()
    reader = SegmentReader(tmp_path / "used")
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
