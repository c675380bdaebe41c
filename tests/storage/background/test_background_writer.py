"""The child process that writes objects' files, real."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from roost.storage.background.background_writer import BackgroundLostError, BackgroundWriter
from roost.storage.background.errands import ReadJournal, Recover, UnsyncedError, WritePages
from roost.storage.journal.record import PAGE_BYTES

PAGE = b"p" * PAGE_BYTES


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.fixture
def background(lock: int, time: Time) -> Iterator[BackgroundWriter]:
    background = BackgroundWriter(lock, clock=time)
    yield background
    background.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file.sqlite"
    file.write_bytes(bytes(4 * PAGE_BYTES))
    return file


def writing(file: Path, *pages: int) -> WritePages:
    return WritePages(str(file), list(pages), 4, [], False)


def test_no_process_is_started_before_it_is_asked(background: BackgroundWriter) -> None:
    assert background.pid is None


def test_pages_are_written_by_another_process(background: BackgroundWriter, file: Path) -> None:
    background.ask(writing(file, 2), [PAGE])
    assert file.read_bytes() == bytes(PAGE_BYTES) + PAGE + bytes(2 * PAGE_BYTES)
    assert background.pid not in (None, os.getpid())


def test_more_errands_than_connections_are_done(background: BackgroundWriter, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.sqlite" for number in range(12)]
    for file in files:
        file.write_bytes(bytes(4 * PAGE_BYTES))
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda file: background.ask(writing(file, 1, 4), [PAGE, PAGE]), files))
    assert {file.read_bytes() for file in files} == {PAGE + bytes(2 * PAGE_BYTES) + PAGE}


def test_errors_come_back_as_the_child_met_them(background: BackgroundWriter, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file") as raised:
        background.ask(writing(tmp_path / "absent", 1), [PAGE])
    assert not isinstance(raised.value, UnsyncedError)
    with pytest.raises(BackgroundLostError, match="no journal was read"):
        background.ask(Recover([bytes(32)]))


def test_a_sync_that_failed_is_an_error_of_its_own(background: BackgroundWriter, file: Path) -> None:
    file.with_suffix(".sums").mkdir()  # neither checksums can be kept nor old ones removed
    with pytest.raises(UnsyncedError, match="directory"):
        background.ask(writing(file, 1), [PAGE])


def test_whoever_asks_a_child_that_was_killed_hears_of_it(background: BackgroundWriter, file: Path, time: Time) -> None:
    background.ask(writing(file, 1), [PAGE])
    killed = background.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(BackgroundLostError, match="gone"):
        background.ask(writing(file, 1), [PAGE])
    with pytest.raises(BackgroundLostError, match="there is no background writer now"):
        background.ask(writing(file, 1), [PAGE])
    time.now += 11
    background.ask(writing(file, 3), [PAGE])
    assert background.pid not in (None, killed)


def test_all_who_wait_hear_that_the_child_is_gone(background: BackgroundWriter, file: Path) -> None:
    background.ask(writing(file, 1), [PAGE])
    assert background.pid is not None
    os.kill(background.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(background.ask, writing(file, 1), [PAGE]) for _ in range(8)]
        os.kill(background.pid, signal.SIGKILL)
        assert {type(one.exception()) for one in asked} == {BackgroundLostError}


def test_a_child_that_cannot_be_started_is_tried_again_later(
    background: BackgroundWriter, file: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refused)
        with pytest.raises(BackgroundLostError, match="cannot be started"):
            background.ask(writing(file, 1), [PAGE])
    with pytest.raises(BackgroundLostError, match="there is no background writer now"):
        background.ask(writing(file, 1), [PAGE])
    time.now += 11
    background.ask(writing(file, 1), [PAGE])


def test_a_host_that_ends_uses_the_child_and_starts_none(background: BackgroundWriter, file: Path, lock: int) -> None:
    background.ask(writing(file, 1), [PAGE])
    background.start_no_more()
    background.ask(writing(file, 2), [PAGE])
    other = BackgroundWriter(lock)
    other.start_no_more()
    with pytest.raises(BackgroundLostError):
        other.ask(writing(file, 2), [PAGE])
    other.close()


def test_no_child_is_left_after_close(background: BackgroundWriter, file: Path) -> None:
    background.ask(writing(file, 1), [PAGE])
    pid = background.pid
    assert pid is not None
    background.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_journal_that_cannot_be_read_is_told(background: BackgroundWriter, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    with pytest.raises(BackgroundLostError, match="cannot be used"):
        background.ask(ReadJournal(str(tmp_path / "data"), str(tmp_path / "data"), []))
