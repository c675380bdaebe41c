"""Writing at the end of the journal, whoever's thread it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.errors import StorageError, StorageFullError
from roost.storage.files import ScriptedFiles
from roost.storage.journal.pen import Pen
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import Segments, segment_paths

SEGMENT = 64 * 1024


class Desk:
    """A pen, and what it writes into."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = ScriptedFiles()
        self.segments = Segments(directory, SEGMENT, self.files)
        self.segments.roll(0)
        self.rolled = 0
        self.pen = Pen(self.segments, self.files, self.roll)

    def roll(self) -> None:
        self.rolled += 1

    def entries(self) -> int:
        readers = [SegmentReader(path) for path in segment_paths(self.directory)]
        found = sum(len(list(reader.entries())) for reader in readers if reader.sequence)
        for reader in readers:
            reader.close()
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.pen.close()
    desk.segments.abandon()


def record(commit: int, pages: int = 1) -> Record:
    images = {number + 1: os.urandom(PAGE_BYTES) for number in range(pages)}
    return Record(
        key=bytes(32), binding="ROOM", commit=commit, previous=0, epoch=1, time_ms=0, size_pages=pages, images=images
    )


def test_what_is_written_together_is_one_entry_and_takes_one_sync(desk: Desk) -> None:
    before = desk.files.syncs
    assert desk.pen.write([record(1), record(2)]) == (2, None)
    assert (desk.entries(), desk.files.syncs - before) == (1, 1)


def test_it_knows_how_long_the_last_sync_took(desk: Desk) -> None:
    assert desk.pen.sync_seconds == 0.0
    desk.pen.write([record(1)])
    assert desk.pen.sync_seconds > 0.0


def test_the_room_shrinks_by_what_was_written_and_a_new_segment_has_more(desk: Desk) -> None:
    fresh = desk.pen.room
    desk.pen.write([record(1)])
    assert PAGE_BYTES < fresh - desk.pen.room < 2 * PAGE_BYTES
    for commit in range(2, 30):
        desk.pen.write([record(commit)])
        if desk.rolled:
            break
    assert desk.rolled == 1
    assert desk.pen.room > fresh - 2 * PAGE_BYTES


def test_what_found_no_room_is_not_found_again_and_the_next_takes_its_place(desk: Desk) -> None:
    desk.files.refuse_write = OSError(errno.ENOSPC, "full")
    landed, error = desk.pen.write([record(1)])
    assert landed == 0
    assert isinstance(error, StorageFullError)
    desk.files.refuse_write = None
    assert desk.pen.write([record(2)]) == (1, None)
    assert desk.entries() == 1


def test_a_failed_sync_is_named_with_the_file(desk: Desk) -> None:
    desk.files.refuse_sync = OSError(errno.EIO, "disk gone")
    landed, error = desk.pen.write([record(1)])
    assert landed == 0
    assert type(error) is StorageError
    assert "fdatasync of" in str(error)
    assert "journal-" in str(error)
