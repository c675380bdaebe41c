"""The host journal: groups, segments, and what becomes of failures."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.errors import StorageError, StorageFullError
from roost.storage.files import ScriptedFiles
from roost.storage.journal.batch import unpack
from roost.storage.journal.journal import LocalLog
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import segment_paths

SEGMENT = 64 * 1024


def record(commit: int, key: bytes = bytes(32), pages: int = 1) -> Record:
    return Record(
        key=key,
        binding="ROOM",
        commit=commit,
        previous=max(commit - 1, 0),
        epoch=1,
        time_ms=0,
        size_pages=pages,
        images={number + 1: os.urandom(PAGE_BYTES) for number in range(pages)},
    )


class Owner:
    """Has a journal, and notes what it is told."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT, patience: float = 0.0) -> None:
        self.directory = directory
        self.files = ScriptedFiles()
        self.told: list[tuple[int, StorageError | None]] = []
        self.needed: list[set[bytes]] = []
        self.broken: list[StorageError] = []
        self.posted: list[Callable[[], None]] = []
        self.pass_ends: list[Callable[[], None]] = []
        self.log = LocalLog(
            directory,
            segment_bytes=segment_bytes,
            post=self.posted.append,
            files=self.files,
            on_rolled=self.needed.append,
            on_broken=self.broken.append,
            soon=self.pass_ends.append if patience else None,
            patience=patience,
        )

    def append(self, commit: int, key: bytes = bytes(32), pages: int = 1) -> None:
        self.log.append(record(commit, key, pages), lambda error: self.told.append((commit, error)))

    def end_pass(self) -> None:
        while self.pass_ends:
            self.pass_ends.pop(0)()

    def settle(self) -> list[tuple[int, StorageError | None]]:
        self.log.flush()
        while self.posted:
            self.posted.pop(0)()
        told, self.told = self.told, []
        return told

    def on_disk(self) -> list[int]:
        """The commits that a recovery would find."""
        readers = sorted(map(SegmentReader, segment_paths(self.directory)), key=lambda reader: reader.sequence)
        found = [
            record.commit
            for reader in readers
            if reader.sequence and not reader.settled
            for entry in reader.entries()
            for record in unpack(reader.read(entry))
        ]
        for reader in readers:
            reader.close()
        return found


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.files.held.set()
    owner.log.close()


def test_records_are_on_disk_when_their_callback_comes(owner: Owner) -> None:
    owner.append(1)
    owner.append(2)
    assert owner.settle() == [(1, None), (2, None)]
    assert owner.on_disk() == [1, 2]


def test_one_sync_makes_a_whole_group_durable(owner: Owner) -> None:
    owner.files.held.clear()
    owner.append(0)  # keeps the journal's thread busy, so that the others gather
    before = owner.files.syncs
    for commit in range(1, 11):
        owner.append(commit, key=commit.to_bytes(32, "big"))
    owner.files.held.set()
    assert len(owner.settle()) == 11
    assert owner.files.syncs - before <= 4  # of the first, of the group, and two while the next segment is prepared


def test_nothing_is_confirmed_before_the_sync_returns(owner: Owner) -> None:
    owner.files.held.clear()
    owner.append(1)
    assert owner.told == []
    assert owner.posted == []
    owner.files.held.set()
    assert owner.settle() == [(1, None)]


def test_short_writes_are_continued(owner: Owner) -> None:
    owner.files.write_bytes_max = 100
    owner.append(1)
    assert owner.settle() == [(1, None)]
    assert owner.on_disk() == [1]


def test_segments_are_used_again_once_everything_in_them_is_let_go(owner: Owner) -> None:
    for commit in range(1, 400):
        owner.append(commit)
        owner.settle()
        owner.log.let_go(bytes(32), commit - 1)
    assert len(segment_paths(owner.directory)) <= 3
    assert owner.on_disk()[-1] == 399


def test_a_segment_stays_while_an_older_one_is_needed(owner: Owner) -> None:
    owner.append(1, key=b"a" * 32)
    owner.settle()
    for commit in range(1, 60):
        owner.append(commit, key=b"b" * 32)
    owner.settle()
    owner.log.let_go(b"b" * 32, 59)
    owner.append(60, key=b"b" * 32)
    owner.settle()
    assert owner.on_disk() == [1, *range(1, 61)]


def test_the_owner_is_told_who_keeps_old_segments(owner: Owner) -> None:
    owner.append(1, key=b"a" * 32)
    for commit in range(1, 30):
        owner.append(commit, key=b"b" * 32)
        owner.settle()
    assert owner.needed[0] == {b"a" * 32, b"b" * 32}
    assert owner.log.needed() == {b"a" * 32, b"b" * 32}


def test_a_record_larger_than_a_segment_gets_one_of_its_own(owner: Owner) -> None:
    owner.append(1)
    owner.append(2, pages=40)
    owner.append(3)
    assert owner.settle() == [(1, None), (2, None), (3, None)]
    assert owner.on_disk() == [1, 2, 3]


def test_oversized_segments_are_not_kept(owner: Owner) -> None:
    owner.append(1, pages=40)
    owner.settle()
    owner.log.let_go(bytes(32), 1)
    for commit in range(2, 60):
        owner.append(commit)
        owner.settle()
        owner.log.let_go(bytes(32), commit)
    assert {path.stat().st_size for path in segment_paths(owner.directory)} == {SEGMENT}


def test_a_failed_sync_breaks_the_journal_for_good(owner: Owner) -> None:
    owner.append(1)
    owner.settle()
    owner.files.refuse_sync = OSError(errno.EIO, "disk gone")
    owner.append(2)
    ((commit, error),) = owner.settle()
    assert commit == 2
    assert type(error) is StorageError
    assert "fdatasync" in str(error)
    owner.files.refuse_sync = None
    with pytest.raises(StorageError, match="the journal is broken"):
        owner.append(3)
    assert owner.settle() == []


def test_the_owner_is_told_once_that_it_is_broken_after_those_who_waited(owner: Owner) -> None:
    owner.files.held.clear()
    owner.files.refuse_sync = OSError(errno.EIO, "disk gone")
    owner.append(1)
    owner.append(2)
    owner.files.held.set()
    assert len(owner.settle()) == 2
    (error,) = owner.broken
    assert "the journal is broken" in str(error)
    owner.settle()
    assert len(owner.broken) == 1


def test_a_full_journal_is_not_a_broken_one(owner: Owner) -> None:
    owner.files.refuse_write = OSError(errno.ENOSPC, "full")
    owner.append(1)
    ((_, error),) = owner.settle()
    assert isinstance(error, StorageFullError)
    assert owner.broken == []


def test_everything_pending_fails_with_a_broken_journal(owner: Owner) -> None:
    owner.files.held.clear()
    owner.files.refuse_sync = OSError(errno.EIO, "disk gone")
    for commit in range(5):
        owner.append(commit)
    owner.files.held.set()
    told = owner.settle()
    assert [commit for commit, _ in told] == list(range(5))
    assert all(type(error) is StorageError for _, error in told)


def test_a_record_that_cannot_be_packed_is_told_and_not_waited_for(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    owner.append(-1)
    ((_, error),) = owner.settle()
    assert type(error) is StorageError
    assert "writing the journal failed" in caplog.text


def test_a_failed_write_breaks_the_journal(owner: Owner) -> None:
    owner.files.refuse_write = OSError(errno.EIO, "disk gone")
    owner.append(1)
    ((_, error),) = owner.settle()
    assert type(error) is StorageError
    owner.files.refuse_write = None
    with pytest.raises(StorageError, match="broken"):
        owner.append(2)


def fill(owner: Owner) -> int:
    """Append until no segment is to be had; the commits that landed."""
    landed = 0
    while True:
        owner.append(landed + 1)
        ((_, error),) = owner.settle()
        if error is not None:
            assert type(error) is StorageFullError
            return landed
        landed += 1


def test_no_room_for_another_segment_fails_only_what_needs_it(owner: Owner) -> None:
    owner.files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    landed = fill(owner)
    assert landed > 5
    assert owner.on_disk() == list(range(1, landed + 1))


def test_appends_work_again_when_there_is_room_again(owner: Owner) -> None:
    owner.files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    landed = fill(owner)
    owner.files.refuse_allocate = None
    owner.append(landed + 1)
    assert owner.settle() == [(landed + 1, None)]
    assert owner.on_disk() == list(range(1, landed + 2))


def test_no_room_is_refused_at_once_until_the_owner_knows(owner: Owner) -> None:
    owner.files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    landed = fill(owner)
    owner.append(landed + 1)
    owner.log._known.acquire()
    owner.log._known.wait_for(lambda: owner.log._full is not None)
    owner.log._known.release()
    owner.files.refuse_allocate = None
    with pytest.raises(StorageFullError, match="no space"):
        owner.append(landed + 2)
    assert [type(error) for _, error in owner.settle()] == [StorageFullError]
    owner.append(landed + 2)
    assert owner.settle() == [(landed + 2, None)]


def test_a_write_without_room_leaves_nothing_that_recovery_would_read(owner: Owner) -> None:
    owner.append(1)
    owner.settle()
    full_for_one_write(owner.files)
    owner.append(2)
    ((_, error),) = owner.settle()
    assert type(error) is StorageFullError
    assert owner.on_disk() == [1]
    owner.append(3)
    assert owner.settle() == [(3, None)]
    assert owner.on_disk() == [1, 3]


def test_where_overwriting_needs_room_too_the_journal_is_full_and_not_broken(owner: Owner) -> None:
    owner.append(1)
    owner.settle()
    owner.files.refuse_write = OSError(errno.ENOSPC, "no space")
    for commit in (2, 3):
        owner.append(commit)
        ((_, error),) = owner.settle()
        assert type(error) is StorageFullError
    assert owner.on_disk() == [1]
    owner.files.refuse_write = None
    owner.append(4)
    assert owner.settle() == [(4, None)]
    assert owner.on_disk() == [1, 4]


def test_what_could_not_be_erased_is_not_left_behind_in_an_old_segment(owner: Owner) -> None:
    """The write got to the disk whole, and failed all the same; the next record goes on in another segment."""
    commit = 1
    while owner.log._segments.current.room > 12_000:
        owner.append(commit)
        owner.settle()
        commit += 1
    ordinary = owner.files.write

    def full(fd: int, data: bytes | memoryview, offset: int) -> int:
        if any(data):
            ordinary(fd, data, offset)
        raise OSError(errno.ENOSPC, "no space")

    owner.files.write = full  # type: ignore[method-assign]
    owner.append(commit)
    ((_, error),) = owner.settle()
    assert type(error) is StorageFullError
    owner.files.write = ordinary  # type: ignore[method-assign]
    owner.append(commit + 1, pages=5)
    assert owner.settle() == [(commit + 1, None)]
    assert owner.on_disk() == [*range(1, commit), commit + 1]


def full_for_one_write(files: ScriptedFiles) -> None:
    """The next write gets most of its bytes to the disk, and fails; those after it succeed."""
    ordinary = files.write

    def once(fd: int, data: bytes | memoryview, offset: int) -> int:
        files.write = ordinary  # type: ignore[method-assign]
        ordinary(fd, data, offset)
        raise OSError(errno.ENOSPC, "no space")

    files.write = once  # type: ignore[method-assign]


def test_a_journal_cannot_be_begun_without_room(tmp_path: Path) -> None:
    files = ScriptedFiles()
    files.refuse_allocate = OSError(errno.ENOSPC, "no space")
    with pytest.raises(StorageFullError, match="no journal can be begun"):
        LocalLog(tmp_path, segment_bytes=SEGMENT, post=lambda function: None, files=files)
    assert segment_paths(tmp_path) == []


def test_a_clean_close_leaves_an_empty_journal_when_nothing_is_needed(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.append(1)
    owner.settle()
    owner.log.let_go(bytes(32), 1)
    owner.log.close()
    assert owner.on_disk() == []
    with pytest.raises(StorageError, match="closed"):
        owner.append(2)


def test_a_close_keeps_what_is_needed_and_it_must_be_recovered_first(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.append(1)
    owner.settle()
    owner.log.close()
    assert owner.on_disk() == [1]
    with pytest.raises(StorageError, match="recover the journal before"):
        Owner(tmp_path)


def test_the_epoch_grows_with_every_opening(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        owner = Owner(tmp_path)
        epochs.append(owner.log.epoch)
        owner.log.close()
    assert epochs == [1, 2, 3]


def test_a_callback_that_raises_disturbs_no_other(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    def bad(error: StorageError | None) -> None:
        raise ValueError("bad callback")

    owner.log.append(record(1), bad)
    owner.append(2)
    assert owner.settle() == [(2, None)]
    assert "a callback of the journal raised" in caplog.text


def test_an_owner_whose_loop_is_gone_is_told_at_close(tmp_path: Path) -> None:
    def gone(function: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    log = LocalLog(tmp_path, segment_bytes=SEGMENT, post=gone)
    told: list[StorageError | None] = []
    log.append(record(1), told.append)
    log.close()
    assert told == [None]


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Owner]:
    """Its disk is known to be fast."""
    owner = Owner(tmp_path, segment_bytes=16 * SEGMENT, patience=3600.0)
    for commit in range(100):
        owner.append(commit)
        owner.settle()
        owner.log.let_go(bytes(32), commit)
    wait_until_idle(owner)
    owner.pass_ends.clear()
    yield owner
    owner.files.held.set()
    owner.log.close()


def wait_until_idle(owner: Owner) -> None:
    log: Any = owner.log
    while not log._idle:
        time.sleep(0.001)


def test_a_lone_record_is_durable_and_told_when_the_pass_ends_where_the_disk_is_fast(patient: Owner) -> None:
    patient.append(1000)
    assert patient.told == []
    patient.end_pass()
    assert patient.told == [(1000, None)]
    assert patient.posted == []  # nothing came back from a thread
    assert patient.on_disk()[-1] == 1000


def test_one_after_the_other_are_told_pass_by_pass(patient: Owner) -> None:
    for commit in range(1000, 1100):
        patient.append(commit)
        patient.end_pass()
        patient.log.let_go(bytes(32), commit - 1)
        if patient.told[-1:] != [(commit, None)]:  # this one needs a new segment, which is the thread's affair
            patient.settle()
            wait_until_idle(patient)
    assert patient.on_disk()[-1] == 1099


def test_a_record_that_a_callback_appends_is_written_in_the_next_pass(patient: Owner) -> None:
    def then(error: StorageError | None) -> None:
        patient.told.append((1000, error))
        patient.append(1001)

    patient.log.append(record(1000), then)
    patient.end_pass()
    assert patient.told == [(1000, None), (1001, None)]
    assert patient.on_disk()[-2:] == [1000, 1001]


@pytest.mark.parametrize(("records", "pages"), [(5, 1), (1, 65)])
def test_much_at_once_is_written_beside_the_loop(patient: Owner, records: int, pages: int) -> None:
    patient.files.held.clear()
    for number in range(records):
        patient.append(1000 + number, pages=pages)
    patient.end_pass()  # would wait for ever
    patient.files.held.set()
    assert len(patient.settle()) == records


def test_while_the_thread_is_at_work_the_loop_does_not_write(patient: Owner) -> None:
    patient.files.held.clear()
    for number in range(5):
        patient.append(1000 + number)
    patient.end_pass()
    patient.append(2000)
    patient.end_pass()
    patient.files.held.set()
    assert [commit for commit, _ in patient.settle()] == [1000, 1001, 1002, 1003, 1004, 2000]


def test_a_full_disk_on_the_loop_is_the_same_as_on_the_thread(patient: Owner) -> None:
    patient.files.refuse_write = OSError(errno.ENOSPC, "full")
    patient.append(1000)
    patient.end_pass()
    ((_, error),) = patient.told
    assert isinstance(error, StorageFullError)
    patient.files.refuse_write = None
    patient.append(1001)
    patient.end_pass()
    assert patient.told[1:] == [(1001, None)]
    assert patient.on_disk()[-1] == 1001


def test_a_sync_that_fails_on_the_loop_breaks_the_journal(patient: Owner) -> None:
    patient.files.refuse_sync = OSError(errno.EIO, "disk gone")
    patient.append(1000)
    patient.end_pass()
    ((_, error),) = patient.told
    assert "fdatasync" in str(error)
    assert len(patient.broken) == 1
    with pytest.raises(StorageError, match="the journal is broken"):
        patient.append(1001)


def test_flush_waits_for_what_the_loop_has_not_written_yet(patient: Owner) -> None:
    patient.append(1000)
    assert patient.settle() == [(1000, None)]
