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
from collections.abc import Awaitable, Callable, Iterator
from collections.abc import Mapping as MappingABC
from typing import Any, Protocol, TypeVar, overload

from roost import codec
from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, StorageError, WrongTypeError
from roost.limits import DEFAULTS, Limits
from roost.storage.kv import KeyRange, next_batch
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready
from roost.storage.transaction import Transaction, given

T = TypeVar("T")


class Gate(Protocol):
    """What an activation does for its storage: let code wait without letting events in."""

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        """Wait for a future with the input gate closed; the turn ends, and is committed, when this suspends."""

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run `fn`; until it ends, only what it started itself is delivered. Its exception is passed on as it is."""


class SyncKV:
    """`storage.kv`: the same keys and values as `storage`, without await."""

    def __init__(self, storage: ObjectStorage, limits: Limits) -> None:
        self._storage = storage
        self._limits = limits

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, a fresh copy; `default` when there is none."""
        raw = self._storage.get(_checked_key(key, self._limits))
        return default if raw is None else codec.decode(raw)

    def put(self, key: str, value: Any) -> None:
        """Store a value under a key."""
        self._storage.put(*_encoded(key, value, self._limits))

    def delete(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return self._storage.delete(_checked_key(key, self._limits))

    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """The pairs of a range, lazily; options as for `storage.list`. Writes made meanwhile may or may not be seen."""
        keys = _checked_range(start, start_after, end, prefix, reverse, limit, self._limits)
        return self._iterate(keys)

    def _iterate(self, keys: KeyRange) -> Iterator[tuple[str, Any]]:
        after, seen = None, 0
        while batch := self._storage.select(next_batch(keys, after, seen)):
            for key, raw in batch:
                yield key, codec.decode(raw)
            after, seen = batch[-1][0], seen + len(batch)


class Storage:
    """The private, durable storage of one object."""

    def __init__(self, storage: ObjectStorage, gate: Gate, limits: Limits = DEFAULTS) -> None:
        self._storage = storage
        self._gate = gate
        self._limits = limits
        self.kv = SyncKV(storage, limits)
        """The same data, synchronously."""

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
            raw = self._storage.get(_checked_key(key, self._limits))
            return Ready(default if raw is None else codec.decode(raw))
        return self.get_many(key)

    def get_many(
        self, keys: list[str], *, allow_concurrency: bool = False, no_cache: bool = False
    ) -> Ready[dict[str, Any]]:
        """The values of those of at most 128 keys that are there, in order of the keys' UTF-8 bytes."""
        found = self._storage.get_many(_checked_keys(keys, self._limits))
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
            self._storage.put(*_encoded(key, value, self._limits), confirmed=not allow_unconfirmed)
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
        _check_count(len(pairs), self._limits)
        return [_encoded(key, item, self._limits) for key, item in pairs.items()]

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
            return Ready(self._storage.delete(_checked_key(key, self._limits), confirmed=not allow_unconfirmed))
        keys = _checked_keys(key, self._limits)
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
        keys = _checked_range(start, start_after, end, prefix, reverse, limit, self._limits)
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


def _encoded(key: object, value: object, limits: Limits) -> tuple[str, bytes]:
    checked = _checked_key(key, limits)
    raw = codec.encode(value)
    if len(raw) > limits.value_bytes_max:
        raise LimitExceededError(
            f"a stored value may have {limits.value_bytes_max} bytes, that of {checked[:80]!r} has {len(raw)}",
            limit=limits.value_bytes_max,
            actual=len(raw),
        )
    return checked, raw


def _checked_key(key: object, limits: Limits, what: str = "a key") -> str:
    if not isinstance(key, str):
        raise WrongTypeError(f"{what} must be a str, got {type(key).__name__}")
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{what} has a lone surrogate, which UTF-8 cannot hold: {key!r:.80}") from error
    if size > limits.key_bytes_max:
        raise LimitExceededError(
            f"{what} may have {limits.key_bytes_max} bytes of UTF-8, {key[:40]!r}… has {size}",
            limit=limits.key_bytes_max,
            actual=size,
        )
    return key


def _checked_keys(keys: object, limits: Limits) -> list[str]:
    if not isinstance(keys, list | tuple | set | frozenset):
        raise WrongTypeError(f"a str or a list of str is needed, got {type(keys).__name__}")
    _check_count(len(keys), limits)
    return [_checked_key(key, limits) for key in keys]


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.keys_per_call_max:
        raise LimitExceededError(
            f"one call may have {limits.keys_per_call_max} keys, this one has {count}",
            limit=limits.keys_per_call_max,
            actual=count,
        )


def _checked_range(
    start: str | None,
    start_after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
    limits: Limits,
) -> KeyRange:
    if start is not None and start_after is not None:
        raise InvalidArgumentError("list takes start or start_after, not both")
    named = {"start": start, "start_after": start_after, "end": end, "prefix": prefix}
    for name, bound in named.items():
        if bound is not None:
            _checked_key(bound, limits, name)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise WrongTypeError(f"limit must be an int, got {type(limit).__name__}")
    if limit is not None and limit <= 0:
        raise InvalidArgumentError(f"limit must be at least 1, got {limit}")
    return KeyRange(start=start, start_after=start_after, end=end, prefix=prefix, reverse=bool(reverse), limit=limit)
