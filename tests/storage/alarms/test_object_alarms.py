"""The alarms of one life: turns, runs, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roost.clock import SystemClock
from roost.errors import LimitExceededError, StorageFullError, WrongTypeError
from roost.ids import ObjectId
from roost.storage.alarms.alarms import UNNAMED, Alarm, FailedAlarm
from roost.storage.alarms.object_alarms import ObjectAlarms
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

NOW = 1_700_000_000_000


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms


class Life:
    """One life of an object's storage, and what was told of its alarms."""

    def __init__(self, store: HostStore, room: ObjectId, log: MemoryLog, clock: HandClock) -> None:
        self.store, self.log, self.clock = store, log, clock
        self.storage: ObjectStorage = store.open(room)
        self.told: list[int | None] = []
        self.failed: list[FailedAlarm] = []
        store.on_alarm = lambda object_id, due: self.told.append(due)
        store.on_alarm_failed = lambda object_id, failed: self.failed.append(failed)

    @property
    def alarms(self) -> ObjectAlarms:
        return self.storage.alarms

    def set(self, due: int, name: str = UNNAMED, *, limit: int = 100, confirmed: bool = True) -> None:
        self.alarms.set(name, due, limit=limit, confirmed=confirmed)

    def end_turn(self) -> None:
        """Commit, and have it durable."""
        self.storage.commit(lambda error: None)
        while pending := self.log.pending():
            pending[0].succeed()

    def begin(self) -> Alarm:
        alarm = self.alarms.begin_next()
        assert alarm is not None
        return alarm


@pytest.fixture
def life(make_store: Callable[..., HostStore], room: ObjectId, log: MemoryLog) -> Life:
    clock = HandClock()
    return Life(make_store(log=log, clock=clock), room, log, clock)


def test_an_object_without_alarms_costs_no_file(life: Life, tmp_path: Path) -> None:
    assert life.alarms.get(UNNAMED) is None
    assert life.alarms.named() == {}
    assert life.alarms.failed() == []
    assert not life.alarms.delete(UNNAMED)
    assert life.alarms.begin_next() is None
    assert not life.storage.uncommitted
    assert not list((tmp_path / "data" / "objects").rglob("*.sqlite"))


def test_an_alarm_is_set_with_the_turn_that_sets_it_and_told_when_that_is_durable(life: Life) -> None:
    life.set(NOW + 5)
    assert life.alarms.get(UNNAMED) == NOW + 5
    life.storage.commit(lambda error: None)
    assert life.told == []
    life.log.pending()[0].succeed()
    assert life.told == [NOW + 5]


def test_a_rolled_back_turn_or_transaction_sets_and_deletes_nothing(life: Life) -> None:
    life.set(NOW + 5)
    life.storage.rollback()
    assert life.alarms.get(UNNAMED) is None
    life.set(NOW + 5)
    life.end_turn()
    life.storage.begin_nested()
    life.alarms.delete(UNNAMED)
    life.set(NOW + 1, "x")
    life.storage.rollback_nested()
    assert life.alarms.get(UNNAMED) == NOW + 5
    assert life.alarms.named() == {}
    assert not life.storage.dirty


def test_a_transaction_that_fails_leaves_what_the_turn_set_before_it(life: Life) -> None:
    life.set(NOW + 5)
    life.storage.begin_nested()
    life.set(NOW + 1)
    life.storage.rollback_nested()
    life.end_turn()
    assert life.told == [NOW + 5]


def test_setting_what_is_set_writes_nothing(life: Life) -> None:
    life.set(NOW + 5)
    life.end_turn()
    life.set(NOW + 5)
    assert not life.storage.uncommitted
    life.set(NOW + 6)
    assert life.alarms.get(UNNAMED) == NOW + 6
    assert life.storage.rows_written == 2


def test_all_that_is_past_means_now_so_it_is_not_written_again(life: Life) -> None:
    life.set(NOW)
    life.end_turn()
    life.clock.ms += 3
    life.set(NOW + 3)
    assert not life.storage.uncommitted
    life.set(NOW + 4)
    assert life.alarms.get(UNNAMED) == NOW + 4


def test_setting_anew_a_failed_one_ends_its_retries_even_to_the_time_of_the_next(life: Life) -> None:
    life.set(NOW)
    life.begin()
    life.alarms.try_again(NOW + 2000)
    assert life.alarms.get(UNNAMED) == NOW + 2000
    life.set(NOW + 2000)
    life.clock.ms += 2000
    assert life.begin().retries == 0


def test_an_unconfirmed_alarm_holds_no_effect(life: Life) -> None:
    life.set(NOW + 5, confirmed=False)
    assert not life.storage.confirmed
    life.alarms.delete(UNNAMED)
    assert life.storage.confirmed


def test_there_may_be_many_and_not_too_many(life: Life) -> None:
    life.set(NOW + 1, "a", limit=2)
    life.set(NOW + 2, "b", limit=2)
    life.set(NOW + 3, "b", limit=2)
    for name in ("c", UNNAMED):
        with pytest.raises(LimitExceededError, match="2 alarms") as refused:
            life.set(NOW + 4, name, limit=2)
        assert (refused.value.limit, refused.value.actual) == (2, 3)
    assert life.alarms.named() == {"a": NOW + 1, "b": NOW + 3}


def test_where_none_can_be_set_the_reason_is_told(life: Life) -> None:
    life.alarms.refusal = "there is no method"
    with pytest.raises(WrongTypeError, match="there is no method"):
        life.set(NOW)
    assert not life.storage.uncommitted


def test_rows_are_counted_like_those_of_keys(life: Life) -> None:
    life.set(NOW + 1)
    life.set(NOW + 1, "x")
    life.alarms.delete("x")
    life.alarms.delete("y")
    assert life.storage.rows_written == 3
    life.alarms.get(UNNAMED)
    assert life.storage.rows_read == 1
    life.alarms.named()
    assert life.storage.rows_read == 1


# -- runs --------------------------------------------------------------------------------------------------------------


def test_none_rings_early_and_the_one_due_first_rings_first(life: Life) -> None:
    life.set(NOW + 2, "b")
    life.set(NOW + 1, "a")
    assert life.alarms.begin_next() is None
    life.clock.ms += 2
    assert life.begin().name == "a"
    life.alarms.end()
    assert life.begin().name == "b"


def test_an_alarm_that_runs_is_not_set_until_it_is_set_anew(life: Life) -> None:
    life.set(NOW, "a")
    life.set(NOW + 9, "b")
    life.begin()
    assert life.alarms.get("a") is None
    assert life.alarms.named() == {"b": NOW + 9}
    life.set(NOW, "a")
    assert life.alarms.get("a") == NOW
    assert life.alarms.named() == {"a": NOW, "b": NOW + 9}
    life.alarms.end()
    assert life.alarms.get("a") == NOW


def test_the_end_of_a_run_is_in_the_same_commit_as_its_last_writes(life: Life) -> None:
    life.set(NOW)
    life.end_turn()
    life.begin()
    life.storage.put("done", b"1")
    life.alarms.end()
    life.storage.commit(lambda error: None)
    (append,) = life.log.pending()
    assert append.record.alarm is None
    append.succeed()
    assert life.told == [NOW, None]


def test_a_run_that_fails_is_due_again_and_says_when_it_was_to_be(life: Life) -> None:
    life.set(NOW)
    life.begin()
    assert life.alarms.try_again(NOW + 2000)
    assert life.alarms.get(UNNAMED) == NOW + 2000
    assert life.alarms.begin_next() is None
    life.clock.ms += 2000
    again = life.begin()
    assert (again.scheduled, again.retries) == (NOW, 1)
    life.end_turn()
    assert life.told == [NOW + 2000]


@pytest.mark.parametrize("how", ["set", "deleted"])
def test_what_was_set_anew_or_deleted_during_a_run_replaces_the_retry(life: Life, how: str) -> None:
    life.set(NOW)
    life.begin()
    if how == "set":
        life.set(NOW + 7)
    else:
        assert not life.alarms.delete(UNNAMED)
    assert not life.alarms.try_again(NOW + 2000)
    assert life.alarms.get(UNNAMED) == (NOW + 7 if how == "set" else None)


def test_a_setting_during_the_run_that_was_rolled_back_replaces_nothing(life: Life) -> None:
    life.set(NOW)
    life.end_turn()
    life.begin()
    life.set(NOW + 7)
    life.storage.rollback()
    assert life.alarms.get(UNNAMED) is None
    assert life.alarms.try_again(NOW + 2000)
    assert life.alarms.get(UNNAMED) == NOW + 2000


def test_one_that_is_given_up_is_listed_and_told_once_durable(life: Life) -> None:
    life.set(NOW, "x")
    life.end_turn()
    life.begin()
    life.clock.ms += 5
    assert life.alarms.give_up("LookupError: no")
    failed = FailedAlarm("x", NOW, NOW + 5, "LookupError: no")
    assert life.alarms.failed() == [failed]
    assert life.alarms.named() == {}
    assert life.failed == []
    life.end_turn()
    assert life.failed == [failed]
    assert failed.key == "x"


def given_up(life: Life, name: str = "x") -> None:
    life.set(NOW, name)
    life.end_turn()
    life.begin()
    life.alarms.give_up("LookupError: no")
    life.end_turn()


def test_one_that_was_given_up_can_be_set_again_and_is_not_listed_then(life: Life) -> None:
    given_up(life)
    life.clock.ms += 9
    assert life.alarms.set_again("x")
    life.end_turn()
    assert (life.alarms.get("x"), life.alarms.failed(), life.told[-1]) == (NOW + 9, [], NOW + 9)
    assert life.begin().retries == 0


def test_what_was_not_given_up_cannot_be_set_again(life: Life) -> None:
    assert not life.alarms.set_again("x")
    assert not life.storage.dirty


def test_one_that_was_given_up_and_set_since_stays_as_it_is_set(life: Life) -> None:
    given_up(life)
    life.set(NOW + 50, "x")
    life.end_turn()
    assert life.alarms.set_again("x")
    life.end_turn()
    assert (life.alarms.get("x"), life.alarms.failed()) == (NOW + 50, [])


def test_one_that_was_set_anew_is_not_listed_as_failed(life: Life) -> None:
    life.set(NOW)
    life.begin()
    life.set(NOW + 7)
    assert not life.alarms.give_up("LookupError: no")
    assert life.alarms.failed() == []
    life.end_turn()
    assert life.failed == []


def test_one_whose_failure_could_not_be_stored_is_not_told(life: Life) -> None:
    life.set(NOW)
    life.end_turn()
    life.begin()
    life.alarms.give_up("LookupError: no")
    life.storage.commit(lambda error: None)
    life.log.pending()[0].fail(StorageFullError("full"))
    assert life.failed == []


def test_a_run_whose_life_ended_is_to_be_run_again(life: Life, room: ObjectId) -> None:
    life.set(NOW)
    life.end_turn()
    life.begin()
    life.alarms.forget_run()
    life.storage.close()
    life.storage = life.store.open(room)
    assert life.alarms.get(UNNAMED) == NOW
    assert life.begin().retries == 0


def test_deleting_everything_during_a_run_leaves_no_retry(life: Life) -> None:
    life.set(NOW)
    life.end_turn()
    life.begin()
    life.storage.delete_all()
    assert not life.alarms.try_again(NOW + 2000)
    life.end_turn()
    assert life.told == [NOW, None]


# -- telling -----------------------------------------------------------------------------------------------------------


def test_the_truth_is_told_to_whoever_doubts_it(life: Life) -> None:
    life.set(NOW + 5)
    life.end_turn()
    life.storage.tell_alarm()
    assert life.told == [NOW + 5, NOW + 5]


def test_an_object_without_a_file_has_no_alarm_to_tell(life: Life) -> None:
    life.alarms.begin_next()
    life.storage.tell_alarm()
    assert life.told == [None]


def test_nothing_is_told_of_a_file_that_is_no_longer_open(life: Life) -> None:
    life.set(NOW + 5)
    life.end_turn()
    life.storage.close()
    life.store.close()
    life.storage.tell_alarm()
    assert life.told == [NOW + 5]


def test_an_object_that_deleted_everything_and_set_an_alarm_keeps_its_file(
    life: Life, room: ObjectId, make_store: Callable[..., HostStore], log: MemoryLog
) -> None:
    life.storage.put("a", b"1")
    life.end_turn()
    life.storage.delete_all()
    life.set(NOW + 5)
    life.end_turn()
    life.storage.close()
    life.store.close()
    again = Life(make_store(log=log, clock=life.clock), room, log, life.clock)
    assert again.alarms.get(UNNAMED) == NOW + 5
