"""Keys and values in the hidden table: the statements, on bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw
import msgspec

_GET = "SELECT value FROM _roost_kv WHERE key = ?"
_PUT = "INSERT INTO _roost_kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_DELETE = "DELETE FROM _roost_kv WHERE key = ?"
_BATCH = 128  # rows that a lazy listing reads at a time


class KeyRange(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys, in which direction. Keys are compared as UTF-8 bytes, which is the order of code points."""

    start: str | None = None
    """The first key that belongs to it, or would."""
    start_after: str | None = None
    """A key that all of them come after."""
    end: str | None = None
    """The first key that no longer belongs to it."""
    prefix: str | None = None
    """What all of them begin with."""
    reverse: bool = False
    limit: int | None = None


def get(connection: apsw.Connection, key: str) -> bytes | None:
    """The value of one key."""
    for (value,) in connection.execute(_GET, (key,)):
        return bytes(value)
    return None


def put(statements: apsw.Cursor, key: str, value: bytes) -> None:
    """Store one value."""
    statements.execute(_PUT, (key, value))


def delete(connection: apsw.Connection, key: str) -> bool:
    """Remove one key; whether it was there."""
    connection.execute(_DELETE, (key,))
    return connection.changes() > 0


def get_many(connection: apsw.Connection, keys: Sequence[str]) -> list[tuple[str, bytes]]:
    """Those of the keys that are there, in order."""
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, value FROM _roost_kv WHERE key IN ({marks}) ORDER BY key"  # noqa: S608 - only marks
    return [(str(key), bytes(value)) for key, value in connection.execute(query, tuple(keys))]


def select(connection: apsw.Connection, keys: KeyRange) -> list[tuple[str, bytes]]:
    """The pairs of a range, in its order."""
    query, bindings = _select(keys)
    return [(str(key), bytes(value)) for key, value in connection.execute(query, bindings)]


def next_batch(keys: KeyRange, after: str | None, seen: int) -> KeyRange:
    """The part of a range that follows `after`, the last of `seen` keys, at most a batch of it."""
    left = _BATCH if keys.limit is None else min(_BATCH, keys.limit - seen)
    if after is None:
        return msgspec.structs.replace(keys, limit=left)
    if keys.reverse:
        return msgspec.structs.replace(keys, limit=left, end=after)
    return msgspec.structs.replace(keys, limit=left, start=None, start_after=after)


def _select(keys: KeyRange) -> tuple[str, tuple[str | int, ...]]:
    conditions = list(_conditions(keys))
    where = " WHERE " + " AND ".join(condition for condition, _ in conditions) if conditions else ""
    order = "DESC" if keys.reverse else "ASC"
    limit = "" if keys.limit is None else f" LIMIT {int(keys.limit)}"
    query = f"SELECT key, value FROM _roost_kv{where} ORDER BY key {order}{limit}"  # noqa: S608 - made of constants
    return query, tuple(binding for _, binding in conditions)


def _conditions(keys: KeyRange) -> Iterator[tuple[str, str]]:
    if keys.start is not None:
        yield "key >= ?", keys.start
    if keys.start_after is not None:
        yield "key > ?", keys.start_after
    if keys.end is not None:
        yield "key < ?", keys.end
    if keys.prefix:
        yield "key >= ?", keys.prefix
        above = prefix_end(keys.prefix)
        if above is not None:
            yield "key < ?", above


def prefix_end(prefix: str) -> str | None:
    """The least string above everything that begins with `prefix`; None when there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)  # no string holds a surrogate
