"""Keys and values: the order of bytes, ranges, batches."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.storage import kv
from roost.storage.kv import KeyRange, next_batch, prefix_end
from roost.storage.template import HIDDEN_TABLES

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
SMALL = st.text(
    st.sampled_from(["a", "b", "\u07ff", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]), max_size=3
)


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    connection.execute(HIDDEN_TABLES)
    yield connection
    connection.close()


def fill(connection: apsw.Connection, keys: set[str]) -> None:
    connection.execute("DELETE FROM _roost_kv")
    for key in keys:
        kv.put(connection.cursor(), key, key.encode())


def test_a_value_is_replaced_and_removed(connection: apsw.Connection) -> None:
    fill(connection, set())
    assert kv.get(connection, "a") is None
    kv.put(connection.cursor(), "a", b"1")
    kv.put(connection.cursor(), "a", b"2")
    assert kv.get(connection, "a") == b"2"
    assert kv.delete(connection, "a")
    assert not kv.delete(connection, "a")


def test_many_keys_come_in_the_order_of_bytes(connection: apsw.Connection) -> None:
    fill(connection, {"\U00010000", "\uffff", "b", "a"})
    found = kv.get_many(connection, ["\uffff", "missing", "\U00010000", "a", "a"])
    assert [key for key, _ in found] == ["a", "\uffff", "\U00010000"]
    assert kv.get_many(connection, []) == []


@given(
    keys=st.sets(KEYS | SMALL, max_size=12),
    start=st.none() | SMALL,
    start_after=st.none() | SMALL,
    end=st.none() | SMALL,
    prefix=st.none() | SMALL,
    reverse=st.booleans(),
    limit=st.none() | st.integers(1, 5),
)
def test_a_range_is_what_comparing_bytes_says(
    connection: apsw.Connection,
    keys: set[str],
    start: str | None,
    start_after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
) -> None:
    fill(connection, keys)
    wanted = KeyRange(start=start, start_after=start_after, end=end, prefix=prefix, reverse=reverse, limit=limit)
    expected = [
        raw
        for raw in sorted((key.encode() for key in keys), reverse=reverse)
        if (start is None or raw >= start.encode())
        and (start_after is None or raw > start_after.encode())
        and (end is None or raw < end.encode())
        and (prefix is None or raw.startswith(prefix.encode()))
    ][:limit]
    assert [value for _, value in kv.select(connection, wanted)] == expected
    assert [key.encode() for key in in_batches(connection, wanted)] == expected


def in_batches(connection: apsw.Connection, keys: KeyRange) -> list[str]:
    found: list[str] = []
    while batch := kv.select(connection, next_batch(keys, found[-1] if found else None, len(found))):
        found += [key for key, _ in batch]
    return found


def test_batches_go_on_where_the_last_one_ended(connection: apsw.Connection) -> None:
    keys = {f"{number:04}" for number in range(300)}
    fill(connection, keys)
    assert in_batches(connection, KeyRange()) == sorted(keys)
    assert in_batches(connection, KeyRange(reverse=True, limit=200)) == sorted(keys, reverse=True)[:200]


def test_the_end_of_a_prefix_is_above_all_that_begin_with_it() -> None:
    assert prefix_end("a") == "b"
    assert prefix_end("a\U0010ffff") == "b"
    assert prefix_end("\ud7ff") == "\ue000"
    assert prefix_end("\U0010ffff") is None
