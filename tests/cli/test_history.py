"""`roost history`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.cli.history import exactly, lines_of
from roost.cli.main import main
from roost.history.object_history import Version
from roost.ids import IdSpace
from roost.storage.bookmarks import bookmark_of
from roost.storage.store import HostStore

LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")


@pytest.fixture
def commits(tmp_path: Path) -> list[int]:
    """The numbers of three commits of the lobby."""
    store = HostStore(tmp_path)
    storage = store.open(LOBBY)
    found = []
    for value in (b"1", b"2", b"3"):
        storage.put("x", value)
        found.append(storage.commit(lambda error: None))
    store.close()
    return found


def test_every_version_is_shown_with_its_bookmark(
    tmp_path: Path, commits: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "ROOM:lobby", "--json", "--data", str(tmp_path)]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["bookmark"] for line in lines] == [bookmark_of(LOBBY, commit) for commit in commits]
    assert all(line["pages"] > 0 and line["bytes"] % 4096 == 0 and line["time_ms"] > 0 for line in lines)


def test_the_latest_are_shown_as_a_table(
    tmp_path: Path, commits: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # a bookmark is there to be copied: it is never folded
    assert main(["history", str(LOBBY), "--limit", "2", "--data", str(tmp_path)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["bookmark", "time", "pages", "bytes"]
    assert [row.split()[0] for row in rows] == [bookmark_of(LOBBY, commit) for commit in commits[1:]]


def test_of_an_object_that_never_stored_anything_nothing_is_known(
    tmp_path: Path, commits: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "ROOM:nobody", "--data", str(tmp_path)]) == 0
    assert "Nothing is known of ROOM:nobody" in capsys.readouterr().out
    assert main(["history", "ROOM:nobody", "--json", "--data", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(("name", "words"), [("lobby", "names no object"), ("HALL:x", "has no objects of HALL")])
def test_what_names_no_object_is_status_2(
    tmp_path: Path, commits: list[int], capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    assert main(["history", name, "--data", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_without_a_data_directory_that_is_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "ROOM:x", "--data", str(tmp_path / "none")]) == 2
    assert "there is no data directory" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_moment_is_shown_to_the_millisecond() -> None:
    assert exactly(1_764_000_000_007) == "2025-11-24T16:00:00.007Z"
    assert lines_of(LOBBY, [Version(5, 7, 1, 4096)])[0].time_ms == 7
