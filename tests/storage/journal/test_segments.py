"""The segments of a journal: which are kept, in which order they are used again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.errors import StorageError
from roost.storage.files import ScriptedFiles
from roost.storage.journal.segment import HEADER_BYTES, SegmentReader
from roost.storage.journal.segments import Segments, segment_paths

SIZE = 16 * 1024


def pin(segments: Segments, key: bytes, commit: int) -> None:
    segments.pin([(key, commit)])


@pytest.fixture
def files() -> ScriptedFiles:
    return ScriptedFiles()


@pytest.fixture
def segments(tmp_path: Path, files: ScriptedFiles) -> Iterator[Segments]:
    segments = Segments(tmp_path, SIZE, files)
    yield segments
    files.refuse_allocate = None
    segments.close()


def test_they_are_preallocated_and_private(segments: Segments, tmp_path: Path) -> None:
    segments.roll(0)
    (path,) = segment_paths(tmp_path)
    assert path.stat().st_size == SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert segments.current.room == SIZE - HEADER_BYTES


def test_the_oldest_free_one_is_used_first(segments: Segments) -> None:
    for _ in range(3):
        segments.roll(0)
        pin(segments, b"key", 1)
    used = list(segments._used)
    segments.let_go(b"key", 1)
    segments.roll(0)
    assert segments.current is used[0]
    pin(segments, b"key", 2)
    segments.roll(0)
    assert segments.current is used[1]


def test_one_is_free_only_when_all_older_ones_are(segments: Segments) -> None:
    segments.roll(0)
    pin(segments, b"a", 1)
    segments.roll(0)
    pin(segments, b"b", 1)
    segments.roll(0)
    segments.let_go(b"b", 1)
    assert len(segments._used) == 3
    segments.let_go(b"a", 1)
    assert len(segments._used) == 1


def test_a_later_commit_keeps_its_segment(segments: Segments) -> None:
    segments.roll(0)
    pin(segments, b"a", 1)
    pin(segments, b"a", 2)
    segments.roll(0)
    segments.let_go(b"a", 1)
    assert segments.needed() == {b"a"}
    segments.let_go(b"a", 2)
    assert segments.needed() == set()


def test_the_spare_is_the_next_one(segments: Segments, files: ScriptedFiles) -> None:
    segments.roll(0)
    segments.prepare_spare()
    files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    segments.roll(0)
    assert segments.current.sequence & 0xFFFF == 2


def test_a_spare_that_is_too_small_waits_for_its_turn(segments: Segments) -> None:
    segments.roll(0)
    segments.prepare_spare()
    segments.roll(SIZE * 2)
    assert segments.current.room >= SIZE * 2
    segments.roll(0)
    numbers = [segment.sequence for segment in segments._used]
    assert numbers == sorted(numbers)


def test_without_room_the_present_one_stays(segments: Segments, files: ScriptedFiles, tmp_path: Path) -> None:
    segments.roll(0)
    pin(segments, b"a", 1)
    current = segments.current
    files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    with pytest.raises(OSError, match="no space"):
        segments.roll(0)
    assert segments.current is current
    assert len(segment_paths(tmp_path)) == 1


def test_few_free_ones_are_kept(segments: Segments, tmp_path: Path) -> None:
    for _ in range(10):
        segments.roll(0)
        pin(segments, b"a", 1)
    segments.let_go(b"a", 1)
    segments.roll(0)
    assert len(segment_paths(tmp_path)) <= 5


def test_a_number_is_never_used_twice(tmp_path: Path, files: ScriptedFiles) -> None:
    numbers = []
    for _ in range(3):
        segments = Segments(tmp_path, SIZE, files)
        segments.roll(0)
        numbers.append(segments.current.sequence)
        segments.close()
    assert len(set(numbers)) == 3


def test_segments_that_were_not_recovered_are_not_overwritten(tmp_path: Path, files: ScriptedFiles) -> None:
    segments = Segments(tmp_path, SIZE, files)
    segments.roll(0)
    pin(segments, b"a", 1)
    segments.close()
    with pytest.raises(StorageError, match="not recovered"):
        Segments(tmp_path, SIZE, files)
    reader = SegmentReader(segment_paths(tmp_path)[0])
    assert reader.sequence
    reader.close()
