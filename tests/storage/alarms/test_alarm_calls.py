"""`ctx.storage`: the part about alarms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from tests.storage.test_transaction import NoGate

from roost.clock import SystemClock
from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError
from roost.ids import ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.storage import Storage
from roost.storage.store import HostStore
from roost.storage.transaction import Transaction

NOW = 1_700_000_000_000


class StandingClock(SystemClock):
    def now_ms(self) -> int:
        return NOW


@pytest.fixture
def handle(make_store: Callable[..., HostStore], room: ObjectId, log: MemoryLog) -> ObjectStorage:
    return make_store(log=log, clock=StandingClock()).open(room)


@pytest.fixture
def storage(handle: ObjectStorage) -> Storage:
    return Storage(handle, NoGate(), Limits(alarms_per_object_max=3))


async def test_an_alarm_is_set_read_and_deleted(storage: Storage) -> None:
    assert await storage.get_alarm() is None
    assert await storage.delete_alarm() is False
    await storage.set_alarm(NOW + 5, allow_concurrency=True)
    assert await storage.get_alarm(allow_concurrency=True) == NOW + 5
    await storage.set_alarm(NOW + 9)
    assert await storage.get_alarm() == NOW + 9
    assert await storage.delete_alarm(allow_concurrency=True) is True
    assert await storage.get_alarm() is None


@pytest.mark.parametrize(
    ("when", "due"),
    [
        (NOW + 7, NOW + 7),
        (dt.timedelta(minutes=1), NOW + 60_000),
        (dt.datetime(2030, 1, 1, tzinfo=dt.UTC), 1_893_456_000_000),
        (5, NOW),
    ],
)
async def test_a_time_is_given_in_any_of_three_ways_and_read_in_milliseconds(
    storage: Storage, when: Any, due: int
) -> None:
    await storage.set_alarm(when)
    assert await storage.get_alarm() == due


async def test_named_alarms_are_apart_from_the_one_without_a_key(storage: Storage) -> None:
    await storage.set_alarm(NOW + 1)
    await storage.set_alarm(NOW + 9, key="late")
    await storage.set_alarm(NOW + 3, key="early")
    assert await storage.get_alarm("late") == NOW + 9
    assert list((await storage.list_alarms()).items()) == [("early", NOW + 3), ("late", NOW + 9)]
    assert await storage.delete_alarm("late") is True
    assert await storage.get_alarm() == NOW + 1
    assert await storage.list_alarms() == {"early": NOW + 3}
    assert await storage.list_failed_alarms() == []


async def test_bad_keys_and_times_are_refused_and_nothing_is_written(storage: Storage, handle: ObjectStorage) -> None:
    with pytest.raises(InvalidArgumentError, match="must not be empty"):
        storage.set_alarm(NOW, key="")
    with pytest.raises(WrongTypeError, match="key of an alarm must be a str, got int"):
        storage.get_alarm(5)  # type: ignore[arg-type]
    with pytest.raises(LimitExceededError, match="key of an alarm"):
        storage.delete_alarm("x" * 10_000)
    with pytest.raises(InvalidArgumentError, match="time zone"):
        storage.set_alarm(dt.datetime(2030, 1, 1))
    assert not handle.uncommitted


async def test_their_number_is_limited(storage: Storage) -> None:
    for key in ("a", "b", "c"):
        await storage.set_alarm(NOW, key=key)
    with pytest.raises(LimitExceededError, match="3 alarms"):
        storage.set_alarm(NOW, key="d")


@pytest.mark.parametrize("unconfirmed", [False, True])
async def test_effects_wait_for_a_setting_unless_it_is_unconfirmed(
    storage: Storage, handle: ObjectStorage, unconfirmed: bool
) -> None:
    await storage.set_alarm(NOW + 5, allow_unconfirmed=unconfirmed)
    assert handle.confirmed is not unconfirmed
    handle.rollback()
    await storage.put("a", 1, allow_unconfirmed=True)
    await storage.delete_alarm(allow_unconfirmed=unconfirmed)
    assert handle.confirmed is False


async def test_in_a_transaction_it_is_kept_or_dropped_with_the_rest(storage: Storage) -> None:
    async def kept(txn: Transaction) -> None:
        await txn.set_alarm(NOW + 5)
        await txn.set_alarm(NOW + 6, key="x")
        assert await txn.get_alarm() == NOW + 5
        assert await txn.delete_alarm("x")

    async def dropped(txn: Transaction) -> None:
        await txn.delete_alarm()
        await storage.set_alarm(NOW + 9, key="y")
        raise LookupError

    await storage.transaction(kept)
    with pytest.raises(LookupError):
        await storage.transaction(dropped)
    assert await storage.get_alarm() == NOW + 5
    assert await storage.list_alarms() == {}


async def test_a_transaction_that_is_over_sets_none(storage: Storage) -> None:
    kept: list[Transaction] = []

    async def keep(txn: Transaction) -> None:
        kept.append(txn)

    await storage.transaction(keep)
    for call in (lambda: kept[0].set_alarm(NOW), kept[0].get_alarm, kept[0].delete_alarm):
        with pytest.raises(InvalidStateError, match="has ended"):
            call()


async def test_delete_all_takes_the_alarms_too(storage: Storage) -> None:
    await storage.set_alarm(NOW + 5)
    await storage.set_alarm(NOW + 6, key="x")
    await storage.delete_all()
    assert await storage.get_alarm() is None
    assert await storage.list_alarms() == {}
