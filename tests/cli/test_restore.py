"""`roost restore`, of a data directory that nobody uses; end_to_end/test_time_travel.py does it while roost serves."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from roost.cli.main import main
from roost.cli.restore import past_moment
from roost.errors import InvalidArgumentError
from roost.history.folding import fold_all
from roost.history.object_history import ObjectHistory, Version
from roost.history.shelf import Shelf
from roost.history.trimming import make_room
from roost.ids import IdSpace
from roost.node.recovery import recover
from roost.storage.bookmarks import bookmark_of
from roost.storage.recovery.restores import Restores
from roost.storage.store import HostStore
from roost.supervisor.data_directory import claim

LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")
NOW = 1_764_000_000_000


@pytest.fixture
def versions(tmp_path: Path) -> list[Version]:
    """Those of the lobby."""
    store = HostStore(tmp_path)
    storage = store.open(LOBBY)
    for value in (b"1", b"2", b"3"):
        storage.put("x", value)
        storage.commit(lambda error: None)
    store.close()
    return ObjectHistory(tmp_path, LOBBY).versions()


def planned(data: Path) -> tuple[int, int]:
    restore = Restores(data).pending(LOBBY.key)
    assert restore is not None
    return restore.commit, restore.number


def test_a_bookmark_is_gone_back_to_when_roost_is_started_next(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str]
) -> None:
    mark = bookmark_of(LOBBY, versions[0].commit)
    assert main(["restore", "ROOM:lobby", "--bookmark", mark, "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    commit, number = planned(tmp_path)
    assert commit == versions[0].commit
    assert number > versions[-1].commit
    assert "goes back when roost is started next" in said
    assert said.splitlines()[-1] == f"roost restore ROOM:lobby --bookmark {bookmark_of(LOBBY, number - 1)}"


def test_a_time_is_gone_back_to(tmp_path: Path, versions: list[Version]) -> None:
    at = str(versions[-1].time_ms / 1000)
    assert main(["restore", str(LOBBY), "--at", at, "--data", str(tmp_path)]) == 0
    assert planned(tmp_path)[0] == versions[-1].commit
    assert main(["restore", "ROOM:lobby", "--at", "1h ago", "--data", str(tmp_path)]) == 0
    assert planned(tmp_path)[0] == 0, "nothing was stored an hour ago"


@pytest.mark.parametrize("arguments", [[], ["--at", "1h ago", "--bookmark", bookmark_of(LOBBY, 1)]])
def test_one_of_time_and_bookmark_is_needed(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["restore", "ROOM:lobby", *arguments, "--data", str(tmp_path)]) == 2
    assert "takes `--at TIME` or `--bookmark B`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ROOM:nobody", "--at", "1h ago"], "has no history"),
        (["ROOM:lobby", "--at", "2999-01-01T00:00:00Z"], "lies in the future"),
        (["ROOM:lobby", "--at", "yesterday"], "is no moment"),
        (["ROOM:lobby", "--bookmark", "x"], "is no bookmark"),
        (["ROOM:lobby", "--bookmark", bookmark_of(IdSpace("ROOM", "ROOM").from_name("y"), 1)], "of another object"),
    ],
)
def test_what_cannot_be_is_status_2_and_plans_nothing(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["restore", *arguments, "--data", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert Restores(tmp_path).all() == []


def test_what_is_not_kept_any_more_is_refused(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str]
) -> None:
    recover(tmp_path, 1)
    fold_all(tmp_path)
    while make_room(Shelf(tmp_path)):
        pass
    for how in (["--at", "30d ago"], ["--bookmark", bookmark_of(LOBBY, versions[0].commit)]):
        assert main(["restore", "ROOM:lobby", *how, "--data", str(tmp_path)]) == 2
        assert "is kept from" in capsys.readouterr().err
    assert Restores(tmp_path).all() == []


def test_a_time_before_the_first_commit_is_one_when_it_held_nothing(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", "ROOM:lobby", "--at", "2020-01-01", "--data", str(tmp_path)]) == 0
    assert "goes back to where it held nothing when roost is started next" in capsys.readouterr().out
    assert planned(tmp_path)[0] == 0


def test_a_directory_that_a_roost_uses_which_takes_no_orders_is_refused(
    tmp_path: Path, versions: list[Version], capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(claim(tmp_path)):
        assert main(["restore", "ROOM:lobby", "--at", "1h ago", "--data", str(tmp_path)]) == 2
    assert "is in use by another roost" in capsys.readouterr().err
    assert Restores(tmp_path).all() == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m ago", NOW - 600_000),
        ("10m", NOW - 600_000),
        ("1.5h ago", NOW - 5_400_000),
        ("250ms ago", NOW - 250),
        (" 2 d ago ", NOW - 172_800_000),
        ("90s", NOW - 90_000),
        ("2025-11-24T15:00:00Z", NOW - 3_600_000),
        ("2025-11-24T16:00:00+01:00", NOW - 3_600_000),
    ],
)
def test_a_moment_may_be_told_by_how_long_ago_it_was(text: str, moment: int) -> None:
    assert past_moment(text, NOW) == moment


def test_the_future_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"2025-11-24T16:00:01\.000Z lies in the future"):
        past_moment("2025-11-24T16:00:01Z", NOW)
