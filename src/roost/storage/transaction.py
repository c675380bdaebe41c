"""What the function of `storage.transaction` is given."""

# A transaction is open from the start of its function to the end of it, or to `rollback`.
#
#  (1) On `storage` itself the function does the same: everything it reads and writes belongs to the transaction.
#  (2) After the end, whoever kept the transaction learns from each call that it is over.
#  (3) After `rollback` nothing of it is kept, what the function still writes to `storage` included.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from roost.errors import InvalidStateError
from roost.storage.alarms.due_time import When
from roost.storage.arguments import takes_argument
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready

if TYPE_CHECKING:
    from roost.storage.storage import Storage

T = TypeVar("T")


class Transaction:
    """The storage within one transaction: `get`, `put`, `delete`, `list` and those for alarms are those of `storage`,
    and end with it."""

    def __init__(self, storage: Storage, handle: ObjectStorage) -> None:
        self._storage = storage
        self._handle = handle
        self._depth = 0
        self._over: str | None = "has not begun"

    @property
    def rolled_back(self) -> bool:
        """Whether `rollback` was called."""
        return self._over == "was rolled back"

    # -- what its function may do --------------------------------------------------------------------------------------

    def get(self, key: str | list[str], default: Any = None, **options: Any) -> Ready[Any]:
        """As `storage.get`."""
        self._check("get")
        return self._storage.get(key, default, **options)

    def put(self, key: str | Mapping[str, Any], value: Any = ..., **options: Any) -> Ready[None]:
        """As `storage.put`."""
        self._check("put")
        return self._storage.put(key, value, **options)

    def delete(self, key: str | list[str], **options: Any) -> Ready[Any]:
        """As `storage.delete`."""
        self._check("delete")
        return self._storage.delete(key, **options)

    def list(self, **options: Any) -> Ready[dict[str, Any]]:
        """As `storage.list`."""
        self._check("list")
        return self._storage.list(**options)

    def get_alarm(self, key: str | None = None, **options: Any) -> Ready[int | None]:
        """As `storage.get_alarm`."""
        self._check("get_alarm")
        return self._storage.get_alarm(key, **options)

    def set_alarm(self, when: When, **options: Any) -> Ready[None]:
        """As `storage.set_alarm`."""
        self._check("set_alarm")
        return self._storage.set_alarm(when, **options)

    def delete_alarm(self, key: str | None = None, **options: Any) -> Ready[bool]:
        """As `storage.delete_alarm`."""
        self._check("delete_alarm")
        return self._storage.delete_alarm(key, **options)

    def delete_all(self) -> NoReturn:
        """Always raises InvalidStateError: not everything can be deleted inside a transaction."""
        raise InvalidStateError("delete_all cannot be called inside a transaction")

    def rollback(self) -> None:
        """Drop everything that the transaction wrote. The function goes on, and nothing that it still writes is kept.

        Raises InvalidStateError while a transaction inside of this one is open.
        """
        self._check("rollback")
        if self._handle.depth != self._depth:
            raise InvalidStateError("rollback: a transaction inside of this one is still open")
        self._handle.rollback_nested()
        self._handle.begin_nested()  # so that what the function still writes is dropped too
        self._over = "was rolled back"

    def _check(self, operation: str) -> None:
        if self._over is not None:
            raise InvalidStateError(f"{operation}: this transaction {self._over}")

    # -- its beginning and end -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._handle.begin_nested()
        self._depth = self._handle.depth
        self._over = None

    def end(self, *, keep: bool) -> None:
        if keep and not self.rolled_back:
            self._handle.commit_nested()
        else:
            self._handle.rollback_nested()
        if not self.rolled_back:
            self._over = "has ended"


def given(fn: Callable[..., Awaitable[T]], transaction: Transaction) -> Awaitable[T]:
    """Call the function of a transaction, with the transaction if it takes an argument."""
    return fn(transaction) if takes_argument(fn, named="txn") else fn()
