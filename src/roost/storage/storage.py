# What user code sees of its storage.
#
#  (1) Every operation takes effect at the call. What it returns can be awaited, and is ready at once: awaiting a put
#      does not end the turn, and a put that is not awaited is as safe as one that is.
#  (2) Values are encoded at the call and decoded at each read: nobody shares an object with the storage.
#  (3) All writes of a turn are one atomic commit, made by the activation at the end of the turn.
#  (4) Only `sync` and `transaction` wait, and they wait through the gate that the activation hands in.
"""`ctx.storage`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Mapping as MappingABC
from typing import Any, TypeVar, overload

from roost import codec
from roost.errors import InvalidStateError, StorageError, WrongTypeError
from roost.limits import DEFAULTS, Limits
from roost.storage.alarms.alarm_calls import AlarmCalls
from roost.storage.arguments import check_count, checked_key, checked_keys, checked_range, encoded
from roost.storage.bookmarks import BookmarkCalls
from roost.storage.gate import Gate
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready
from roost.storage.sql.migrations import Migrations, Step
from roost.storage.sql.sql import SQL
from roost.storage.sync_kv import SyncKV
from roost.storage.transaction import Transaction, given

T = TypeVar("T")


class Storage(AlarmCalls, BookmarkCalls):
    """The private, durable storage of one object."""

    def __init__(self, storage: ObjectStorage, gate: Gate, limits: Limits = DEFAULTS) -> None:
        self._storage = storage
        self._gate = gate
        self._limits = limits
        self.kv = SyncKV(storage, limits)
        """The same data, synchronously."""
        self._sql: SQL | None = None

    @property
    def sql(self) -> SQL:
        """The same database, in SQL."""
        if self._sql is None:
            self._sql = SQL(self._storage, self._limits)
        return self._sql

    @overload
    def get(
        self, key: str, default: Any = None, *, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[Any]: ...
    @overload
    def get(
        self, key: list[str], default: None = None, *, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[dict[str, Any]]: ...
    def get(
        self, key: str | list[str], default: Any = None, *, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[Any]:
        """The value of a key, a fresh copy, or `default`; for a list of keys a dict of those that are there.

        The options change nothing: reading answers at once.
        """
        if isinstance(key, str):
            raw = self._storage.get(checked_key(key, self._limits))
            return Ready(default if raw is None else codec.decode(raw))
        return self.get_many(key)

    def get_many(
        self, keys: list[str], *, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[dict[str, Any]]:
        """The values of those of at most 128 keys that are there, in order of the keys' UTF-8 bytes."""
        found = self._storage.get_many(checked_keys(keys, self._limits))
        return Ready({key: codec.decode(raw) for key, raw in found})

    def put(
        self,
        key: str | MappingABC[str, Any],
        value: Any = ...,
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[None]:
        """Store a value under a key, or all pairs of a dict (at most 128), all or nothing.

        With `allow_unconfirmed`, what the object sends afterwards does not wait until this write is durable.
        """
        if isinstance(key, str):
            if value is ...:
                raise WrongTypeError("put takes a key and a value, or a dict; the value is missing")
            self._storage.put(*encoded(key, value, self._limits), confirmed=not allow_unconfirmed)
            return _NOTHING
        for pair in self._encoded_pairs(key, value):
            self._storage.put(*pair, confirmed=not allow_unconfirmed)
        return _NOTHING

    def _encoded_pairs(self, pairs: object, value: object) -> list[tuple[str, bytes]]:
        """All of them, before the first is stored: that is what makes them all or nothing."""
        if not isinstance(pairs, MappingABC):
            raise WrongTypeError(f"put takes a str and a value, or a dict; got {type(pairs).__name__}")
        if value is not ...:
            raise WrongTypeError("put takes a key and a value, or a dict alone; got a dict and a value")
        check_count(len(pairs), self._limits)
        return [encoded(key, item, self._limits) for key, item in pairs.items()]

    @overload
    def delete(
        self, key: str, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[bool]: ...
    @overload
    def delete(
        self,
        key: list[str],
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[int]: ...
    def delete(
        self,
        key: str | list[str],
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[Any]:
        """Remove a key, and say whether it was there; for a list of at most 128 keys, how many were there."""
        if isinstance(key, str):
            return Ready(self._storage.delete(checked_key(key, self._limits), confirmed=not allow_unconfirmed))
        keys = checked_keys(key, self._limits)
        return Ready(sum(self._storage.delete(item, confirmed=not allow_unconfirmed) for item in keys))

    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Ready[dict[str, Any]]:
        """Keys and values in order of the keys' UTF-8 bytes.

        From `start` on (or after `start_after`), up to but without `end`, beginning with `prefix`, at most `limit`.
        `reverse` turns the order around, not the meaning of the bounds. Bounds that contradict each other give nothing.
        """
        keys = checked_range(start, start_after, end, prefix, reverse, limit, self._limits)
        return Ready({key: codec.decode(raw) for key, raw in self._storage.select(keys)})

    def delete_all(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Ready[None]:
        """Drop everything that is stored, the writes of this turn included; atomic, and confirmed in any case.

        Raises InvalidStateError inside a transaction.
        """
        self._storage.delete_all()
        return _NOTHING

    async def sync(self) -> None:
        """Wait until everything written before is durable, writes made with `allow_unconfirmed` included.

        Raises InvalidStateError inside a transaction, whose writes cannot be durable before it ends.
        """
        if self._storage.depth:
            raise InvalidStateError("sync cannot be awaited inside a transaction: its writes are made when it ends")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: StorageError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._storage.when_durable(settle)
        if future.done():
            return future.result()
        return await self._gate.wait_for_storage(future)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]] | Callable[[], Awaitable[T]]) -> T:
        """Run an async function as one transaction: all of its writes are kept together, or none when it raises; its
        value or exception is passed on.

        The function may take an argument, `txn`: it has `get`, `put`, `delete` and `list`, which do what those of the
        storage do, and `rollback()`. Until the function ends no other event of this object is delivered; one that takes
        longer than 30 seconds resets the object. What the turn wrote before is a commit of its own, made first.
        Transactions may be nested.
        """
        if not callable(fn):
            raise WrongTypeError(f"transaction takes an async function, got {type(fn).__name__}")
        return await self._gate.critical_section(lambda: self._run_transaction(fn))

    async def _run_transaction(self, fn: Callable[..., Awaitable[T]]) -> T:
        transaction = Transaction(self, self._storage)
        transaction.begin()
        try:
            result = given(fn, transaction)
            if not inspect.isawaitable(result):
                raise WrongTypeError("transaction takes an async function; for a plain one use transaction_sync")
            value = await result
        except BaseException:
            transaction.end(keep=False)
            raise
        transaction.end(keep=True)
        return value

    def migrate(self, steps: Sequence[Step], *, name: str = "") -> Awaitable[None]:
        """Bring the database up to date: run those of the steps that it has not had, each once, in order.

        A step is SQL, one statement or several, or a function, plain or async, that may take the storage as argument.
        Each is a transaction; one that raises leaves those before it done. Call it in the constructor, without await:
        SQL and plain functions have run when it returns, and no event is delivered before async ones are through.

        A step that ran must stay as it is, in its place: MigrationError says which one does not. `name` tells several
        lists of one object apart.
        """
        seconds = self._limits.critical_section_seconds_max
        return Migrations(self, self._storage, self._gate, seconds).run(steps, name)

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Run a plain function as one transaction: all of its writes are kept together, or none when it raises."""
        if inspect.iscoroutinefunction(fn):
            raise WrongTypeError("transaction_sync takes a plain function; for an async one use transaction")
        if not callable(fn):
            raise WrongTypeError(f"transaction_sync takes a function without arguments, got {type(fn).__name__}")
        return self._storage.transaction_sync(lambda: _not_awaitable(fn()))


_NOTHING: Ready[None] = Ready(None)


def _not_awaitable(result: T) -> T:
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise WrongTypeError("transaction_sync takes a plain function, and this one returned an awaitable")
    return result
