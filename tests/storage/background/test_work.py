"""What the background writer does, in this process."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.background import work
from roost.storage.background.errands import (
    Answer,
    Done,
    Errand,
    Failed,
    ReadJournal,
    Recover,
    SyncNames,
    WritePages,
    receive_answer,
    send,
)
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.journal.segments import segment_paths
from roost.storage.open_files import OpenFiles
from roost.storage.store import HostStore
from roost.storage.sums import damaged_pages, kept_sums, sums_path

Ask = Callable[..., Answer]
ONE, TWO, THREE = (bytes([n]) * PAGE_BYTES for n in (1, 2, 3))


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Has one errand after the other done over a connection, and returns the answers."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with pytest.raises(EOFError):
            work.Work().serve(theirs)

    def ask(errand: Errand, *pages: bytes) -> Answer:
        send(ours, errand, pages)
        return receive_answer(ours)

    thread = threading.Thread(target=serve)
    thread.start()
    yield ask
    ours.close()
    thread.join()
    theirs.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a" / "b" / "c" / "file.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(THREE * 4)
    return file


def sums_known(file: Path) -> set[int]:
    fd = os.open(file, os.O_RDONLY)
    try:
        assert damaged_pages(file, fd) == []
    finally:
        os.close(fd)
    return {page for page, _ in kept_sums(file)}


def test_pages_are_written_where_they_belong_and_the_file_gets_its_length(ask: Ask, file: Path) -> None:
    assert ask(WritePages(str(file), [1, 3], 3, [], False), ONE, TWO) == Done()
    assert file.read_bytes() == ONE + THREE + TWO
    assert sums_known(file) == {1, 2, 3}


def test_a_new_file_is_made_with_its_directories_and_has_no_sums_of_another(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "c" / "file.sqlite"
    assert isinstance(ask(WritePages(str(file), [1], 1, [], False), ONE), Failed)
    file.parent.mkdir(parents=True)
    sums_path(file).write_bytes(os.urandom(512))
    assert ask(WritePages(str(file), [1, 2], 2, [], True), ONE, TWO) == Done()
    assert file.read_bytes() == ONE + TWO
    assert sums_known(file) == {1, 2}
    assert {path.stat().st_mode & 0o777 for path in (file, sums_path(file))} == {0o600}


def test_a_file_can_be_synced_with_no_new_pages(ask: Ask, file: Path) -> None:
    assert ask(WritePages(str(file), [], 0, [2], True)) == Done()
    assert file.read_bytes() == THREE * 4
    assert 2 in sums_known(file)


def test_checksums_of_pages_that_were_written_before_are_renewed(ask: Ask, file: Path) -> None:
    ask(WritePages(str(file), [1], 4, [], False), ONE)
    file.write_bytes(ONE + TWO + THREE * 2)  # as emptying a log does
    assert ask(WritePages(str(file), [3], 4, [2], False), ONE) == Done()
    assert sums_known(file) == {1, 2, 3, 4}


def test_the_name_of_a_new_file_is_made_durable_with_it(ask: Ask, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[list[Path]] = []
    monkeypatch.setattr(work, "sync_names", synced.append)
    ask(WritePages(str(file), [1], 4, [], False), ONE)
    assert synced == []
    ask(WritePages(str(file), [1], 4, [], True), ONE)
    assert synced == [[file]]


def test_what_cannot_be_written_is_told_and_the_next_errand_is_understood(ask: Ask, file: Path) -> None:
    failed = ask(WritePages(str(file.parent / "absent"), [1, 2], 2, [], False), ONE, TWO)
    assert failed == Failed("No such file or directory", 2)
    assert ask(WritePages(str(file), [2], 4, [], False), TWO) == Done()
    assert file.read_bytes() == THREE + TWO + THREE * 2


def test_a_sync_that_fails_is_told_from_a_write_that_does(
    ask: Ask, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(work, "sync_file", refused)
    failed = ask(WritePages(str(file), [1], 4, [], False), ONE)
    assert failed == Failed("Input/output error", 5, True)


def test_objects_that_a_crash_left_behind_are_recovered(ask: Ask, crashed: Path, ids: list[ObjectId]) -> None:
    assert ask(read_journal(crashed)) == Done()
    keys = [object_id.key for object_id in ids]
    done = ask(Recover(keys[:3]))
    assert isinstance(done, Done)
    assert set(done.keys) == set(keys[:3])
    assert ask(SyncNames(keys[:3])) == Done()
    paths = [crashed / "objects" / "ROOM" / key.hex()[:2] / f"{key.hex()}.sqlite" for key in keys]
    assert [path.exists() for path in paths] == [True] * 3 + [False] * 2
    for path in paths[:3]:
        assert sums_known(path) == set(range(1, path.stat().st_size // PAGE_BYTES + 1))


def test_an_object_that_cannot_be_recovered_harms_no_other(ask: Ask, crashed: Path, ids: list[ObjectId]) -> None:
    ask(read_journal(crashed))
    bad = crashed / "objects" / "ROOM" / ids[1].key.hex()[:2] / f"{ids[1].key.hex()}.sqlite"
    bad.mkdir(parents=True)  # nothing can be written there
    done = ask(Recover([object_id.key for object_id in ids]))
    assert isinstance(done, Done)
    assert set(done.keys) == {object_id.key for object_id in ids} - {ids[1].key}


def test_an_object_that_the_journal_does_not_know_is_left_to_the_host(
    ask: Ask, crashed: Path, ids: list[ObjectId]
) -> None:
    ask(read_journal(crashed))
    assert ask(Recover([bytes(32), ids[0].key])) == Done([ids[0].key])


def test_segments_that_were_not_named_are_not_read(ask: Ask, crashed: Path, ids: list[ObjectId]) -> None:
    assert ask(ReadJournal(str(crashed), str(crashed / "hosts" / "0"), [])) == Done()
    assert ask(Recover([ids[0].key])) == Done([])


def test_nothing_is_recovered_before_a_journal_was_read(ask: Ask) -> None:
    assert ask(Recover([bytes(32)])) == Failed("no journal was read that could be recovered from")


@pytest.fixture
def ids(space: IdSpace) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(5)]


@pytest.fixture
def crashed(make_store: Callable[..., HostStore], ids: list[ObjectId], tmp_path: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFiles, "bring_up_to_date", lambda self, keys: None)
        store = make_store(limits=Limits(journal_segment_bytes=64 * 1024, checkpoint_bytes=1 << 30))
    for turn in range(4):
        for object_id in ids:
            storage = store.open(object_id)
            storage.put(f"value {turn}", os.urandom(900))
            storage.commit(lambda error: None)
        store.settle()
    shutil.copytree(tmp_path / "data", tmp_path / "crashed", ignore=shutil.ignore_patterns("lock"))
    assert not list((tmp_path / "crashed" / "objects").rglob("*.sqlite"))  # they are in the journal
    return tmp_path / "crashed"


def read_journal(data: Path) -> ReadJournal:
    slot = data / "hosts" / "0"
    return ReadJournal(str(data), str(slot), [str(path) for path in segment_paths(slot)])
