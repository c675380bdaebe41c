"""`roost check` says what is damaged, and its status does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.cli.main import main
from roost.ids import IdSpace
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore

LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = HostStore(tmp_path / "data")
    storage = store.open(LOBBY)
    storage.put("key", b"value" * 1000)
    storage.commit(lambda error: None)
    store.close()
    return tmp_path / "data"


def damage(data: Path) -> None:
    (path,) = (data / "objects").rglob("*.sqlite")
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"rot")


def test_the_status_is_zero_when_nothing_is_damaged(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--all", "--data", str(data)]) == 0
    assert "1 object," in (said := capsys.readouterr().out)
    assert said.endswith("nothing is damaged\n")


def test_a_damaged_object_is_named_and_the_status_is_one(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(data)
    assert main(["check", "--data", str(data)]) == 1
    said = capsys.readouterr().out
    assert LOBBY.key.hex()[:12] in said
    assert "page 2" in said
    assert said.endswith("1 problem\n")


def test_one_object_alone_and_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(data)
    assert main(["check", "ROOM:lobby", "--json", "--data", str(data)]) == 1
    (problem,) = json.loads(capsys.readouterr().out)
    assert problem["object"] == LOBBY.key.hex()
    assert main(["check", "ROOM:hall", "--json", "--data", str(data)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_one_object_alone_that_is_in_quarantine_or_has_no_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Quarantine(data).put(Case(key=LOBBY.key.hex(), binding="ROOM", reason="a commit was lost"))
    assert main(["check", "ROOM:lobby", "--data", str(data)]) == 1
    assert "in quarantine: a commit was lost" in capsys.readouterr().out
    assert main(["check", "ROOM:hall", "--data", str(data)]) == 0
    assert "no file of it is there" in capsys.readouterr().out


def test_what_is_no_data_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--data", str(tmp_path)]) == 2
    assert "there is no data directory" in capsys.readouterr().err
