"""An examination finds what a disk changed, names whom it concerns, and suspects nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.history.examination import Examination, Problem, integrity
from roost.history.folding import fold_all
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore
from roost.storage.sums import sums_path

LOBBY, HALL = (IdSpace("ROOM", "ROOM").from_name(name) for name in ("lobby", "hall"))
LIMITS = Limits(journal_segment_bytes=256 * 1024)


def fill(storage: ObjectStorage, salt: int = 0) -> None:
    for number in range(20):
        storage.put(f"key {number}", bytes([number + salt]) * 900)
    storage.commit(lambda error: None)


def file_of(data: Path, object_id: ObjectId) -> Path:
    digits = object_id.key.hex()
    return data / "objects" / "ROOM" / digits[:2] / f"{digits}.sqlite"


def rot(path: Path, at: int) -> None:
    """Turn a bit over."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two objects, whose host was stopped."""
    store = HostStore(tmp_path / "data", limits=LIMITS)
    for object_id in (LOBBY, HALL):
        fill(store.open(object_id))
    store.settle()
    store.close()
    return tmp_path / "data"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[HostStore, Path]]:
    store = HostStore(tmp_path / "data", limits=LIMITS)
    yield store, tmp_path / "data"
    store.close()


def examine(data: Path, *, thoroughly: bool = False) -> list[Problem]:
    return list(Examination(data, thoroughly=thoroughly, pause=lambda seconds: None).problems())


def test_nothing_is_wrong_with_what_is_whole(data: Path) -> None:
    fold_all(data)
    examination = Examination(data, thoroughly=True)
    assert list(examination.problems()) == []
    assert examination.objects == 2
    assert examination.pages == sum(file_of(data, one).stat().st_size for one in (LOBBY, HALL)) // PAGE_BYTES
    assert examination.unchecked == 0
    assert examination.archives == 1


def test_a_page_that_the_disk_changed_is_named_with_its_object(data: Path) -> None:
    rot(file_of(data, LOBBY), 3 * PAGE_BYTES + 77)
    (problem,) = examine(data)
    assert problem.object == LOBBY.key.hex()
    assert problem.binding == "ROOM"
    assert problem.what == "not what was written: page 4"
    assert problem.path == str(file_of(data, LOBBY).relative_to(data))


def test_what_has_no_checksums_is_found_by_sqlite_where_it_is_asked(data: Path) -> None:
    sums_path(file_of(data, HALL)).unlink()
    with file_of(data, HALL).open("r+b") as file:
        file.seek(3 * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))
    assert examine(data) == []
    (problem,) = examine(data, thoroughly=True)
    assert problem.object == HALL.key.hex()
    assert "SQLite" in problem.what


def test_an_object_that_lost_its_end_is_found(data: Path) -> None:
    os.truncate(file_of(data, LOBBY), 2 * PAGE_BYTES)
    (problem,) = examine(data)
    assert problem.what.startswith("not what was written: pages 3, 4")


def test_objects_in_quarantine_are_told(data: Path) -> None:
    Quarantine(data).put(Case(key=HALL.key.hex(), binding="ROOM", reason="a test wants it"))
    (problem,) = examine(data)
    assert (problem.object, problem.what) == (HALL.key.hex(), "in quarantine: a test wants it")


def test_a_damaged_archive_is_told(data: Path) -> None:
    fold_all(data)
    (archive,) = (data / "history" / "archives").glob("*.archive")
    rot(archive, archive.stat().st_size // 3)
    assert examine(data) == []
    (problem,) = examine(data, thoroughly=True)
    assert problem.path == str(archive.relative_to(data))


def test_a_serving_host_is_not_suspected(serving: tuple[HostStore, Path]) -> None:
    store, data = serving
    storage = store.open(LOBBY)
    for salt in range(5):
        fill(storage, salt)
        store.settle()
        assert examine(data, thoroughly=True) == []
        store.checkpoint()
        assert examine(data, thoroughly=True) == []


def test_pages_that_recovery_will_write_anew_are_not_damaged(serving: tuple[HostStore, Path]) -> None:
    store, data = serving
    fill(store.open(LOBBY))
    store.checkpoint()
    fill(store.open(LOBBY), 1)
    store.settle()
    rot(file_of(data, LOBBY), 3 * PAGE_BYTES + 77)
    assert examine(data) == []


def test_what_changes_between_two_looks_is_no_damage(data: Path) -> None:
    path = file_of(data, LOBBY)
    rot(path, 3 * PAGE_BYTES + 77)
    mended: list[float] = []

    def pause(seconds: float) -> None:
        if not mended:
            rot(path, 3 * PAGE_BYTES + 77)
        mended.append(seconds)

    assert list(Examination(data, pause=pause).problems()) == []
    assert mended


def test_confirmed_commits_that_a_journal_lost_are_told(tmp_path: Path) -> None:
    store = HostStore(tmp_path / "data", limits=LIMITS)
    for salt in range(3):
        fill(store.open(LOBBY), salt)
        store.settle()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "data", copy, ignore=shutil.ignore_patterns("lock"))
    store.close()
    (segment,) = (copy / "hosts" / "0").glob("journal-*")
    rot(segment, 4096 + 300)
    problems = examine(copy)
    assert any("confirmed commits" in problem.what for problem in problems), problems


def test_one_object_can_be_examined_alone(data: Path) -> None:
    rot(file_of(data, LOBBY), 3 * PAGE_BYTES + 77)
    examination = Examination(data, pause=lambda seconds: None)
    assert list(examination.problems_of(HALL)) == []
    assert len(list(examination.problems_of(LOBBY))) == 1
    assert list(examination.problems_of(IdSpace("ROOM", "ROOM").from_name("nobody"))) == []


def test_sqlite_says_nothing_of_a_whole_database_and_something_of_any_other_file(data: Path, tmp_path: Path) -> None:
    assert integrity(file_of(data, LOBBY)) == ""
    (tmp_path / "text").write_text("no database" * 1000)
    assert "SQLite cannot read it" in integrity(tmp_path / "text")
