"""A file becomes what an object holds, as a commit like any other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.backup.hosts import back_up

from roost.backup.exporting import export_object
from roost.backup.restoring import restore
from roost.backup.target import DirectoryTarget
from roost.clock import SystemClock
from roost.errors import DataDirectoryError, InvalidArgumentError
from roost.history.keeper import HistoryKeeper
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.ids import IdSpace, ObjectId
from roost.limits import DEFAULTS
from roost.node.importing import _begin_anew, import_object
from roost.storage.journal.side_file import SideFiles
from roost.storage.store import HostStore
from roost.supervisor.data_directory import claim

SPACE = IdSpace("ROOM", "ROOM")
LOBBY = SPACE.from_name("lobby")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "file")
    connection.execute("CREATE TABLE strokes (x)")
    connection.execute("INSERT INTO strokes VALUES (1), (2)")
    connection.commit()
    connection.close()
    return tmp_path / "file"


def import_file(data: Path, file: Path, object_id: ObjectId = LOBBY, *, replace: bool = False) -> None:
    import_object(data, object_id, file, replace=replace, limits=DEFAULTS, clock=SystemClock())


def put(data: Path, value: bytes, object_id: ObjectId = LOBBY, *, keeper: HistoryKeeper | None = None) -> None:
    store = HostStore(data, keeper=keeper)
    storage = store.open(object_id)
    storage.put("a", value)
    storage.commit(lambda error: None)
    store.settle()
    storage.close()
    store.close()


def exported(data: Path, tmp_path: Path, query: str, object_id: ObjectId = LOBBY) -> list[tuple[object, ...]]:
    path = tmp_path / "exported"
    path.unlink(missing_ok=True)
    export_object(data, object_id, path)
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_new_object_holds_what_the_file_holds(data: Path, file: Path, tmp_path: Path) -> None:
    put(data, b"1", SPACE.from_name("other"))
    import_file(data, file)
    assert exported(data, tmp_path, "SELECT x FROM strokes") == [(1,), (2,)]
    put(data, b"2")
    assert exported(data, tmp_path, "SELECT x FROM strokes") == [(1,), (2,)]
    assert exported(data, tmp_path, "SELECT value FROM _roost_kv") == [(b"2",)]
    assert exported(data, tmp_path, "SELECT value FROM _roost_meta WHERE key = 'name'") == [("lobby",)]


def test_into_an_empty_directory_too(data: Path, file: Path, tmp_path: Path) -> None:
    import_file(data, file)
    assert exported(data, tmp_path, "SELECT x FROM strokes") == [(1,), (2,)]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of some megabytes, whose pages stand in a side file on their way."""
    connection = sqlite3.connect(tmp_path / "large")
    connection.execute("CREATE TABLE blobs (x)")
    connection.executemany("INSERT INTO blobs VALUES (?)", [(bytes([n]) * 1_000_000,) for n in range(6)])
    connection.commit()
    connection.close()
    return tmp_path / "large"


SUMS = "SELECT count(*), sum(length(x)), min(hex(substr(x, 1, 1))), max(hex(substr(x, -1))) FROM blobs"
WHOLE = [(6, 6_000_000, "00", "05")]


def test_a_large_file_is_one_version_that_can_be_left_and_come_back_to(data: Path, large: Path, tmp_path: Path) -> None:
    put(data, b"1", keeper=HistoryKeeper(data))
    import_file(data, large, replace=True)
    assert exported(data, tmp_path, SUMS) == WHOLE
    before, imported = ObjectHistory(data, LOBBY).versions()
    assert imported.bytes > 6_000_000
    assert imported.pages == imported.bytes // 4096
    put(data, b"2", keeper=HistoryKeeper(data))
    for commit, value in ((before.commit, [(b"1",)]), (imported.commit, [])):
        _begin_anew(data, LOBBY, commit, DEFAULTS, SystemClock())
        assert exported(data, tmp_path, "SELECT value FROM _roost_kv") == value
    assert exported(data, tmp_path, SUMS) == WHOLE


def test_a_large_file_is_in_the_archives_and_no_side_file_is_left(data: Path, large: Path, tmp_path: Path) -> None:
    import_file(data, large)
    kept: list[bool] = []

    class Told(HistoryKeeper):
        def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
            def told(was_kept: bool) -> None:
                done(was_kept)
                kept.append(was_kept)

            super().keep(segment, told)

    keeper = Told(data)
    store = HostStore(data, keeper=keeper)
    while not kept:
        store.settle()
    store.close()
    HostStore(data).close()
    assert SideFiles(data / "hosts" / "0").all() == set()
    (version,) = ObjectHistory(data, LOBBY).versions()
    state = ObjectHistory(data, LOBBY).state_at(version.commit)
    assert len(state.images) == version.pages
    assert exported(data, tmp_path, SUMS) == WHOLE


def test_a_backup_has_what_was_imported_while_it_was_taken(data: Path, large: Path, tmp_path: Path) -> None:
    put(data, b"1")
    target = DirectoryTarget(tmp_path / "copies")

    def meanwhile(progress: object) -> None:
        if large.exists():
            import_file(data, large, replace=True)
            large.unlink()

    back_up(data, target, meanwhile)
    restore(target, tmp_path / "back")
    assert exported(tmp_path / "back", tmp_path, SUMS) == WHOLE


def test_an_object_that_holds_something_is_replaced_only_when_told_to(data: Path, file: Path, tmp_path: Path) -> None:
    put(data, b"1")
    with pytest.raises(InvalidArgumentError, match="ROOM:lobby holds something already; --replace"):
        import_file(data, file)
    assert exported(data, tmp_path, "SELECT value FROM _roost_kv") == [(b"1",)]
    import_file(data, file, replace=True)
    assert exported(data, tmp_path, "SELECT count(*) FROM _roost_kv") == [(0,)]
    assert exported(data, tmp_path, "SELECT x FROM strokes") == [(1,), (2,)]


def test_what_was_there_before_stays_in_the_history(data: Path, file: Path, tmp_path: Path) -> None:
    put(data, b"1")
    import_file(data, file, replace=True)
    versions = ObjectHistory(data, LOBBY).versions()
    assert len(versions) == 2
    before = ObjectHistory(data, LOBBY).state_at(versions[0].commit)
    assert any(b"strokes" in bytes(image) for image in before.images.values()) is False


def test_a_file_that_cannot_be_imported_changes_nothing(data: Path, tmp_path: Path) -> None:
    put(data, b"1")
    (tmp_path / "garbage").write_bytes(b"garbage")
    with pytest.raises(InvalidArgumentError, match="no SQLite database"):
        import_file(data, tmp_path / "garbage", replace=True)
    assert exported(data, tmp_path, "SELECT value FROM _roost_kv") == [(b"1",)]
    assert not list((Shelf(data).path).glob("imported/*"))


def test_a_roost_that_begins_or_ends_just_now_is_not_disturbed(data: Path, file: Path, tmp_path: Path) -> None:
    put(data, b"1")
    claimed = claim(data)
    try:
        with pytest.raises(DataDirectoryError, match="in use by another roost"):
            import_file(data, file, replace=True)
    finally:
        claimed.close()
    assert exported(data, tmp_path, "SELECT value FROM _roost_kv") == [(b"1",)]
    assert not any((Shelf(data).path / "imported").iterdir())
