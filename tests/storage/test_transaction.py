from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from roost.errors import InvalidStateError
from roost.ids import ObjectId
from roost.storage.object_storage import ObjectStorage
from roost.storage.storage import Storage
from roost.storage.store import HostStore
from roost.storage.transaction import Transaction, given

T = TypeVar("T")


class NoGate:
    """Nothing else runs here."""

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        return await future

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        return await fn()

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        return self.critical_section(fn)


@pytest.fixture
def handle(store: HostStore, room: ObjectId) -> ObjectStorage:
    return store.open(room)


@pytest.fixture
def storage(handle: ObjectStorage) -> Storage:
    return Storage(handle, NoGate())


async def test_the_function_works_through_its_transaction(storage: Storage) -> None:
    await storage.put({"a": 1, "b": 2})

    async def move(txn: Transaction) -> int:
        taken: int = await txn.get("a", 0)
        await txn.put("c", taken)
        await txn.put({"d": 4})
        assert await txn.delete("b")
        assert await txn.get(["a", "c"]) == {"a": 1, "c": 1}
        assert await txn.list(prefix="d") == {"d": 4}
        return taken

    assert await storage.transaction(move) == 1
    assert await storage.list() == {"a": 1, "c": 1, "d": 4}


async def test_rollback_drops_all_of_it_and_the_value_is_passed_on(storage: Storage) -> None:
    async def fn(txn: Transaction) -> str:
        await txn.put("a", 1)
        txn.rollback()
        assert txn.rolled_back
        assert await storage.get("a") is None
        await storage.put("b", 1)
        return "value"

    assert await storage.transaction(fn) == "value"
    assert await storage.list() == {}


CALLS: dict[str, Callable[[Transaction], object]] = {
    "get": lambda txn: txn.get("a"),
    "put": lambda txn: txn.put("a", 1),
    "delete": lambda txn: txn.delete("a"),
    "list": lambda txn: txn.list(),
    "rollback": lambda txn: txn.rollback(),
}


@pytest.mark.parametrize("operation", CALLS)
async def test_a_transaction_that_is_over_names_what_was_called(storage: Storage, operation: str) -> None:
    kept: list[Transaction] = []

    async def keep(txn: Transaction) -> None:
        kept.append(txn)

    async def roll_back(txn: Transaction) -> None:
        txn.rollback()
        with pytest.raises(InvalidStateError, match=f"^{operation}: this transaction was rolled back"):
            CALLS[operation](txn)
        kept.append(txn)

    await storage.transaction(keep)
    await storage.transaction(roll_back)
    with pytest.raises(InvalidStateError, match=f"^{operation}: this transaction has ended"):
        CALLS[operation](kept[0])
    with pytest.raises(InvalidStateError, match=f"^{operation}: this transaction was rolled back"):
        CALLS[operation](kept[1])


async def test_delete_all_is_refused_also_through_the_transaction(storage: Storage) -> None:
    async def fn(txn: Transaction) -> None:
        txn.delete_all()

    with pytest.raises(InvalidStateError, match="delete_all cannot be called inside a transaction"):
        await storage.transaction(fn)


async def test_an_outer_transaction_is_not_rolled_back_from_an_inner_one(storage: Storage) -> None:
    async def outer(txn: Transaction) -> None:
        async def inner() -> None:
            with pytest.raises(InvalidStateError, match="a transaction inside of this one is still open"):
                txn.rollback()

        await txn.put("a", 1)
        await storage.transaction(inner)

    await storage.transaction(outer)
    assert await storage.list() == {"a": 1}


async def test_a_function_is_given_the_transaction_only_if_it_asks_for_it(storage: Storage) -> None:
    async def told(*given: object) -> int:
        return len(given)

    async def defaulted(key: str = "a") -> object:
        return key

    async def optional(txn: Transaction | None = None) -> object:
        return txn

    class Bound:
        async def without(self) -> object:
            return None

        async def having(self, txn: Transaction) -> object:
            return txn

    transaction = Transaction(storage, storage._storage)
    expected: list[tuple[Callable[..., Awaitable[Any]], object]] = [
        (told, 0),
        (defaulted, "a"),
        (optional, transaction),
        (lambda: told(1), 1),
        (lambda txn: told(txn), 1),
        (Bound().without, None),
        (Bound().having, transaction),
    ]
    for fn, result in expected:
        assert await given(fn, transaction) == result
