from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from roost.cli import alarms as alarms_command
from roost.cli.alarms import moment, render, until
from roost.cli.main import main
from roost.ids import IdSpace
from roost.node.alarm_list import AlarmList, GivenUp, NextAlarm
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_reader import NAME, Failed
from roost.storage.alarms.agenda_window import Entry

NOW = 1_795_000_000_000
LOBBY = NextAlarm("ROOM", "ab" * 32, "lobby", NOW + 90_000, NOW + 90_000, 0, 0)


@pytest.fixture(autouse=True)
def data_directory(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("2\n")


def shown(found: AlarmList) -> str:
    out = StringIO()
    Console(file=out, width=200).print(render(found, NOW))
    return out.getvalue()


def test_objects_are_shown_with_when_they_ring() -> None:
    late = NextAlarm("ROOM", "cd" * 32, None, NOW - 5_000, NOW + 8_000, 3, 0)
    text = shown(AlarmList({"ROOM": 2}, [late, LOBBY], [], True))
    assert text.startswith("2 objects have alarms: 2 of ROOM\n")
    rows = [line.split() for line in text.splitlines()[3:]]
    assert rows[0][0] == "cd" * 32
    assert rows[0][-3:] == ["3", "attempts", "failed"]
    assert rows[1][:1] + rows[1][4:6] == ["ROOM:lobby", "2", "min"]
    assert "more" not in text


def test_what_is_left_out_is_counted_and_an_unfinished_list_says_so() -> None:
    text = shown(AlarmList({"ROOM": 7}, [LOBBY], [], False))
    assert "and 6 more" in text
    assert "is being made anew" in text


def test_failed_alarms_are_shown_with_their_errors() -> None:
    lost = GivenUp("ROOM", "ab" * 32, "lobby", "nightly", NOW, NOW, "ValueError: no")
    text = shown(AlarmList({}, [], [lost], True))
    assert text.startswith("0 objects have alarms\n")
    row = text.splitlines()[-1].split()
    assert row[:2] + row[-2:] == ["ROOM:lobby", "nightly", "ValueError:", "no"]


@pytest.mark.parametrize(("ms", "text"), [(NOW - 1, "now"), (NOW, "now"), (NOW + 500, "500 ms")])
def test_how_long_it_is_until_then(ms: int, text: str) -> None:
    assert until(ms, NOW) == text


def test_a_time_beyond_all_calendars_can_be_shown() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(2**62) == f"{2**62} ms"


def test_alarms_are_read_while_no_roost_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lobby = IdSpace("ROOM", "ROOM").from_name("lobby")
    file = AgendaFile(tmp_path / "hosts" / "0", complete=True)
    file.write(Changes([Entry(lobby.key, "ROOM", "lobby", 5, 5)]))
    file.close()
    assert main(["alarms", "--data", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["id"], one["due"]) for one in told["next"]] == [("lobby", str(lobby), 5)]
    assert main(["alarms", "--data", str(tmp_path), "--next", "0"]) == 0
    assert capsys.readouterr().out.startswith("1 object has alarms: 1 of ROOM\n")


def test_an_agenda_that_cannot_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hosts" / "0").mkdir(parents=True)
    (tmp_path / "hosts" / "0" / NAME).write_bytes(b"no database" * 1_000)
    assert main(["alarms", "--data", str(tmp_path)]) == 2
    assert NAME in capsys.readouterr().err.replace("\n", "")


def with_failed(data: Path) -> None:
    lobby = IdSpace("ROOM", "ROOM").from_name("lobby")
    (data / "objects" / "ROOM").mkdir(parents=True)
    file = AgendaFile(data / "hosts" / "0", complete=True)
    file.write(Changes(failed=[Failed(lobby.key, "ROOM", "lobby", key, 1, 2, "ValueError: no") for key in ("", "x")]))
    file.close()


def test_where_there_is_no_data_there_are_no_alarms_to_tell_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alarms", "--data", str(tmp_path / "mistyped")]) == 2
    assert "there is no data directory" in capsys.readouterr().err


def test_only_what_has_failed_can_be_told_to_ring_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_failed(tmp_path)
    assert main(["alarms", "--data", str(tmp_path), "--retry", "ROOM:hall"]) == 2
    assert "ROOM:hall has no failed alarm;" in capsys.readouterr().err
    assert main(["alarms", "--data", str(tmp_path), "--retry", "ROOM:lobby", "--key", "y"]) == 2
    assert "no failed alarm with the key 'y'" in capsys.readouterr().err
    assert main(["alarms", "--data", str(tmp_path), "--key", "y"]) == 2
    assert "--key names an alarm for --retry ID" in capsys.readouterr().err
    assert main(["alarms", "--data", str(tmp_path), "--retry", "ROOM:lobby"]) == 2
    assert "no roost runs on the data directory" in capsys.readouterr().err


def test_the_failed_alarms_of_an_object_are_told_to_ring_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_failed(tmp_path)
    given: list[tuple[str, str]] = []

    async def order(data: Path, what: str, arguments: dict[str, str]) -> None:
        given.append((what, arguments["alarm"]))

    monkeypatch.setattr(alarms_command, "order", order)
    assert main(["alarms", "--data", str(tmp_path), "--retry", "ROOM:lobby"]) == 0
    assert sorted(given) == [("retry_alarm", ""), ("retry_alarm", "x")]
    assert sorted(capsys.readouterr().out.splitlines()) == ["the alarm 'x' rings again", "the alarm rings again"]
    given.clear()
    assert main(["alarms", "--data", str(tmp_path), "--retry", "ROOM:lobby", "--key", "x"]) == 0
    assert given == [("retry_alarm", "x")]
