"""Writing, preallocating and syncing, and what is made of their failures."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from roost.storage import files as files_module
from roost.storage.files import Files, ScriptedFiles, is_out_of_space, sync_directory, sync_file, write_all


@pytest.fixture
def fd(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)


def test_everything_is_written_however_short_the_writes_are(fd: int) -> None:
    files = ScriptedFiles()
    files.write_bytes_max = 3
    write_all(files, fd, b"0123456789", 5)
    assert os.pread(fd, 100, 0) == bytes(5) + b"0123456789"


def test_a_write_that_takes_nothing_is_an_error(fd: int) -> None:
    files = ScriptedFiles()
    files.write_bytes_max = 0
    with pytest.raises(OSError, match="took no bytes"):
        write_all(files, fd, b"x", 0)


def test_allocated_space_is_real_and_zero(fd: int) -> None:
    Files().allocate(fd, 0, 3_000_000)
    assert os.fstat(fd).st_size == 3_000_000
    assert os.fstat(fd).st_blocks * 512 >= 3_000_000
    assert not any(os.pread(fd, 3_000_000, 0))


def test_only_what_has_begun_is_kept_when_space_is_added(fd: int) -> None:
    os.pwrite(fd, b"kept", 0)
    Files().allocate(fd, 4, 100)
    assert os.pread(fd, 200, 0) == b"kept" + bytes(96)


def test_a_file_system_that_cannot_reserve_gets_zeros(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    Files().allocate(fd, 0, 10)
    assert os.pread(fd, 20, 0) == bytes(10)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_from_other_errors(code: int) -> None:
    assert is_out_of_space(OSError(code, "full"))
    assert not is_out_of_space(OSError(errno.EIO, "broken"))


def test_where_reserving_is_unknown_space_is_zeros_all_the_same(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")  # as on macOS
    Files().allocate(fd, 0, 2_000_000)
    assert os.fstat(fd).st_size == 2_000_000


def test_a_system_with_a_full_sync_of_its_own_is_asked_for_that(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.delattr(os, "fdatasync")  # as on macOS
    monkeypatch.setattr(files_module, "_FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", lambda *request: asked.append(request))
    Files().sync(fd)
    sync_file(fd)
    assert asked == [(fd, 51), (fd, 51)]


def test_a_directory_can_be_synced(tmp_path: Path) -> None:
    sync_directory(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "missing")
