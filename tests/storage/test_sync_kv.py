"""`storage.kv`."""

from __future__ import annotations

import pytest

from roost.errors import InvalidArgumentError, LimitExceededError, UnserialisableError, WrongTypeError
from roost.limits import Limits
from roost.storage.object_storage import ObjectStorage
from roost.storage.sync_kv import SyncKV

LIMITS = Limits(key_bytes_max=10, value_bytes_max=100)


@pytest.fixture
def kv(store, room) -> SyncKV:  # type: ignore[no-untyped-def]
    handle: ObjectStorage = store.open(room)
    return SyncKV(handle, LIMITS)


def test_values_come_back_as_fresh_copies(kv: SyncKV) -> None:
    board = {"strokes": [1]}
    kv.put("board", board)
    board["strokes"].append(2)
    found = kv.get("board")
    assert found == {"strokes": [1]}
    found["strokes"].clear()
    assert kv.get("board") == {"strokes": [1]}


def test_missing_and_none_are_told_apart_by_the_default(kv: SyncKV) -> None:
    kv.put("none", None)
    assert (kv.get("none", 7), kv.get("missing", 7), kv.get("missing")) == (None, 7, None)


def test_delete_says_whether_the_key_was_there(kv: SyncKV) -> None:
    kv.put("a", 1)
    assert (kv.delete("a"), kv.delete("a")) == (True, False)


def test_a_listing_is_lazy_and_in_order_of_utf_8_bytes(kv: SyncKV) -> None:
    for key in ("b", "\U00010000", "\uffff", "a"):
        kv.put(key, key)
    pairs = kv.list()
    assert next(pairs) == ("a", "a")
    assert list(pairs) == [("b", "b"), ("\uffff", "\uffff"), ("\U00010000", "\U00010000")]
    assert [key for key, _ in kv.list(start="b", end="\U00010000", reverse=True)] == ["\uffff", "b"]


def test_listings_do_not_disturb_one_another(kv: SyncKV) -> None:
    for number in range(300):
        kv.put(f"{number:03}", number)
    first, second = kv.list(), kv.list(reverse=True)
    for number in range(300):
        assert next(first) == (f"{number:03}", number)
        assert next(second) == (f"{299 - number:03}", 299 - number)


def test_a_listing_goes_on_while_its_keys_are_deleted(kv: SyncKV) -> None:
    for number in range(300):
        kv.put(f"{number:03}", number)
    for key, _ in kv.list():
        assert kv.delete(key)
    assert list(kv.list()) == []


def test_bad_input_is_refused_before_anything_is_read(kv: SyncKV) -> None:
    with pytest.raises(InvalidArgumentError, match="start or start_after"):
        kv.list(start="a", start_after="b")
    with pytest.raises(WrongTypeError, match="a key must be a str"):
        kv.get(1)  # type: ignore[arg-type]
    with pytest.raises(LimitExceededError, match="10 bytes"):
        kv.put("x" * 11, 1)
    with pytest.raises(UnserialisableError):
        kv.put("a", object())
