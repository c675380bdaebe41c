"""The file of an object, as it comes to be."""

from __future__ import annotations

import os
from pathlib import Path

from roost.storage.object_file import open_or_make, remove_left_behind


def test_a_file_is_made_with_its_directories_for_nobody_but_the_user(tmp_path: Path) -> None:
    path = tmp_path / "ROOM" / "ab" / "object.sqlite"
    before = os.umask(0)
    try:
        os.close(open_or_make(path))
    finally:
        os.umask(before)
    assert path.read_bytes() == b""
    assert [place.stat().st_mode & 0o777 for place in (path, *list(path.parents)[:2])] == [0o600, 0o700, 0o700]


def test_a_file_that_is_there_is_opened_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    path.write_bytes(b"there")
    fd = open_or_make(path)
    assert os.pread(fd, 10, 0) == b"there"
    os.pwrite(fd, b"T", 0)
    os.close(fd)
    assert path.read_bytes() == b"There"


def test_what_sqlite_left_beside_it_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    for suffix in ("-wal", "-shm", "-journal", "-other"):
        path.with_name(path.name + suffix).touch()
    remove_left_behind(path)
    remove_left_behind(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["object.sqlite-other"]
    path.with_name(path.name + "-wal").touch()
    os.close(open_or_make(path))
    assert not path.with_name(path.name + "-wal").exists()
