"""`roost backup` and `roost restore-backup`, as people call them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from roost.backup import snapshot
from roost.cli.main import main
from roost.ids import IdSpace
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore

ROOM = IdSpace("ROOM", "ROOM")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda by: 0)
    monkeypatch.setattr(snapshot, "_RECENT_NS", 0)


def put(data: Path, **values: bytes) -> None:
    store = HostStore(data)
    for name, value in values.items():
        storage = store.open(ROOM.from_name(name))
        storage.put("a", value)
        storage.commit(lambda error: None)
        store.settle()
        storage.close()
    store.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main([str(one) for one in arguments])
    told = capsys.readouterr()
    return status, told.out + told.err


def test_a_backup_is_made_verified_and_led_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, target = tmp_path / "data", tmp_path / "target"
    put(data, a=b"1", b=b"2")
    status, told = run(capsys, "backup", target, "--data", data)
    assert (status, told.count("2 objects, 2 of them copied")) == (0, 1)
    put(data, b=b"3")
    status, told = run(capsys, "backup", target, "--data", data, "--keep", 1)
    assert (status, told.count("2 objects, 1 of them copied")) == (0, 1)
    status, told = run(capsys, "backup", target, "--verify")
    assert status == 0
    assert told.startswith("000002-")
    assert "is whole: 2 objects" in told
    status, told = run(capsys, "restore-backup", target, "--data", tmp_path / "restored")
    assert (status, told.count("2 objects are in")) == (0, 1)
    status, told = run(capsys, "restore-backup", target, "--data", tmp_path / "one", "--object", "ROOM:b")
    assert (status, told.count("1 object is in")) == (0, 1)
    key = ROOM.from_name("b").to_string()
    assert (tmp_path / "one" / "objects" / "ROOM" / key[:2] / f"{key}.sqlite").exists()
    status, told = run(capsys, "restore-backup", target, "--data", tmp_path / "hex", "--object", key.upper())
    assert status == 0


def test_errors_end_with_status_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, target = tmp_path / "data", tmp_path / "target"
    for arguments, words in [
        (("backup", target, "--data", tmp_path), "is no data directory"),
        (("import", "ROOM:x", tmp_path / "none", "--data", data), "No such file"),
        (("backup", target, "--data", data), "is no data directory"),  # an import that failed made none
        (("backup", "gs://bucket", "--data", tmp_path), "a directory or s3://bucket/prefix"),
        (("backup", target, "--verify"), "there is no backup in"),
        (("restore-backup", target, "--data", data), "there is no backup in"),
        (("restore-backup", target, "--data", data, "--at", "yesterday"), "'yesterday' is no moment"),
        (("restore-backup", target, "--data", data, "--object", "lobby"), "names no object"),
        (("restore-backup", target, "--data", tmp_path.parent), "is not empty"),
    ]:
        status, told = run(capsys, *arguments)
        assert status == 2
        assert words in told.replace("\n", " ")
        assert "Traceback" not in told


def test_before_the_first_backup_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "data", a=b"1")
    run(capsys, "backup", tmp_path / "target", "--data", tmp_path / "data")
    at = ("--at", "2001-01-01T00:00:00Z")
    status, told = run(capsys, "restore-backup", tmp_path / "target", "--data", tmp_path / "restored", *at)
    assert status == 2
    assert "there is nothing of 2001-01-01 00:00:00 UTC" in told.replace("\n", " ")


def test_a_directory_that_was_put_back_begins_a_new_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, target = tmp_path / "data", tmp_path / "target"
    put(data, a=b"1")
    run(capsys, "backup", target, "--data", data)
    shutil.copytree(data, tmp_path / "copy")
    for _ in range(3):
        put(data, a=b"2")
    run(capsys, "backup", target, "--data", data)
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "copy", data)
    status, told = run(capsys, "backup", target, "--data", data)
    assert status == 0
    assert "a new series begins" in told.replace("\n", " ")


def test_damaged_objects_are_named_at_the_end_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, target = tmp_path / "data", tmp_path / "target"
    put(data, a=b"1", b=b"2")
    assert run(capsys, "backup", target, "--data", data)[0] == 0
    key = ROOM.from_name("a").to_string()
    Quarantine(data).put(Case(key=key, binding="ROOM", reason="page 3 is not what was written"))
    told_of_it = f"roost: ROOM {key} is damaged, its last good copy stays in the backup:"
    for status, arguments in [
        (1, ("backup", target, "--data", data)),
        (0, ("backup", target, "--verify")),
        (0, ("restore-backup", target, "--data", tmp_path / "restored")),
        (0, ("restore-backup", target, "--data", tmp_path / "one", "--object", "ROOM:a")),
    ]:
        found, told = run(capsys, *arguments)
        assert (found, told.count(told_of_it)) == (status, 1)
    assert told_of_it not in run(capsys, "restore-backup", target, "--data", tmp_path / "b", "--object", "ROOM:b")[1]
    assert (tmp_path / "restored" / "objects" / "ROOM" / key[:2] / f"{key}.sqlite").exists()
