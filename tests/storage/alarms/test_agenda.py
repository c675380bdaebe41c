"""The agenda of a host: it knows what is durable, forgets nothing, and is small."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from roost.errors import StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.storage.alarms import agenda as agenda_module
from roost.storage.alarms import agenda_writer
from roost.storage.alarms.agenda import Agenda
from roost.storage.alarms.agenda_reader import NAME
from roost.storage.alarms.alarms import FailedAlarm
from roost.storage.store import HostStore

from .agenda_parts import HandLoop, RefusingFile

MakeStore = Callable[..., HostStore]


class Parts:
    """An agenda over a directory, and the loop that it belongs to."""

    def __init__(self, directory: Path, *, complete: bool = True) -> None:
        self.loop = HandLoop()
        self.objects = directory / "objects"
        self.objects.mkdir(exist_ok=True)
        self.file = RefusingFile(directory / "host", complete=complete)
        self.open: list[tuple[ObjectId, int | None]] = []
        self.agenda = Agenda(
            directory / "host",
            post=self.loop.post,
            objects=self.objects,
            opened_now=lambda: self.open,
            file=self.file,
        )
        self.changes = 0

    def start(self, *bindings: str) -> None:
        """Begin, and load the first entries."""
        self.agenda.start(bindings or ["ROOM"], self._count)
        self.loaded()

    def _count(self) -> None:
        self.changes += 1

    def loaded(self) -> None:
        self.loop.turn_until(lambda: not self.agenda._loading)

    def take_all(self, now: int) -> list[int]:
        """What is due at each of the entries that are given out, one after the other, all loading done."""
        due = []
        while (entry := self.agenda.take(now)) is not None:
            assert entry.due is not None
            due.append(entry.due)
            self.loaded()
        return due


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(agenda_writer, "WRITE_SECONDS", 3600.0)
    made = Parts(tmp_path)
    yield made
    made.agenda.close()


def reopened(parts: Parts, directory: Path) -> Parts:
    parts.agenda.close()
    return Parts(directory)


def ids(space: IdSpace, count: int) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(count)]


# -- who rings next ----------------------------------------------------------------------------------------------------


def test_what_is_noted_is_given_out_when_it_is_due_and_not_before(parts: Parts, room: ObjectId) -> None:
    parts.start()
    parts.agenda.note(room, 1_000)
    assert (parts.agenda.first(), parts.agenda.take(999)) == (1_000, None)
    entry = parts.agenda.take(1_000)
    assert entry is not None
    assert (entry.key, entry.binding, entry.name, entry.due) == (room.key, "ROOM", "lobby", 1_000)


def test_the_oldest_is_given_out_first(parts: Parts, space: IdSpace) -> None:
    parts.start()
    for due, one in zip((3, 1, 2), ids(space, 3), strict=True):
        parts.agenda.note(one, due)
    assert parts.take_all(9) == [1, 2, 3]


def test_an_alarm_that_is_gone_or_later_is_not_given_out(parts: Parts, space: IdSpace) -> None:
    parts.start()
    gone, later = ids(space, 2)
    parts.agenda.note(gone, 5)
    parts.agenda.note(later, 5)
    parts.agenda.note(gone, None)
    parts.agenda.note(later, 50)
    assert parts.take_all(49) == []
    assert parts.agenda.first() == 50


def test_the_clock_is_told_when_something_comes_earlier_and_only_then(parts: Parts, space: IdSpace) -> None:
    parts.start()
    first, second, third = ids(space, 3)
    parts.agenda.note(first, 50)
    assert parts.changes == 1
    parts.agenda.note(second, 60)
    assert parts.changes == 1
    parts.agenda.note(third, 40)
    assert parts.changes == 2


def test_what_was_taken_is_not_given_out_twice_and_what_is_noted_meanwhile_counts(parts: Parts, room: ObjectId) -> None:
    parts.start()
    parts.agenda.note(room, 5)
    assert parts.agenda.take(9) is not None
    parts.agenda.note(room, 7)
    assert (parts.agenda.take(9), parts.agenda.held(room.key).due) == (None, 7)
    parts.agenda.release(room.key)
    again = parts.agenda.take(9)
    assert again is not None
    assert again.due == 7
    parts.agenda.note(room, None)
    parts.agenda.release(room.key)
    assert parts.agenda.first() is None


def test_what_was_deferred_waits_also_in_the_file_and_not_for_the_next_host(
    parts: Parts, room: ObjectId, tmp_path: Path
) -> None:
    parts.start()
    parts.agenda.note(room, 5)
    assert parts.agenda.take(9) is not None
    parts.agenda.defer(room.key, 2_000, 3)
    assert parts.agenda.first() == 2_000
    parts.agenda.flush()
    (entry,) = parts.file.next(9)
    assert (entry.due, entry.at, entry.tries) == (5, 2_000, 3)
    parts = reopened(parts, tmp_path)
    parts.start()
    assert parts.agenda.first() == 5
    parts.agenda.close()


def test_an_alarm_that_was_deleted_while_it_rang_is_not_deferred(parts: Parts, room: ObjectId) -> None:
    parts.start()
    parts.agenda.note(room, 5)
    assert parts.agenda.take(9) is not None
    parts.agenda.note(room, None)
    parts.agenda.defer(room.key, 2_000, 1)
    assert parts.agenda.first() is None


def test_alarms_of_classes_that_are_not_there_stay_and_can_be_counted(parts: Parts, tmp_path: Path) -> None:
    for binding in ("ROOM", "GONE"):
        parts.agenda.note(IdSpace(binding, binding).from_name("y"), 5)
    parts = reopened(parts, tmp_path)
    parts.agenda.note(IdSpace("GONE", "GONE").from_name("z"), 1)
    parts.start("ROOM")
    counted: list[dict[str, int]] = []
    parts.agenda.flush()
    parts.agenda.count(counted.append)
    parts.loop.turn_until(lambda: bool(counted))
    assert counted == [{"GONE": 2, "ROOM": 1}]
    assert parts.take_all(9) == [5]
    parts.agenda.stop()
    parts = reopened(parts, tmp_path)
    parts.start("GONE", "ROOM")
    assert sorted(parts.take_all(9)) == [1, 5, 5]
    parts.agenda.close()


# -- its size ----------------------------------------------------------------------------------------------------------


def test_of_many_alarms_a_few_are_in_memory_and_all_are_given_out_in_order(
    parts: Parts, space: IdSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_module, "WINDOW_MAX", 40)
    monkeypatch.setattr(agenda_module, "LOAD_COUNT", 10)
    monkeypatch.setattr(agenda_writer, "LOAD_COUNT", 10)
    due = random.Random(1).sample(range(10_000), 500)
    for one, when in zip(ids(space, 500), due, strict=True):
        parts.agenda.note(one, when)
    parts = reopened(parts, tmp_path)
    parts.start()
    taken = []
    while (entry := parts.agenda.take(10_000)) is not None:
        taken.append(entry.due)
        assert len(parts.agenda._window) <= 40
        parts.loaded()
    assert taken == sorted(due)
    parts.agenda.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_history_at_random_agrees_with_a_dict(
    tmp_path: Path, space: IdSpace, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    print("seed", seed)
    monkeypatch.setattr(agenda_module, "WINDOW_MAX", 12)
    monkeypatch.setattr(agenda_module, "LOAD_COUNT", 4)
    monkeypatch.setattr(agenda_writer, "LOAD_COUNT", 4)
    monkeypatch.setattr(agenda_writer, "WRITE_SECONDS", 0.0)
    chance, objects, now = random.Random(seed), ids(space, 60), 0
    names = {one.key: one for one in objects}
    truth: dict[bytes, int] = {}
    parts = Parts(tmp_path)
    parts.start()
    for _ in range(1_500):
        act = chance.random()
        if act < 0.5:
            one, when = chance.choice(objects), now + chance.randrange(200)
            truth[one.key] = when
            parts.agenda.note(one, when)
        elif act < 0.6:
            one = chance.choice(objects)
            truth.pop(one.key, None)
            parts.agenda.note(one, None)
        elif act < 0.7:
            parts.agenda.flush()
        elif act < 0.8:
            parts.loop.turn_all()
        elif act < 0.82:
            parts = reopened(parts, tmp_path)
            parts.start()
        else:
            now += chance.randrange(10)
            parts.loaded()
            while (entry := parts.agenda.take(now)) is not None:
                assert entry.due == truth.pop(entry.key) <= now
                parts.agenda.note(names[entry.key], None)
                parts.agenda.release(entry.key)
                parts.loaded()
            assert not [key for key, due in truth.items() if due <= now]
    parts.agenda.close()


# -- what is durable ---------------------------------------------------------------------------------------------------


def test_a_crash_loses_nothing_that_is_in_the_journal(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    store = make_store()
    for due, one in enumerate(ids(space, 3), 1):
        storage = store.open(one)
        storage.alarms.set("", due, limit=9)
        storage.commit(lambda error: None)
    store.settle()
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "data", crashed, ignore=shutil.ignore_patterns("lock"))
    store = make_store(crashed)
    store.agenda.flush()
    assert [one.due for one in store.agenda._file.next(9)] == [1, 2, 3]


def test_a_clean_end_keeps_every_alarm(make_store: MakeStore, room: ObjectId) -> None:
    store = make_store()
    storage = store.open(room)
    storage.alarms.set("", 7, limit=9)
    storage.commit(lambda error: None)
    store.close()
    assert [(one.name, one.due) for one in make_store().agenda._file.next(9)] == [("lobby", 7)]


def test_what_the_journal_tells_is_right_whatever_the_file_says(parts: Parts, space: IdSpace, tmp_path: Path) -> None:
    gone, moved, kept, new = ids(space, 4)
    for one in (gone, moved, kept):
        parts.agenda.note(one, 5)
    parts = reopened(parts, tmp_path)

    def told(one: ObjectId, alarm: int | None) -> SimpleNamespace:
        return SimpleNamespace(key=one.key, binding="ROOM", alarm=alarm)

    parts.agenda.replay([told(gone, 9), told(gone, None), told(moved, 8), told(new, 6)])
    parts.start()
    assert parts.take_all(9) == [5, 6, 8]
    parts.agenda.flush()
    assert {one.name for one in parts.file.next(9)} == {"room 1", "room 2", None}
    parts.agenda.close()


def test_when_it_cannot_be_written_nothing_is_lost_and_the_journal_is_told_to_stay(
    parts: Parts, space: IdSpace
) -> None:
    parts.start()
    parts.file.refuse = StorageFullError("no space left")
    for one in ids(space, 3):
        parts.agenda.note(one, 5)
    with pytest.raises(StorageFullError):
        parts.agenda.flush()
    assert parts.take_all(9) == [5, 5, 5]
    parts.file.refuse = None
    parts.agenda.flush()
    assert len(parts.file.next(9)) == 3


def test_alarms_that_were_given_up_are_listed_until_they_are_forgiven(parts: Parts, room: ObjectId) -> None:
    parts.agenda.alarm_failed(room, FailedAlarm("nightly", 1, 2, "ValueError: no"))
    parts.agenda.flush()
    (failed,) = parts.file.failed(9)
    assert (failed.key, failed.name, failed.alarm, failed.error) == (room.key, "lobby", "nightly", "ValueError: no")
    parts.agenda.forgive(room.key, "nightly")
    parts.agenda.flush()
    assert parts.file.failed(9) == []


def test_a_name_that_the_file_could_not_keep_whole_is_left_out(parts: Parts, space: IdSpace) -> None:
    parts.agenda.note(space.from_name("a\0b"), 5)
    parts.agenda.flush()
    assert [one.name for one in parts.file.next(9)] == [None]


# -- a file that was lost ----------------------------------------------------------------------------------------------


def with_alarms(make_store: MakeStore, objects: list[ObjectId]) -> None:
    store = make_store()
    for due, one in enumerate(objects, 1):
        storage = store.open(one)
        storage.alarms.set("", due, limit=9)
        storage.commit(lambda error: None)
    store.close()


def lose(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


@pytest.mark.parametrize("harm", [lose, spoil])
def test_a_file_that_was_lost_is_made_anew_from_the_objects(
    make_store: MakeStore,
    space: IdSpace,
    tmp_path: Path,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with_alarms(make_store, ids(space, 3))
    harm(tmp_path / "data" / "hosts" / "0" / NAME)
    store = make_store()
    store.agenda.start(["ROOM"], lambda: None)
    with caplog.at_level(logging.WARNING):
        while store.agenda._known is not None:
            store.settle()
    assert "of 3 objects 3 have alarms" in caplog.text
    assert [store.agenda.take(9) is not None for _ in range(4)] == [True, True, True, False]
    store.close()
    store = make_store()
    assert store.agenda._known is None
    assert [(one.name, one.due) for one in store.agenda._file.next(9)] == [("room 0", 1), ("room 1", 2), ("room 2", 3)]


def test_what_was_noted_or_opened_since_is_newer_than_what_the_scan_finds(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    objects = ids(space, 4)
    with_alarms(make_store, objects)
    (tmp_path / "data" / "hosts" / "0" / NAME).unlink()
    store = make_store()
    store.agenda.note(objects[0], None)
    store.agenda.note(objects[1], 70)
    assert store.open(objects[2]).alarms.get("") == 3
    store.agenda.start(["ROOM"], lambda: None)
    while store.agenda._known is not None:
        store.settle()
    store.agenda.flush()
    assert [(one.name, one.due) for one in store.agenda._file.next(9)] == [("room 2", 3), ("room 3", 4), ("room 1", 70)]


def test_a_scan_that_was_interrupted_begins_again(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    with_alarms(make_store, ids(space, 3))
    (tmp_path / "data" / "hosts" / "0" / NAME).unlink()
    store = make_store()
    store.agenda.start(["ROOM"], lambda: None)
    store.close()
    assert make_store().agenda._known is not None


def test_only_this_hosts_alarms_are_looked_for(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    objects = ids(space, 3)
    with_alarms(make_store, objects)
    (tmp_path / "data" / "hosts" / "0" / NAME).unlink()
    store = make_store(owns=lambda key: key == objects[1].key)
    store.agenda.start(["ROOM"], lambda: None)
    while store.agenda._known is not None:
        store.settle()
    store.agenda.flush()
    assert [one.name for one in store.agenda._file.next(9)] == ["room 1"]


def test_damage_under_way_costs_no_alarm(parts: Parts, space: IdSpace, make_store: MakeStore, tmp_path: Path) -> None:
    objects = ids(space, 4)
    _, held, noted, awake = objects
    with_alarms(make_store, objects)
    shutil.rmtree(parts.objects)
    shutil.copytree(tmp_path / "data" / "objects", parts.objects)
    parts.start()
    for due, one in enumerate(objects, 1):
        parts.agenda.note(one, due)
    parts.agenda.note(held, 0)
    assert parts.agenda.take(0) is not None
    parts.agenda.flush()
    parts.loop.turn_all()
    parts.open = [(awake, 40)]
    parts.file.connection.execute("DROP TABLE alarms")
    parts.agenda.note(noted, 30)
    parts.agenda.flush()
    parts.loop.turn_until(lambda: parts.agenda._known is not None)
    parts.loop.turn_until(lambda: parts.agenda._known is None)
    parts.agenda.release(held.key)
    parts.loaded()
    parts.agenda.flush()
    assert [(one.name, one.due) for one in parts.file.next(9)] == [
        ("room 1", 0),
        ("room 0", 1),
        ("room 2", 30),
        ("room 3", 40),
    ]
    assert parts.take_all(99) == [0, 1, 30, 40]


def test_a_file_that_cannot_be_opened_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "host" / NAME).mkdir(parents=True)
    with pytest.raises(StorageError, match=NAME):
        Agenda(tmp_path / "host", post=HandLoop().post, objects=tmp_path / "objects")
