"""The agenda's file: what it holds, and what becomes of one that cannot be read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import apsw
import msgspec
import pytest

from roost.errors import StorageCorruptError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.storage.alarms import agenda_file
from roost.storage.alarms.agenda_file import AgendaFile, Changes, distrust
from roost.storage.alarms.agenda_reader import NAME, Failed
from roost.storage.alarms.agenda_window import BEGINNING, Entry


def entry(object_id: ObjectId, due: int | None, **more: int) -> Entry:
    return Entry(object_id.key, object_id.binding, object_id.name, due, more.pop("at", due or 0), **more)


def failed(object_id: ObjectId, alarm: str = "", at: int = 9) -> Failed:
    return Failed(object_id.key, object_id.binding, object_id.name, alarm, 5, at, "ValueError: no")


def dues(file: AgendaFile) -> list[tuple[str | None, int | None]]:
    return [(one.name, one.due) for one in file.next(100)]


@pytest.fixture
def ids(space: IdSpace) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(4)]


def test_entries_come_in_the_order_of_their_times(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(one, due) for one, due in zip(ids, (30, 10, 40, 20), strict=True)]))
    assert dues(file) == [("room 1", 10), ("room 3", 20), ("room 0", 30), ("room 2", 40)]
    file.write(Changes([entry(ids[1], None), entry(ids[2], 5)]))
    assert dues(file) == [("room 2", 5), ("room 3", 20), ("room 0", 30)]
    file.close()


def test_loading_goes_on_where_it_stopped_and_passes_over_other_classes(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    stranger = IdSpace("OTHER", "x").from_name("y")
    file.write(Changes([entry(one, 10) for one in (*ids, stranger)]))
    first = file.load(BEGINNING, 3, ["ROOM"])
    rest = file.load(first[-1].moment, 3, ["ROOM"])
    assert [one.key for one in (*first, *rest)] == sorted(one.key for one in ids)
    assert file.counts() == {"OTHER": 1, "ROOM": 4}
    assert [one.binding for one in file.find([stranger.key, b"none"])] == ["OTHER"]
    file.close()


def test_a_name_that_is_known_stays_when_one_comes_without(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(ids[0], 1)]))
    file.write(Changes([msgspec.structs.replace(entry(ids[0], 2), name=None)]))
    assert dues(file) == [("room 0", 2)]
    file.close()


def test_every_name_comes_back_as_it_was(tmp_path: Path, space: IdSpace) -> None:
    names = ['"quoted" \\ and ✓', "line\nline", "", "[1,2]", "null", "1e5"]
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(space.from_name(name), number) for number, name in enumerate(names)]))
    assert [name for name, _ in dues(file)] == names
    file.close()


def test_attempts_that_failed_are_forgotten_by_the_next_host(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(ids[0], 5, at=900, tries=4)]))
    file.close()
    file = AgendaFile(tmp_path, complete=True)
    (found,) = file.next(10)
    assert (found.at, found.due, found.tries) == (5, 5, 0)
    file.close()


def test_failed_alarms_are_listed_once_the_latest_first_and_can_be_forgiven(
    tmp_path: Path, ids: list[ObjectId]
) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes(failed=[failed(ids[0], "a", 7), failed(ids[0], "b", 8)]))
    file.write(Changes(failed=[failed(ids[0], "a", 7), failed(ids[1], "", 6)]))
    assert [(one.name, one.alarm) for one in file.failed(10)] == [("room 0", "b"), ("room 0", "a"), ("room 1", "")]
    file.write(Changes(forgiven=[(ids[0].key, "b")]))
    assert [one.alarm for one in file.failed(10)] == ["a", ""]
    file.close()


def test_the_list_of_failed_alarms_is_bounded(
    tmp_path: Path, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_file, "FAILED_MAX", 3)
    file = AgendaFile(tmp_path, complete=True)
    for at in range(5):
        file.write(Changes(failed=[failed(ids[0], "", at)]))
    assert [one.failed_at for one in file.failed(10)] == [4, 3, 2]
    file.close()


def test_what_a_batch_holds_is_written_whole_or_not_at_all(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.connection.execute("CREATE TRIGGER no BEFORE INSERT ON failed BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        file.write(Changes([entry(ids[0], 1)], failed=[failed(ids[0])]))
    assert dues(file) == []
    file.close()


WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_window import Entry
file = AgendaFile(Path(sys.argv[1]), complete=True)
file.write(Changes([Entry(b"k" * 32, "ROOM", None, 5, 5)]), sync=sys.argv[2] == "sync")
os._exit(9)
"""


@pytest.mark.parametrize("sync", ["sync", "no"])
def test_what_was_written_survives_the_death_of_its_process(tmp_path: Path, sync: str) -> None:
    assert subprocess.run([sys.executable, "-c", WRITE_AND_DIE, tmp_path, sync], check=False).returncode == 9
    file = AgendaFile(tmp_path, complete=False)
    assert (file.complete, [one.due for one in file.next(9)]) == (True, [5])
    file.close()


@pytest.mark.parametrize("complete", [True, False])
def test_a_new_file_is_complete_where_there_can_be_no_alarms_yet(tmp_path: Path, complete: bool) -> None:
    for _ in range(2):
        file = AgendaFile(tmp_path, complete=complete)
        assert file.complete is complete
        file.close()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_a_file_says_that_it_is_complete_once_it_was_told(tmp_path: Path) -> None:
    file = AgendaFile(tmp_path, complete=False)
    file.write(Changes(complete=True))
    assert file.complete
    file.close()
    file = AgendaFile(tmp_path, complete=False)
    assert file.complete
    file.close()


def spoil_all(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def spoil_the_tables(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE alarms")
    connection.close()


def say_another_version(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def cut_off(path: Path) -> None:
    os.truncate(path, 5_000)


@pytest.mark.parametrize("spoil", [spoil_all, spoil_the_tables, say_another_version, cut_off])
def test_a_file_that_cannot_be_used_is_put_aside_and_the_new_one_is_not_complete(
    tmp_path: Path, ids: list[ObjectId], spoil: object, caplog: pytest.LogCaptureFixture
) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(one, 1) for one in ids]))
    file.close()
    assert callable(spoil)
    spoil(tmp_path / NAME)
    with caplog.at_level(logging.WARNING):
        file = AgendaFile(tmp_path, complete=True)
    assert (file.complete, file.next(10)) == (False, [])
    assert (tmp_path / f"{NAME}.damaged").exists()
    assert "made anew" in caplog.text
    file.write(Changes([entry(ids[0], 1)]), sync=True)
    file.close()


def test_damage_that_shows_later_has_a_name_and_the_file_can_be_replaced(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.write(Changes([entry(ids[0], 1)]))
    file.connection.execute("DROP TABLE alarms")
    with pytest.raises(StorageCorruptError, match="the agenda of alarms") as raised:
        file.write(Changes([entry(ids[1], 1)]))
    file.replace(raised.value)
    assert not file.complete
    file.write(Changes([entry(ids[1], 1)]))
    assert dues(file) == [("room 1", 1)]
    file.close()


def test_no_room_has_a_name(tmp_path: Path, ids: list[ObjectId]) -> None:
    file = AgendaFile(tmp_path, complete=True)
    file.connection.execute("PRAGMA max_page_count=1").fetchall()
    many = [Entry(os.urandom(32), "ROOM", "x" * 500, 1, 1) for _ in range(200)]
    with pytest.raises(StorageFullError, match="the agenda of alarms"):
        file.write(Changes(many))
    assert dues(file) == []
    file.close()


def test_who_changes_objects_without_their_host_can_say_so(tmp_path: Path, ids: list[ObjectId]) -> None:
    for host in ("0", "1"):
        file = AgendaFile(tmp_path / "hosts" / host, complete=True)
        file.write(Changes([entry(ids[0], 1)]))
        file.close()
    distrust(tmp_path)
    for host in ("0", "1"):
        file = AgendaFile(tmp_path / "hosts" / host, complete=True)
        assert (file.complete, len(file.next(9))) == (False, 1)
        file.close()
