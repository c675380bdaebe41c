"""Reading agendas from outside."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from roost.errors import StorageCorruptError
from roost.ids import IdSpace
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_reader import NAME, readers_of
from roost.storage.alarms.agenda_window import Entry


def written(directory: Path, space: IdSpace, *names: str) -> AgendaFile:
    file = AgendaFile(directory, complete=True)
    file.write(Changes([Entry(space.from_name(name).key, "ROOM", name, 1, 1) for name in names]))
    return file


def test_all_hosts_are_read_while_they_write_and_wait_for_nobody(tmp_path: Path, space: IdSpace) -> None:
    one, other = written(tmp_path / "hosts" / "0", space, "a"), written(tmp_path / "hosts" / "1", space, "b")
    with readers_of(tmp_path) as readers:
        rows = iter(readers[0].entries())
        assert next(rows).name == "a"
        one.write(Changes([Entry(space.from_name("c").key, "ROOM", "c", 2, 2)]), sync=True)
        assert [entry.name for entry in readers[1].next(10)] == ["b"]
        assert list(rows) == []
        assert [entry.name for entry in readers[0].next(10)] == ["a", "c"]
        assert [reader.is_complete() for reader in readers] == [True, True]
    one.close()
    other.close()


def test_a_reader_cannot_write(tmp_path: Path, space: IdSpace) -> None:
    written(tmp_path / "hosts" / "0", space, "a").close()
    with readers_of(tmp_path) as (reader,), pytest.raises(apsw.ReadOnlyError):
        reader.connection.execute("DELETE FROM alarms")


def test_a_directory_without_hosts_has_nothing_to_read(tmp_path: Path) -> None:
    with readers_of(tmp_path) as readers:
        assert readers == []


def test_a_file_that_is_none_has_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "hosts" / "0").mkdir(parents=True)
    (tmp_path / "hosts" / "0" / NAME).write_bytes(b"nothing of the kind" * 1_000)
    with pytest.raises(StorageCorruptError, match=NAME), readers_of(tmp_path) as (reader,):
        reader.next(1)
