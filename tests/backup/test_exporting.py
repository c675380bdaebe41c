"""Exports: what an object holds now, in a file that any tool opens."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.backup.hosts import MakeHost, room

from roost.backup.exporting import Exported, export_all, export_object
from roost.clock import SystemClock
from roost.errors import BackupError, InvalidArgumentError


def values(path: Path) -> dict[str, bytes]:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
        return dict(connection.execute("SELECT key, value FROM _roost_kv"))
    finally:
        connection.close()


def test_an_object_is_exported_while_its_host_serves_and_afterwards(
    data: Path, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    host.store.checkpoint()
    host.put("lobby", b"2")
    export_object(data, room("lobby"), tmp_path / "serving.sqlite")
    host.close()
    export_object(data, room("lobby"), tmp_path / "stopped.sqlite")
    assert values(tmp_path / "serving.sqlite") == values(tmp_path / "stopped.sqlite") == {"value": b"2"}
    assert (tmp_path / "serving.sqlite").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "serving.sqlite", "stopped.sqlite"]


def test_an_object_is_exported_after_a_crash_before_anything_was_recovered(
    data: Path, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    shutil.copytree(data, tmp_path / "crashed")
    export_object(tmp_path / "crashed", room("lobby"), tmp_path / "file")
    assert values(tmp_path / "file") == {"value": b"1"}


def test_a_file_that_is_there_is_never_overwritten(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    make_host().put("lobby", b"1")
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InvalidArgumentError, match="is there already"):
        export_object(data, room("lobby"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_an_object_that_holds_nothing_leaves_no_file(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    make_host().put("lobby", b"1")
    with pytest.raises(InvalidArgumentError, match="never stored anything"):
        export_object(data, room("nobody"), tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_place_that_cannot_be_written_is_told(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    make_host().put("lobby", b"1")
    with pytest.raises(BackupError, match="cannot be written: No such file or directory"):
        export_object(data, room("lobby"), tmp_path / "nowhere" / "file")


def test_all_objects_are_exported_at_once(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host()
    for number in range(10):
        host.put(f"room {number}", b"%d" % number)
    host.store.checkpoint()
    host.put("room 3", b"changed")
    host.put("new", b"journal only")
    host.delete_all("room 4")
    assert export_all(data, tmp_path / "all", SystemClock()) == Exported(11, [])
    found = {path.stem: values(path) for path in (tmp_path / "all" / "ROOM").iterdir()}
    expected = {room(f"room {number}").to_string(): {"value": b"%d" % number} for number in range(10)}
    expected[room("room 3").to_string()] = {"value": b"changed"}
    expected[room("room 4").to_string()] = {}
    expected[room("new").to_string()] = {"value": b"journal only"}
    assert found == expected
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["ROOM"]
    assert not any((data / "backup" / "spool").iterdir())


def test_all_objects_go_into_an_empty_directory_only(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    make_host().put("lobby", b"1")
    with pytest.raises(InvalidArgumentError, match="is not empty"):
        export_all(data, tmp_path, SystemClock())
