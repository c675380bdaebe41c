"""`roost export` and `roost import`, as people call them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from roost.cli.main import main
from roost.codec import Codec
from roost.ids import IdSpace
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore

ROOM = IdSpace("ROOM", "ROOM")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = HostStore(tmp_path / "data")
    storage = store.open(ROOM.from_name("lobby"))
    storage.put("a", Codec().encode({"x": 1}))
    storage.commit(lambda error: None)
    store.settle()
    storage.close()
    store.close()
    return tmp_path / "data"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_an_object_goes_out_and_comes_in_again(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lobby.sqlite"
    assert main(["export", "ROOM:lobby", str(file), "--decode", "--data", str(data)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert rows(file, "SELECT key, json FROM _roost_kv_json") == [("a", '{"x":1}')]
    assert main(["import", "ROOM:other", str(file), "--data", str(data)]) == 0
    assert main(["import", "ROOM:other", str(file), "--data", str(data)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["import", "ROOM:other", str(file), "--data", str(data), "--replace"]) == 0
    assert main(["export", ROOM.from_name("other").to_string(), str(tmp_path / "other"), "--data", str(data)]) == 0
    assert rows(tmp_path / "other", "SELECT key FROM _roost_kv") == [("a",)]


def test_all_go_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--all", str(tmp_path / "all"), "--data", str(data)]) == 0
    assert capsys.readouterr().out == f"1 object is in {tmp_path / 'all'}\n"


def test_errors_end_with_status_2_and_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("x")
    for arguments, words in [
        (["export", "ROOM:lobby", str(tmp_path / "there")], "is there already"),
        (["export", "ROOM:nobody", str(tmp_path / "new")], "never stored anything"),
        (["export", "HALL:lobby", str(tmp_path / "new")], "has no objects of HALL"),
        (["export", "ROOM:lobby"], "takes an object and a file, or `--all DIR` alone"),
        (["export", "ROOM:lobby", "x", "--all", "y"], "takes an object and a file, or `--all DIR` alone"),
        (["import", "ROOM:new", str(tmp_path / "there")], "no SQLite database"),
    ]:
        assert main([*arguments, "--data", str(data)]) == 2
        told = capsys.readouterr().err
        assert words in told.replace("\n", " ")
        assert "Traceback" not in told
    assert main(["export", "ROOM:lobby", "x", "--data", str(tmp_path / "missing")]) == 2
    assert "there is no data directory" in capsys.readouterr().err


def test_what_is_damaged_does_not_go_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = ROOM.from_name("lobby").to_string()
    Quarantine(data).put(Case(key=key, binding="ROOM", reason="page 3 is not what was written"))
    assert main(["export", "ROOM:lobby", str(tmp_path / "lobby.sqlite"), "--data", str(data)]) == 2
    assert f"`roost repair {key}`" in capsys.readouterr().err.replace("\n", " ")
    assert main(["export", "--all", str(tmp_path / "all"), "--data", str(data)]) == 1
    told = capsys.readouterr()
    assert told.out == f"0 objects are in {tmp_path / 'all'}\n"
    assert f"ROOM {key} is damaged and left out: " in told.err
    assert not list(tmp_path.glob("**/lobby.sqlite"))
