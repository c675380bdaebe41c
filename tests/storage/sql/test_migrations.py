"""The schema, brought up to date step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from roost.errors import (
    InvalidArgumentError,
    InvalidStateError,
    MigrationError,
    SQLError,
    SQLForbiddenError,
    SQLTimeoutError,
    StorageError,
    WrongTypeError,
)
from roost.ids import ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.sql.migrations import Done, numbered, outstanding
from roost.storage.sql.sql import SQL
from roost.storage.storage import Storage
from roost.storage.store import HostStore

T = TypeVar("T")
FIRST = "CREATE TABLE todo (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
SECOND = "ALTER TABLE todo ADD COLUMN done INTEGER NOT NULL DEFAULT 0"


class Gate:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        return await future

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        self.asked.append("section")
        return await fn()

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        self.asked.append("block")
        return self.critical_section(fn)


def ignore(error: StorageError | None) -> None:
    assert error is None


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def handle(store: HostStore, room: ObjectId) -> ObjectStorage:
    return store.open(room)


@pytest.fixture
def storage(handle: ObjectStorage, gate: Gate) -> Storage:
    return Storage(handle, gate)


def next_life(storage: Storage, store: HostStore, gate: Gate, limits: Limits = Limits()) -> Storage:  # noqa: B008
    handle = storage._storage
    if handle.dirty:
        handle.commit(ignore)
    handle.close()
    return Storage(store.open(handle.object_id), gate, limits)


def columns(storage: Storage) -> list[str]:
    return storage.sql.exec("SELECT * FROM todo").column_names


# -- what runs ---------------------------------------------------------------------------------------------------------


def test_steps_have_run_when_migrate_returns_without_any_await(storage: Storage, gate: Gate) -> None:
    storage.migrate([FIRST, SECOND])
    assert columns(storage) == ["id", "text", "done"]
    assert gate.asked == []


async def test_what_it_returns_may_be_awaited(storage: Storage) -> None:
    assert await storage.migrate([FIRST]) is None  # type: ignore[func-returns-value]
    assert await storage.migrate([FIRST]) is None  # type: ignore[func-returns-value]


def test_each_step_runs_once_in_all_lives(storage: Storage, store: HostStore, gate: Gate) -> None:
    ran: list[str] = []

    def third() -> None:
        ran.append("third")

    def fourth(storage: Storage) -> None:
        ran.append("fourth")
        storage.kv.put("by", "fourth")

    storage.migrate([FIRST, SECOND, third])
    again = next_life(storage, store, gate)
    again.migrate([FIRST, SECOND, third, fourth])
    last = next_life(again, store, gate)
    last.migrate([FIRST, SECOND, third, fourth])
    assert ran == ["third", "fourth"]
    assert (last.kv.get("by"), columns(last)) == ("fourth", ["id", "text", "done"])


def test_nothing_outstanding_writes_nothing(storage: Storage, store: HostStore, gate: Gate, log: MemoryLog) -> None:
    storage.migrate([])
    assert not storage._storage.dirty
    storage.migrate([FIRST])
    again = next_life(storage, store, gate)
    again.migrate([FIRST])
    assert not again._storage.dirty
    assert len(log.pending()) == 1


def test_a_step_may_have_several_statements_and_be_indented_otherwise_later(
    storage: Storage, store: HostStore, gate: Gate
) -> None:
    storage.migrate([f"{FIRST}; INSERT INTO todo (text) VALUES ('a')"])
    again = next_life(storage, store, gate)
    again.migrate([f"\n    {FIRST};\n    INSERT INTO todo (text)\n        VALUES ('a')\n"])
    assert len(again.sql.exec("SELECT * FROM todo").to_array()) == 1


def test_lists_with_names_are_kept_apart(storage: Storage) -> None:
    storage.migrate([FIRST])
    storage.migrate(["CREATE TABLE other (x)"], name="of a library")
    storage.migrate([FIRST, SECOND])
    assert columns(storage) == ["id", "text", "done"]


# -- what is atomic ----------------------------------------------------------------------------------------------------


def test_a_step_that_fails_leaves_nothing_of_it_and_those_before_it_done(
    storage: Storage, store: HostStore, gate: Gate
) -> None:
    def breaks() -> None:
        storage.sql.exec(SECOND)
        storage.kv.put("half", 1)
        raise KeyError("no")

    with pytest.raises(KeyError) as caught:
        storage.migrate([FIRST, breaks, "CREATE TABLE never (x)"])
    assert caught.value.__notes__ == ["in step 2 of ctx.storage.migrate: breaks()"]
    assert (columns(storage), storage.kv.get("half")) == (["id", "text"], None)
    with pytest.raises(SQLError, match="no such table"):
        storage.sql.exec("SELECT * FROM never")
    again = next_life(storage, store, gate)
    again.migrate([FIRST, SECOND])
    assert columns(again) == ["id", "text", "done"]


def test_statements_of_one_step_are_all_done_or_none(storage: Storage) -> None:
    with pytest.raises(SQLError, match="no such table: nowhere") as caught:
        storage.migrate([f"{FIRST}; INSERT INTO nowhere VALUES (1)"])
    assert "in step 1" in caught.value.__notes__[0]
    with pytest.raises(SQLError, match="no such table: todo"):
        columns(storage)


def test_what_is_forbidden_is_forbidden_here_too(storage: Storage) -> None:
    for step in ("DROP TABLE _roost_kv", "BEGIN", "SELECT * FROM _roost_kv"):
        with pytest.raises(SQLForbiddenError):
            storage.migrate([step], name=step)


def test_a_rollback_around_the_turn_takes_the_note_back_with_the_step(storage: Storage, handle: ObjectStorage) -> None:
    storage.migrate([FIRST])
    handle.rollback()
    storage.migrate([FIRST])
    assert columns(storage) == ["id", "text"]


def test_after_everything_was_deleted_all_steps_run_again(storage: Storage, handle: ObjectStorage) -> None:
    storage.migrate([FIRST])
    handle.commit(ignore)
    storage.delete_all()
    storage.migrate([FIRST, SECOND])
    assert columns(storage) == ["id", "text", "done"]


# -- async steps -------------------------------------------------------------------------------------------------------


async def test_from_the_first_async_step_on_the_rest_runs_in_a_section(storage: Storage, gate: Gate) -> None:
    async def fetches(storage: Storage) -> None:
        storage.sql.exec("INSERT INTO todo (text) VALUES ('before')")
        await asyncio.sleep(0)
        storage.sql.exec("INSERT INTO todo (text) VALUES ('after')")

    running = storage.migrate([FIRST, fetches, SECOND])
    assert columns(storage) == ["id", "text"]
    assert gate.asked[0] == "block"
    await running
    assert columns(storage) == ["id", "text", "done"]
    assert len(storage.sql.exec("SELECT * FROM todo").to_array()) == 2
    await storage.migrate([FIRST, fetches, SECOND])
    assert len(storage.sql.exec("SELECT * FROM todo").to_array()) == 2


async def test_an_async_step_is_a_transaction_too(storage: Storage) -> None:
    async def breaks() -> None:
        storage.sql.exec("INSERT INTO todo (text) VALUES ('half')")
        await asyncio.sleep(0)
        raise KeyError("no")

    with pytest.raises(KeyError) as caught:
        await storage.migrate([FIRST, breaks])
    assert caught.value.__notes__ == ["in step 2 of ctx.storage.migrate: breaks()"]
    assert storage.sql.exec("SELECT * FROM todo").to_array() == []


def test_a_plain_function_that_returns_an_awaitable_is_refused(storage: Storage) -> None:
    async def work() -> None: ...

    def disguised() -> Any:
        return work()

    with pytest.raises(WrongTypeError, match=r"disguised\(\) returned something to await: write it with async def"):
        storage.migrate([disguised])


# -- lists that are not the same any more ------------------------------------------------------------------------------


def function_one() -> None: ...
def function_two() -> None: ...


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ([FIRST], "this database had 2 steps, and the list has 1.*missing is step 2: ALTER TABLE todo"),
        ([], "had 2 steps, and the list has 0"),
        ([SECOND, FIRST], "step 1 was another when this database had it.*It was: CREATE TABLE todo"),
        ([FIRST, SECOND + " "], None),
        ([FIRST, SECOND.lower()], "step 2 was another"),
        ([FIRST, function_one], r"step 2 was another.*it is: function_one\(\)"),
        ([FIRST, "SELECT 1", SECOND], "step 2 was another"),
    ],
)
def test_a_list_that_changed_is_refused_and_nothing_runs(
    storage: Storage, store: HostStore, gate: Gate, later: list[Any], says: str | None
) -> None:
    storage.migrate([FIRST, SECOND])
    again = next_life(storage, store, gate)
    if says is None:
        again.migrate(later)
        return
    with pytest.raises(MigrationError, match=says):
        again.migrate([*later, "CREATE TABLE never (x)"] if len(later) > 1 else later)
    assert not again._storage.dirty


def test_a_function_is_known_by_its_name() -> None:
    (first,), (second,) = numbered([function_one]), numbered([function_two])
    assert first.digest != second.digest
    assert numbered([function_one])[0].digest == first.digest
    assert list(outstanding([first], [Done(first.digest, first.label)])) == []


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        (FIRST, WrongTypeError, "takes a list of steps, got str"),
        (None, WrongTypeError, "takes a list of steps, got NoneType"),
        ({FIRST}, WrongTypeError, "takes a list of steps, got set"),
        ([FIRST, 1], WrongTypeError, "step 2 of migrate must be SQL or a function, got int"),
        ([lambda: None], InvalidArgumentError, "step 1 of migrate is known again by its name, and this one has none"),
    ],
)
def test_what_is_no_list_of_steps_is_refused(storage: Storage, steps: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        storage.migrate(steps)
    with pytest.raises(WrongTypeError, match="the name of a list of steps must be a str"):
        storage.migrate([], name=1)  # type: ignore[arg-type]


def test_inside_a_transaction_it_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidStateError, match="migrate cannot be called inside a transaction"):
        storage.transaction_sync(lambda: storage.migrate([FIRST]))


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_step_may_take_as_long_as_a_section_may(store: HostStore, room: ObjectId, gate: Gate) -> None:
    limits = Limits(sql_seconds_max=0.0, critical_section_seconds_max=60.0)
    storage = Storage(store.open(room), gate, limits)
    long = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9999) SELECT count(*) FROM n"
    with pytest.raises(SQLTimeoutError, match="longer than 0 seconds"):
        storage.sql.exec(long)
    storage.migrate([long])
    with pytest.raises(SQLTimeoutError, match="longer than 0 seconds"):
        storage.sql.exec(long)
    assert isinstance(storage.sql, SQL)
