"""`ctx.storage.kv`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from roost import codec
from roost.limits import Limits
from roost.storage.arguments import checked_key, checked_range, encoded
from roost.storage.kv import KeyRange, next_batch
from roost.storage.object_storage import ObjectStorage


class SyncKV:
    """`storage.kv`: the same keys and values as `storage`, without await."""

    def __init__(self, storage: ObjectStorage, limits: Limits) -> None:
        self._storage = storage
        self._limits = limits

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, a fresh copy; `default` when there is none."""
        raw = self._storage.get(checked_key(key, self._limits))
        return default if raw is None else codec.decode(raw)

    def put(self, key: str, value: Any) -> None:
        """Store a value under a key."""
        self._storage.put(*encoded(key, value, self._limits))

    def delete(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return self._storage.delete(checked_key(key, self._limits))

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
        keys = checked_range(start, start_after, end, prefix, reverse, limit, self._limits)
        return self._iterate(keys)

    def _iterate(self, keys: KeyRange) -> Iterator[tuple[str, Any]]:
        after, seen = None, 0
        while batch := self._storage.select(next_batch(keys, after, seen)):
            for key, raw in batch:
                yield key, codec.decode(raw)
            after, seen = batch[-1][0], seen + len(batch)
