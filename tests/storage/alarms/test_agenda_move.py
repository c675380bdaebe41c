"""Alarms go with their objects when the number of hosts changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.ids import IdSpace
from roost.storage.alarms import agenda_move
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_move import move_entries
from roost.storage.alarms.agenda_reader import Failed, readers_of
from roost.storage.alarms.agenda_window import Entry

SPACE = IdSpace("ROOM", "secret")
KEYS = [SPACE.from_name(str(number)).key for number in range(40)]


def by_first_byte(hosts: int, key: bytes) -> int:
    return key[0] % hosts


def write(data: Path, hosts: int, *, complete: bool = True) -> None:
    for host in range(hosts):
        file = AgendaFile(data / "hosts" / str(host), complete=complete)
        keys = [key for key in KEYS if by_first_byte(hosts, key) == host]
        failed = [Failed(key, "ROOM", "name", "a", 1, 2, "no") for key in keys[:3]]
        file.write(Changes([Entry(key, "ROOM", "name", KEYS.index(key), KEYS.index(key)) for key in keys], failed))
        file.close()


def move(data: Path, hosts: int) -> int:
    return move_entries(data, range(hosts), lambda key: by_first_byte(hosts, key))


def check(data: Path, hosts: int, *, complete: bool = True) -> None:
    """Every entry is where it belongs, and nowhere else."""
    seen: list[bytes] = []
    with readers_of(data) as readers:
        for reader in readers:
            host = int(reader.path.parent.name)
            assert reader.is_complete() is complete
            for entry in reader.entries():
                assert by_first_byte(hosts, entry.key) == host
                assert (entry.name, entry.due) == ("name", KEYS.index(entry.key))
                seen.append(entry.key)
            assert {by_first_byte(hosts, one.key) for one in reader.failed(99)} <= {host}
    assert sorted(seen) == sorted(KEYS)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3), (3, 2)])
def test_every_entry_is_at_its_owner_and_nowhere_else(
    tmp_path: Path, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_move, "_TOGETHER", 7)
    write(tmp_path, before)
    assert move(tmp_path, after) > 0
    check(tmp_path, after)
    assert move(tmp_path, after) == 0


def test_failed_alarms_go_with_their_objects(tmp_path: Path) -> None:
    write(tmp_path, 1)
    move(tmp_path, 2)
    with readers_of(tmp_path) as readers:
        assert sum(len(reader.failed(99)) for reader in readers) == 3


def test_what_was_interrupted_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 3)
    written: list[Changes] = []
    steps = 0
    write_one = AgendaFile.write

    class Killed(Exception):
        pass

    def dies(file: AgendaFile, changes: Changes, *, sync: bool = False) -> None:
        if len(written) == steps:
            raise Killed
        written.append(changes)
        write_one(file, changes, sync=sync)

    monkeypatch.setattr(AgendaFile, "write", dies)
    for left in range(12):
        steps = left
        written.clear()
        with pytest.raises(Killed):
            move(tmp_path, 2)
        with readers_of(tmp_path) as readers:
            assert {entry.key for reader in readers for entry in reader.entries()} == set(KEYS)
    monkeypatch.undo()
    move(tmp_path, 2)
    check(tmp_path, 2)


def test_where_one_did_not_know_every_alarm_none_is_trusted(tmp_path: Path) -> None:
    write(tmp_path, 2)
    AgendaFile(tmp_path / "hosts" / "0", complete=True).write(Changes(complete=False))
    move(tmp_path, 3)
    check(tmp_path, 3, complete=False)


def test_a_host_that_had_a_journal_and_no_agenda_is_one_that_did_not_know(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "hosts" / "1").mkdir()
    (tmp_path / "hosts" / "1" / "journal-000001").touch()
    move(tmp_path, 3)
    check(tmp_path, 3, complete=False)
