"""What user code sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from roost.errors import (
    InvalidArgumentError,
    InvalidStateError,
    LimitExceededError,
    StorageError,
    StorageFullError,
    UnserialisableError,
    WrongTypeError,
)
from roost.ids import ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.storage import Storage
from roost.storage.store import HostStore

T = TypeVar("T")
LIMITS = Limits(value_bytes_max=1000, keys_per_call_max=4, key_bytes_max=10)


class Activation:
    """Stands in for the one that holds a storage: notes what it is asked for, and ends the turn at each wait."""

    def __init__(self, handle: ObjectStorage) -> None:
        self.handle = handle
        self.asked: list[str] = []

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        self.asked.append("wait")
        if self.handle.dirty:
            self.handle.commit(lambda error: None)
        return await future

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        self.asked.append("section")
        return await fn()

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return self.critical_section(fn)


@pytest.fixture
def handle(store: HostStore, room: ObjectId) -> ObjectStorage:
    return store.open(room)


@pytest.fixture
def activation(handle: ObjectStorage) -> Activation:
    return Activation(handle)


@pytest.fixture
def storage(handle: ObjectStorage, activation: Activation) -> Storage:
    return Storage(handle, activation, LIMITS)


async def test_what_was_put_is_read_back_as_a_fresh_copy(storage: Storage) -> None:
    board = {"strokes": [(1, 2)]}
    await storage.put("board", board)
    board["strokes"].append((3, 4))
    first = await storage.get("board")
    assert first == {"strokes": [(1, 2)]}
    first["strokes"].clear()
    assert await storage.get("board") == {"strokes": [(1, 2)]}


async def test_missing_and_none_are_told_apart_by_the_default(storage: Storage) -> None:
    await storage.put("none", None)
    assert await storage.get("none", 7) is None
    assert await storage.get("missing", 7) == 7
    assert await storage.get("missing") is None


async def test_a_put_takes_effect_at_the_call(storage: Storage) -> None:
    storage.put("a", 1)
    reading = storage.get("a")
    storage.put("a", 2)
    assert await reading == 1
    assert await storage.get("a") == 2


async def test_many_keys_at_once(storage: Storage) -> None:
    await storage.put({"b": 2, "a": 1, "c": 3})
    assert list((await storage.get(["c", "missing", "a"])).items()) == [("a", 1), ("c", 3)]
    assert await storage.get_many(["b"]) == {"b": 2}
    assert await storage.delete(["a", "missing", "b"]) == 2
    assert await storage.delete("c") is True
    assert await storage.delete("c") is False


async def test_a_dict_is_stored_wholly_or_not_at_all(storage: Storage) -> None:
    with pytest.raises(UnserialisableError, match="value: function"):
        storage.put({"a": 1, "b": lambda: 1})
    with pytest.raises(WrongTypeError, match="a key must be a str, got int"):
        storage.put({"a": 1, 2: 2})  # type: ignore[dict-item]
    assert await storage.list() == {}


async def test_list_takes_its_bounds(storage: Storage) -> None:
    for key in ("a", "a:1", "a:2", "b"):
        storage.put(key, key)
    assert list(await storage.list(prefix="a:")) == ["a:1", "a:2"]
    assert list(await storage.list(start="a:1", end="b")) == ["a:1", "a:2"]
    assert list(await storage.list(start_after="a:1", reverse=True)) == ["b", "a:2"]
    assert list(await storage.list(limit=1)) == ["a"]
    assert await storage.list(start="z", end="a") == {}


async def test_the_synchronous_form_has_the_same_data(storage: Storage) -> None:
    storage.kv.put("a", (1,))
    assert storage.kv.get("a") == await storage.get("a") == (1,)
    assert storage.kv.get("missing", 3) == 3
    for number in range(300):
        storage.kv.put(f"n{number:03}", number)
    assert [value for _, value in storage.kv.list(prefix="n")] == list(range(300))
    lazy = storage.kv.list(prefix="n", reverse=True, limit=2)
    assert next(lazy) == ("n299", 299)
    assert list(lazy) == [("n298", 298)]
    assert storage.kv.delete("a") is True
    assert storage.kv.delete("a") is False


async def test_delete_all_leaves_nothing(storage: Storage) -> None:
    await storage.put("a", 1)
    await storage.delete_all()
    assert await storage.list() == {}


async def test_reverse_turns_the_order_and_not_the_bounds_and_contradicting_bounds_give_nothing(
    storage: Storage,
) -> None:
    await storage.put({"a": 1, "b": 2})
    await storage.put({"c": 3, "\U00010000": 4})
    await storage.put("\uffff", 5)
    assert list(await storage.list(start="b", end="\uffff", reverse=True)) == ["c", "b"]
    assert list(await storage.list(start_after="c")) == ["\uffff", "\U00010000"]  # by bytes of UTF-8, not of UTF-16
    contradicting: list[dict[str, Any]] = [
        {"start": "c", "end": "a"},
        {"start": "b", "end": "b"},
        {"prefix": "a", "start": "b"},
    ]
    for bounds in contradicting:
        assert await storage.list(**bounds) == {}


async def test_options_of_the_platform_are_accepted_and_change_nothing(storage: Storage) -> None:
    options: dict[str, Any] = {"allow_concurrency": True, "no_cache": True}
    await storage.put("a", None, **options)
    await storage.put({"b": None}, allow_unconfirmed=True, **options)
    assert await storage.get("a", 7, **options) is None
    assert await storage.get(["a", "b"], **options) == {"a": None, "b": None}
    assert await storage.list(**options) == {"a": None, "b": None}
    assert await storage.delete("a", **options) is True
    await storage.delete_all(allow_unconfirmed=True, allow_concurrency=True)


async def test_a_put_that_nobody_awaits_is_as_safe_as_one_that_is(storage: Storage, handle: ObjectStorage) -> None:
    storage.put("a", 1)
    assert handle.dirty
    handle.commit(lambda error: None)
    assert await storage.get("a") == 1


async def test_delete_all_discards_what_the_turn_wrote_and_confirms_in_any_case(
    storage: Storage, handle: ObjectStorage
) -> None:
    await storage.put("a", 1, allow_unconfirmed=True)
    await storage.delete_all(allow_unconfirmed=True)
    assert handle.confirmed or not handle.dirty
    assert await storage.list() == {}
    with pytest.raises(InvalidStateError, match="inside a transaction"):
        await storage.transaction(storage.delete_all)
    with pytest.raises(InvalidStateError, match="inside a transaction"):
        storage.transaction_sync(lambda: storage.delete_all() and None)


async def test_statements_inside_a_transaction_belong_to_it(storage: Storage) -> None:
    storage.sql.exec("CREATE TABLE t (x)")

    async def fails() -> None:
        storage.sql.exec("INSERT INTO t VALUES (1)")
        storage.kv.put("k", 1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await storage.transaction(fails)
    assert storage.sql.exec("SELECT * FROM t").to_array() == []
    assert storage.kv.get("k") is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.get(1), WrongTypeError, "a str or a list of str is needed, got int"),
        (lambda s: s.get(["a", 1]), WrongTypeError, "a key must be a str, got int"),
        (lambda s: s.get_many("ab"), WrongTypeError, "a str or a list of str is needed, got str"),
        (lambda s: s.put(1, 2), WrongTypeError, "put takes a str and a value, or a dict; got int"),
        (lambda s: s.put("a"), WrongTypeError, "the value is missing"),
        (lambda s: s.put({"a": 1}, 2), WrongTypeError, "got a dict and a value"),
        (lambda s: s.put("a", object()), UnserialisableError, "value: object is not carried"),
        (lambda s: s.put("\ud800", 1), InvalidArgumentError, "a key has a lone surrogate"),
        (lambda s: s.delete(None), WrongTypeError, "a str or a list of str is needed, got NoneType"),
        (lambda s: s.list(start="a", start_after="a"), InvalidArgumentError, "start or start_after, not both"),
        (lambda s: s.list(prefix=b"a"), WrongTypeError, "prefix must be a str, got bytes"),
        (lambda s: s.list(limit=0), InvalidArgumentError, "limit must be at least 1, got 0"),
        (lambda s: s.list(limit=1.5), WrongTypeError, "limit must be an int, got float"),
        (lambda s: s.list(limit=True), WrongTypeError, "limit must be an int, got bool"),
        (lambda s: s.kv.list(limit=-1), InvalidArgumentError, "limit must be at least 1, got -1"),
        (lambda s: s.kv.put(1, 1), WrongTypeError, "a key must be a str, got int"),
        (lambda s: s.transaction_sync(1), WrongTypeError, "takes a function without arguments, got int"),
    ],
)
def test_wrong_arguments_are_named(
    storage: Storage, call: Callable[[Any], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(storage)


@pytest.mark.parametrize(
    ("call", "limit", "actual"),
    [
        (lambda s: s.put("ä" * 6, 1), 10, 12),
        (lambda s: s.get("x" * 11), 10, 11),
        (lambda s: s.put("a", "x" * 1000), 1000, 1003),
        (lambda s: s.get(list("abcde")), 4, 5),
        (lambda s: s.delete(list("abcde")), 4, 5),
        (lambda s: s.put(dict.fromkeys("abcde")), 4, 5),
        (lambda s: s.list(prefix="x" * 11), 10, 11),
    ],
)
def test_limits_tell_both_numbers(storage: Storage, call: Callable[[Any], object], limit: int, actual: int) -> None:
    with pytest.raises(LimitExceededError) as caught:
        call(storage)
    assert (caught.value.limit, caught.value.actual) == (limit, actual)
    assert str(limit) in str(caught.value)


async def test_sync_waits_for_what_was_written_before(storage: Storage, activation: Activation, log: MemoryLog) -> None:
    await storage.sync()
    assert activation.asked == []
    storage.put("a", 1, allow_unconfirmed=True)
    waiting = asyncio.ensure_future(storage.sync())
    await asyncio.sleep(0)
    assert not waiting.done()
    (append,) = log.pending()
    append.succeed()
    await waiting
    assert activation.asked == ["wait"]


async def test_sync_tells_that_it_will_never_be_durable(storage: Storage, log: MemoryLog) -> None:
    storage.put("a", 1)
    waiting = asyncio.ensure_future(storage.sync())
    await asyncio.sleep(0)
    log.pending()[0].fail(StorageFullError("no space left"))
    with pytest.raises(StorageFullError, match="no space left"):
        await waiting
    with pytest.raises(StorageFullError, match="no space left"):
        await storage.sync()


async def test_a_transaction_keeps_all_or_nothing(storage: Storage, activation: Activation) -> None:
    async def works() -> str:
        await storage.put("a", 1)
        await asyncio.sleep(0)
        return "done"

    async def fails() -> None:
        await storage.put("a", 2)
        raise KeyError("no")

    assert await storage.transaction(works) == "done"
    with pytest.raises(KeyError, match="no"):
        await storage.transaction(fails)
    assert await storage.list() == {"a": 1}
    assert activation.asked == ["section", "section"]


async def test_transactions_nest(storage: Storage) -> None:
    async def inner() -> None:
        storage.put("inner", 1)
        raise KeyError

    async def outer() -> None:
        storage.put("outer", 1)
        with pytest.raises(KeyError):
            await storage.transaction(inner)

    await storage.transaction(outer)
    assert await storage.list() == {"outer": 1}


async def test_a_cancelled_transaction_is_rolled_back(storage: Storage) -> None:
    async def stuck() -> None:
        storage.put("a", 1)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(storage.transaction(stuck))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await storage.list() == {}


async def test_what_cannot_be_in_a_transaction_is_refused(storage: Storage, handle: ObjectStorage) -> None:
    async def syncs() -> None:
        await storage.sync()

    async def deletes() -> None:
        await storage.delete_all()

    with pytest.raises(InvalidStateError, match="sync cannot be awaited inside a transaction"):
        await storage.transaction(syncs)
    with pytest.raises(InvalidStateError, match="delete_all cannot be called inside a transaction"):
        await storage.transaction(deletes)
    assert handle.depth == 0


async def test_each_kind_of_function_has_its_transaction(storage: Storage) -> None:
    async def asynchronous() -> None:
        storage.put("a", 1)

    with pytest.raises(WrongTypeError, match="for a plain one use transaction_sync"):
        await storage.transaction(lambda: storage.kv.put("a", 1))  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="for an async one use transaction"):
        await storage.transaction_sync(asynchronous)
    with pytest.raises(WrongTypeError, match="this one returned an awaitable"):
        await storage.transaction_sync(lambda: asynchronous())
    with pytest.raises(WrongTypeError, match="transaction takes an async function, got NoneType"):
        await storage.transaction(None)  # type: ignore[arg-type]
    assert await storage.list() == {}


async def test_transaction_sync_returns_what_its_function_does(storage: Storage) -> None:
    def work() -> int:
        storage.kv.put("a", 1)
        return 5

    assert storage.transaction_sync(work) == 5
    assert await storage.get("a") == 1


async def test_unconfirmed_writes_do_not_count_as_confirmed(storage: Storage, handle: ObjectStorage) -> None:
    storage.put("a", 1, allow_unconfirmed=True)
    storage.put({"b": 1}, allow_unconfirmed=True)
    storage.delete("a", allow_unconfirmed=True)
    assert handle.dirty
    assert not handle.confirmed
    storage.delete_all(allow_unconfirmed=True)
    assert handle.confirmed


async def test_after_a_critical_failure_every_call_says_so(
    storage: Storage, handle: ObjectStorage, log: MemoryLog
) -> None:
    log.refuse_with = StorageFullError("no space left")
    storage.put("a", 1)
    with pytest.raises(StorageError):
        handle.commit(lambda error: None)
    for call in (
        lambda: storage.get("a"),
        lambda: storage.put("a", 1),
        lambda: storage.delete("a"),
        storage.list,
        storage.delete_all,
        lambda: storage.kv.get("a"),
        lambda: storage.transaction_sync(lambda: None),
    ):
        with pytest.raises(StorageFullError, match="no space left"):
            call()
