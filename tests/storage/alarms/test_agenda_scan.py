"""Looking for alarms in the objects' files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.ids import IdSpace, ObjectId
from roost.storage.alarms import agenda_scan
from roost.storage.alarms.agenda_scan import Found, Scan, object_files
from roost.storage.store import HostStore

from .agenda_parts import HandLoop

MakeStore = Callable[..., HostStore]


class Told:
    """What a scan told."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.done: list[tuple[int, int, int]] = []

    def all_done(self, looked_at: int, had_alarms: int, unreadable: int) -> None:
        self.done.append((looked_at, had_alarms, unreadable))

    def dues(self) -> dict[str | None, int | None]:
        return {one.entry.name: one.entry.due for one in self.found if one.entry is not None}


def scan(objects: Path, owns: Callable[[bytes], bool] = lambda key: True) -> Told:
    told, loop = Told(), HandLoop()
    Scan(objects, owns, loop.post, told.found.extend, told.all_done)
    loop.turn_until(lambda: bool(told.done))
    return told


@pytest.fixture
def ids(space: IdSpace) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(5)]


@pytest.fixture
def objects(make_store: MakeStore, ids: list[ObjectId], tmp_path: Path) -> Path:
    """Each object has an alarm, due at its place in the list."""
    store = make_store()
    for due, object_id in enumerate(ids, 1):
        storage = store.open(object_id)
        storage.alarms.set("", due, limit=9)
        storage.commit(lambda error: None)
    store.close()
    return tmp_path / "data" / "objects"


def test_every_alarm_is_found_with_the_name_of_its_object(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda_scan, "_TOGETHER", 2)
    told = scan(objects)
    assert told.dues() == {f"room {number}": number + 1 for number in range(5)}
    assert told.done == [(5, 5, 0)]


def test_only_this_hosts_objects_are_looked_at(objects: Path, ids: list[ObjectId]) -> None:
    told = scan(objects, lambda key: key == ids[3].key)
    assert (told.dues(), told.done) == ({"room 3": 4}, [(1, 1, 0)])


def test_alarms_that_were_given_up_are_found_too(make_store: MakeStore, room: ObjectId, tmp_path: Path) -> None:
    store = make_store()
    storage = store.open(room)
    storage.alarms.set("nightly", 5, limit=9)
    storage.commit(lambda error: None)
    store.settle()
    assert storage.alarms.begin_next() is not None
    storage.alarms.give_up("ValueError: no")
    storage.commit(lambda error: None)
    store.close()
    (found,) = scan(tmp_path / "data" / "objects").found
    assert found.entry is None
    assert [(one.name, one.alarm, one.scheduled, one.error) for one in found.failed] == [
        ("lobby", "nightly", 5, "ValueError: no")
    ]


def test_objects_without_alarms_are_passed_over(make_store: MakeStore, room: ObjectId, tmp_path: Path) -> None:
    store = make_store()
    storage = store.open(room)
    storage.put("a", b"1")
    storage.commit(lambda error: None)
    store.close()
    told = scan(tmp_path / "data" / "objects")
    assert (told.found, told.done) == ([], [(1, 0, 0)])


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_found(
    objects: Path, ids: list[ObjectId], caplog: pytest.LogCaptureFixture
) -> None:
    path = objects / "ROOM" / ids[0].key.hex()[:2] / f"{ids[0].key.hex()}.sqlite"
    raw = bytearray(path.read_bytes())
    raw[100:4096] = b"\xff" * 3996
    path.write_bytes(raw)
    with caplog.at_level(logging.WARNING):
        told = scan(objects)
    assert told.done == [(5, 4, 1)]
    assert str(path) in caplog.text


def test_files_that_are_no_objects_are_not_looked_at(objects: Path) -> None:
    directory = next(objects.glob("*/*"))
    for name in ("notes.sqlite", "abcd.sqlite"):
        (directory / name).write_bytes(b"x")
    assert len(list(object_files(objects))) == 5


def test_no_more_is_found_than_the_loop_has_taken_and_stopping_ends_it(
    objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_scan, "_TOGETHER", 1)
    told, loop = Told(), HandLoop()
    begun = Scan(objects, lambda key: True, loop.post, told.found.extend, told.all_done)
    loop.turn()
    assert len(told.found) == 1
    begun.stop()
    loop.turn_all()
    assert (len(told.found), told.done) == (1, [])


def test_a_loop_that_is_closed_ends_it(objects: Path) -> None:
    def closed(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    begun = Scan(objects, lambda key: True, closed, lambda found: None, lambda *counts: None)
    begun._thread.join()
    begun.stop()
