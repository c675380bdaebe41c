"""The alarms of a data directory, read from outside."""

from __future__ import annotations

from pathlib import Path

from roost.ids import IdSpace, ObjectId
from roost.node.alarm_list import AlarmList, read_alarms, read_alarms_of
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_reader import Failed
from roost.storage.alarms.agenda_window import Entry

ROOM = IdSpace("ROOM", "ROOM")
SHOP = IdSpace("SHOP", "SHOP")


def written(data: Path, host: int, *due: tuple[ObjectId, int], failed: tuple[Failed, ...] = ()) -> AgendaFile:
    file = AgendaFile(data / "hosts" / str(host), complete=True)
    file.write(Changes([Entry(one.key, one.binding, one.name, when, when) for one, when in due], failed))
    return file


def failed(one: ObjectId, alarm: str, at: int) -> Failed:
    return Failed(one.key, one.binding, one.name, alarm, 1, at, "ValueError: no")


def test_of_all_hosts_together_those_that_ring_next_come_first(tmp_path: Path) -> None:
    a, b, c, d = (ROOM.from_name("a"), ROOM.from_name("b"), SHOP.from_name("c"), SHOP.from_name("d"))
    files = [
        written(tmp_path, 0, (a, 30), (c, 10), failed=(failed(a, "", 5),)),
        written(tmp_path, 1, (b, 20), (d, 40), failed=(failed(b, "x", 6),)),
    ]
    found = read_alarms(tmp_path, count=3, failed=9)
    assert [(one.name, one.due, one.host) for one in found.next] == [("c", 10, 0), ("b", 20, 1), ("a", 30, 0)]
    assert found.objects == {"ROOM": 2, "SHOP": 2}
    assert [(one.name, one.key) for one in found.failed] == [("b", "x"), ("a", None)]
    assert found.complete
    assert len(read_alarms(tmp_path, count=0, failed=1).failed) == 1
    for file in files:
        file.close()


def test_a_list_that_is_being_made_anew_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, 0)
    file.write(Changes(complete=False))
    assert not read_alarms(tmp_path, count=1, failed=1).complete
    file.close()


def test_a_directory_in_which_no_host_ran_has_none(tmp_path: Path) -> None:
    assert read_alarms(tmp_path, count=1, failed=1) == AlarmList({}, [], [], True)


def test_objects_are_told_their_alarms(tmp_path: Path) -> None:
    a, b, c, d = (ROOM.from_name(name) for name in "abcd")
    written(tmp_path, 0, (a, 30), (c, 1), failed=(failed(a, "x", 1), failed(a, "y", 2))).close()
    written(tmp_path, 1, failed=(failed(b, "", 3),)).close()
    found = read_alarms_of(tmp_path, [str(a), str(b), str(d)])
    assert found == {str(a): (30, 2), str(b): (None, 1)}
