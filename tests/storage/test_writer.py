"""An object's commits: numbers, fates, and when a file may be brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.clock import SystemClock
from roost.errors import StorageError, StorageFullError
from roost.ids import ObjectId
from roost.storage import writer as module
from roost.storage.alarms import alarms
from roost.storage.database import Database
from roost.storage.journal.log import MemoryLog
from roost.storage.template import Template
from roost.storage.writer import Writer


class StandingClock(SystemClock):
    def now_ms(self) -> int:
        return 1_700_000_000_000


class Owner:
    def __init__(self, path: Path, object_id: ObjectId, log: MemoryLog) -> None:
        self.settled = 0
        self.log = log
        database = Database(path, Template(), 1000)
        self.told: list[tuple[ObjectId, int | None, bool]] = []
        self.writer = Writer(object_id, database, log, StandingClock(), 4_096_000, self.on_settled, self.on_alarm)

    def on_settled(self, writer: Writer) -> None:
        self.settled += 1

    def on_alarm(self, object_id: ObjectId, due: int | None) -> None:
        self.told.append((object_id, due, self.writer.settled))

    def set_alarm(self, due: int | None) -> int:
        self.writer.database.begin()
        connection = self.writer.database.connection
        if due is None:
            alarms.delete(connection, alarms.UNNAMED)
        else:
            alarms.put(connection, alarms.UNNAMED, due)
        self.writer.alarm_changed = True
        return self.writer.commit(lambda error: None)

    def commit(self, value: str) -> int:
        self.writer.database.begin()
        self.writer.database.connection.execute("INSERT OR REPLACE INTO _roost_kv VALUES ('a', ?)", (value,))
        return self.writer.commit(lambda error: None)

    def value(self) -> object:
        return self.writer.database.connection.execute("SELECT value FROM _roost_kv WHERE key = 'a'").get


@pytest.fixture
def owner(tmp_path: Path, room: ObjectId, log: MemoryLog) -> Iterator[Owner]:
    owner = Owner(tmp_path / "a" / "b" / "c" / "object.sqlite", room, log)
    yield owner
    owner.writer.close()


def test_records_tell_whose_commit_they_hold(owner: Owner, room: ObjectId, log: MemoryLog) -> None:
    number = owner.commit("1")
    record = log.pending()[0].record
    assert (record.key, record.binding, record.commit, record.epoch) == (room.key, "ROOM", number, 1)
    assert record.time_ms == 1_700_000_000_000
    assert record.alarm is None
    assert sorted(record.images) == [1, 2, 3]


def test_the_owner_hears_once_nothing_is_under_way(owner: Owner, log: MemoryLog) -> None:
    owner.commit("1")
    owner.commit("2")
    first, second = log.pending()
    first.succeed()
    assert owner.settled == 0
    assert not owner.writer.settled
    second.succeed()
    assert owner.settled == 1
    assert owner.writer.durable == owner.writer.number == second.record.commit


def test_a_checkpoint_needs_a_settled_quiet_file(owner: Owner, log: MemoryLog) -> None:
    owner.commit("1")
    assert not owner.writer.may_checkpoint()
    log.pending()[0].succeed()
    assert owner.writer.may_checkpoint()
    owner.writer.in_turn = True
    assert not owner.writer.may_checkpoint()
    owner.writer.in_turn = False
    owner.writer.database.begin_checkpoint()
    owner.writer.database.move_pages()
    owner.writer.sync(owner.writer.durable)
    assert owner.writer.up_to_date
    assert log.let_go_of == {owner.writer.key: owner.writer.number}


def test_no_room_takes_the_file_back_to_the_last_durable_commit(owner: Owner, log: MemoryLog) -> None:
    lost: list[StorageError] = []
    owner.writer.on_lost = lost.append
    first = owner.commit("1")
    log.pending()[0].succeed()
    owner.commit("2")
    third = owner.commit("3")
    error = StorageFullError("no space left")
    log.pending()[0].fail(error)
    assert lost == [error]
    assert owner.value() == "1"
    assert owner.writer.failure is None
    fourth = owner.commit("4")
    assert fourth > third
    assert log.pending()[0].record.previous == first


def test_the_first_commit_can_be_taken_back(owner: Owner, log: MemoryLog) -> None:
    owner.commit("1")
    log.pending()[0].fail(StorageFullError("no space left"))
    assert owner.value() is None
    owner.commit("2")
    assert sorted(log.pending()[0].record.images) == [1, 2, 3]


def test_any_other_failure_ends_the_use_of_the_file(owner: Owner, log: MemoryLog) -> None:
    owner.commit("1")
    error = StorageError("broken")
    told: list[StorageError | None] = []
    owner.writer.when_durable(told.append)
    log.pending()[0].fail(error)
    owner.writer.when_durable(told.append)
    assert told == [error, error]
    assert owner.writer.failure is error


def test_the_base_of_the_numbers_is_renewed_before_it_is_used_up(
    owner: Owner, log: MemoryLog, room: ObjectId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NUMBER_BITS", 3)
    monkeypatch.setattr(module, "_REBASE_AFTER", 4)
    numbers = [owner.commit(str(value)) for value in range(30)]
    assert numbers == sorted(set(numbers))
    for append in log.pending():
        append.succeed()
    owner.writer.database.begin_checkpoint()
    owner.writer.database.move_pages()
    owner.writer.sync(owner.writer.durable)
    owner.writer.close()
    again = Owner(owner.writer.database.path, room, log)
    assert again.commit("later") > numbers[-1]
    again.writer.close()


def test_a_file_in_which_nothing_was_committed_goes_with_its_writer(owner: Owner) -> None:
    owner.writer.database.path.parent.mkdir(parents=True)
    owner.writer.database.path.touch()  # as a power failure may leave a new one
    owner.writer.close()
    assert not owner.writer.database.path.exists()


# -- alarms ------------------------------------------------------------------------------------------------------------


def test_every_record_says_when_the_earliest_alarm_is_due(owner: Owner, log: MemoryLog) -> None:
    owner.commit("1")
    owner.set_alarm(5_000)
    owner.commit("2")
    owner.set_alarm(None)
    owner.commit("3")
    assert [append.record.alarm for append in log.pending()] == [None, 5_000, 5_000, None, None]
    assert owner.writer.alarm is None


def test_a_change_of_the_alarm_is_told_once_it_is_durable(owner: Owner, room: ObjectId, log: MemoryLog) -> None:
    owner.set_alarm(5_000)
    owner.commit("1")
    owner.set_alarm(4_000)
    first, second, third = log.pending()
    assert owner.told == []
    first.succeed()
    assert [due for _, due, _ in owner.told] == [5_000]
    second.succeed()
    assert len(owner.told) == 1
    third.succeed()
    assert [(told, due) for told, due, _ in owner.told] == [(room, 5_000), (room, 4_000)]
    assert owner.told[0][0].name == "lobby"


def test_the_change_is_told_before_anybody_hears_of_its_commit(owner: Owner, log: MemoryLog) -> None:
    owner.writer.database.begin()
    alarms.put(owner.writer.database.connection, alarms.UNNAMED, 5_000)
    owner.writer.alarm_changed = True
    seen: list[int] = []
    owner.writer.commit(lambda error: seen.append(len(owner.told)))
    log.pending()[0].succeed()
    assert seen == [1]


def test_an_alarm_whose_commit_failed_was_never_set(owner: Owner, log: MemoryLog) -> None:
    owner.set_alarm(5_000)
    log.pending()[0].succeed()
    owner.set_alarm(3_000)
    log.pending()[0].fail(StorageFullError("full"))
    assert owner.writer.alarm == 5_000
    assert len(owner.told) == 1
    owner.commit("1")
    assert log.pending()[0].record.alarm == 5_000
    log.pending()[0].succeed()


def test_deleting_everything_ends_the_alarm(owner: Owner, log: MemoryLog) -> None:
    owner.set_alarm(5_000)
    log.pending()[0].succeed()
    owner.writer.reset()
    owner.writer.commit(lambda error: None)
    assert log.pending()[0].record.alarm is None
    log.pending()[0].succeed()
    assert [due for _, due, _ in owner.told] == [5_000, None]


def test_an_alarm_that_was_found_in_the_file_is_known_and_not_told_again(
    owner: Owner, room: ObjectId, log: MemoryLog
) -> None:
    owner.set_alarm(5_000)
    log.pending()[0].succeed()
    owner.writer.database.move_pages()
    owner.writer.database.close()
    reopened = Owner(owner.writer.database.path, room, log)
    assert reopened.writer.alarm == 5_000
    reopened.commit("1")
    log.pending()[0].succeed()
    assert reopened.told == []
    reopened.writer.tell_alarm()
    assert [due for _, due, _ in reopened.told] == [5_000]
    reopened.writer.close()
