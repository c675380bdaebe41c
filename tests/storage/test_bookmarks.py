"""`ctx.storage`: bookmarks."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.test_transaction import NoGate

from roost.clock import SystemClock
from roost.errors import HistoryError, InvalidArgumentError, InvalidStateError, StorageError, WrongTypeError
from roost.ids import IdSpace, ObjectId
from roost.storage.bookmarks import bookmark_of, commit_of, past_ms
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery.restores import Restore, Restores
from roost.storage.recovery.rewinder import State
from roost.storage.storage import Storage
from roost.storage.store import HostStore

NOW = 1_700_000_000_000
SPACE = IdSpace("ROOM", "ROOM")
LOBBY, OTHER = SPACE.from_name("lobby"), SPACE.from_name("other")
NUMBERS = st.integers(0, 2**64 - 1)


class StandingClock(SystemClock):
    def now_ms(self) -> int:
        return NOW


class Past:
    """A past that a test makes up; notes who asked on which thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.commit = 0
        self.error: StorageError | None = None
        self.threads: set[threading.Thread] = set()

    def _ask(self, what: str, number: int) -> None:
        self.asked.append((what, number))
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error

    def state_at(self, object_id: ObjectId, commit: int) -> State:
        raise AssertionError("nothing is restored while the object lives")

    def commit_at(self, object_id: ObjectId, time_ms: int) -> int:
        self._ask("commit_at", time_ms)
        return self.commit

    def check(self, object_id: ObjectId, commit: int) -> None:
        self._ask("check", commit)


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def host_store(make_store: Callable[..., HostStore], past: Past) -> HostStore:
    return make_store(clock=StandingClock(), rewinder=past, loop=None)


@pytest.fixture
def handle(host_store: HostStore) -> ObjectStorage:
    return host_store.open(LOBBY)


@pytest.fixture
def storage(host_store: HostStore, handle: ObjectStorage) -> Storage:
    return Storage(handle, TurnGate(host_store, handle))


class TurnGate(NoGate):
    """As the gate of an activation: what was written is committed when code waits."""

    def __init__(self, store: HostStore, handle: ObjectStorage) -> None:
        self._store = store
        self._handle = handle

    async def wait_for_storage(self, future: Any) -> Any:
        if self._handle.dirty:
            self._handle.commit(lambda error: None)
        self._store.settle()
        return await future


def test_a_bookmark_is_four_groups_of_hexadecimal_digits() -> None:
    assert bookmark_of(LOBBY, 0x1122334455667788) == f"11223344-55667788-00000001-{LOBBY.key[:16].hex()}"


@given(NUMBERS, NUMBERS)
def test_bookmarks_of_an_object_stand_in_the_order_of_its_commits(one: int, two: int) -> None:
    assert (bookmark_of(LOBBY, one) < bookmark_of(LOBBY, two)) == (one < two)
    assert commit_of(bookmark_of(LOBBY, one), LOBBY) == one


@pytest.mark.parametrize("text", ["", "now", "0" * 59, bookmark_of(LOBBY, 1).upper() + "0", bookmark_of(LOBBY, 1)[1:]])
def test_what_is_no_bookmark_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no bookmark: groups of 8, 8, 8 and 32"):
        commit_of(text, LOBBY)


def test_a_bookmark_is_a_str() -> None:
    with pytest.raises(WrongTypeError, match="a bookmark is a str, got int"):
        commit_of(7, LOBBY)


def test_the_bookmark_of_another_object_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="is of another object than ROOM:other"):
        commit_of(bookmark_of(LOBBY, 1), OTHER)


def test_a_bookmark_of_a_form_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="has form 2; this roost knows form 1"):
        commit_of(bookmark_of(LOBBY, 5).replace("-00000001-", "-00000002-"), LOBBY)


@pytest.mark.parametrize(
    ("when", "moment"),
    [
        (0, 0),
        (NOW, NOW),
        (dt.datetime(2020, 1, 1, tzinfo=dt.UTC), 1_577_836_800_000),
        (dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), 1_577_836_800_000),
        (dt.datetime(2020, 1, 1, 0, 0, 0, 1_999, tzinfo=dt.UTC), 1_577_836_800_001),
    ],
)
def test_a_time_is_milliseconds_or_a_datetime_with_a_zone(when: object, moment: int) -> None:
    assert past_ms(when, NOW) == moment


@pytest.mark.parametrize(
    ("when", "error", "words"),
    [
        (dt.datetime(2020, 1, 1), InvalidArgumentError, "has no time zone"),
        (1.5, WrongTypeError, "got float"),
        (True, WrongTypeError, "got bool"),
        ("2020-01-01", WrongTypeError, "got str"),
        (dt.date(2020, 1, 1), WrongTypeError, "got date"),
        (None, WrongTypeError, "got NoneType"),
        (-1, InvalidArgumentError, "lies before the epoch"),
        (NOW + 1, InvalidArgumentError, "lies in the future"),
    ],
)
def test_other_times_are_refused(when: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        past_ms(when, NOW)


async def test_the_current_bookmark_covers_the_writes_of_its_turn(storage: Storage, handle: ObjectStorage) -> None:
    nothing = await storage.get_current_bookmark()
    assert commit_of(nothing, LOBBY) == 0
    storage.put("x", 1)
    first = await storage.get_current_bookmark()
    assert not handle.dirty
    assert commit_of(first, LOBBY) == handle.position > 0
    assert await storage.get_current_bookmark() == first
    storage.put("x", 2)
    assert await storage.get_current_bookmark() > first


async def test_a_call_that_is_awaited_later_covers_what_was_written_in_between(
    storage: Storage, handle: ObjectStorage
) -> None:
    call = storage.get_current_bookmark()
    storage.put("x", 1)
    assert commit_of(await call, LOBBY) == handle.position > 0


def test_the_position_grows_over_lives_and_no_later_commit_is_below_it(make_store: Callable[..., HostStore]) -> None:
    seen = []
    for _ in range(3):
        store = make_store(clock=StandingClock())
        handle = store.open(LOBBY)
        seen.append(handle.position)
        handle.put("x", b"1")
        number = handle.commit(lambda error: None)
        assert number == handle.position
        seen.append(number)
        store.close()
    assert seen == sorted(set(seen))


async def test_inside_a_transaction_there_is_no_bookmark(storage: Storage) -> None:
    async def inside() -> None:
        await storage.get_current_bookmark()

    async def at_a_time() -> None:
        await storage.get_bookmark_for_time(5)

    for function in (inside, at_a_time):
        with pytest.raises(InvalidStateError, match="no bookmark inside a transaction"):
            await storage.transaction(function)


async def test_the_bookmark_of_a_time_is_looked_up_beside_the_loop(storage: Storage, past: Past) -> None:
    past.commit = 42
    assert await storage.get_bookmark_for_time(1_000) == bookmark_of(LOBBY, 42)
    assert past.asked == [("commit_at", 1_000)]
    assert threading.main_thread() not in past.threads


async def test_what_was_written_just_now_is_durable_before_it_is_looked_up(
    storage: Storage, handle: ObjectStorage, past: Past
) -> None:
    storage.put("x", 1)
    await storage.get_bookmark_for_time(NOW)
    assert handle.durable


async def test_a_time_that_is_not_kept_any_more_is_refused(storage: Storage, past: Past) -> None:
    past.error = HistoryError("kept from … on", earliest_ms=7)
    with pytest.raises(HistoryError, match="kept from"):
        await storage.get_bookmark_for_time(5)
    with pytest.raises(HistoryError, match="kept from"):
        await storage.on_next_session_restore_bookmark(bookmark_of(LOBBY, 5))


async def test_a_restore_is_planned_and_the_bookmark_that_undoes_it_is_told(
    storage: Storage, handle: ObjectStorage, past: Past, tmp_path: Path
) -> None:
    storage.put("x", 1)
    current = await storage.get_current_bookmark()
    undo = await storage.on_next_session_restore_bookmark(current)
    commit = commit_of(current, LOBBY)
    assert past.asked == [("check", commit)]
    assert undo > current
    planned = Restores(tmp_path / "data").pending(LOBBY.key)
    assert planned == Restore(binding="ROOM", commit=commit, number=commit_of(undo, LOBBY) + 1)
    storage.put("x", 2)
    assert await storage.get_current_bookmark() < undo
    assert await storage.get("x") == 2, "nothing happens before the object begins anew"


async def test_a_later_plan_takes_the_place_of_an_earlier_one(storage: Storage, tmp_path: Path) -> None:
    storage.put("x", 1)
    first = await storage.get_current_bookmark()
    storage.put("x", 2)
    second = await storage.get_current_bookmark()
    await storage.on_next_session_restore_bookmark(first)
    await storage.on_next_session_restore_bookmark(second)
    planned = Restores(tmp_path / "data").pending(LOBBY.key)
    assert planned is not None
    assert planned.commit == commit_of(second, LOBBY)


async def test_what_is_refused_plans_nothing(storage: Storage, tmp_path: Path) -> None:
    for wrong in ("x", bookmark_of(OTHER, 1)):
        with pytest.raises(InvalidArgumentError):
            await storage.on_next_session_restore_bookmark(wrong)
    assert Restores(tmp_path / "data").all() == []


async def test_where_no_history_is_kept_the_error_says_so(make_store: Callable[..., HostStore], log: MemoryLog) -> None:
    store = make_store(log=log, clock=StandingClock())
    handle = store.open(LOBBY)
    storage = Storage(handle, TurnGate(store, handle))
    with pytest.raises(HistoryError, match="no history is kept where this object lives"):
        await storage.get_bookmark_for_time(5)
    with pytest.raises(HistoryError, match="no history is kept"):
        await storage.on_next_session_restore_bookmark(bookmark_of(LOBBY, 0))
    assert commit_of(await storage.get_current_bookmark(), LOBBY) == 0
