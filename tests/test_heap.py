from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from roost import heap
from roost.heap import give_back


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    heap._trim.cache_clear()
    yield
    heap._trim.cache_clear()


def test_holes_of_a_heap_are_given_back() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as told:
            return int(told.read().split()[1])

    blocks = [bytes(2_000) for _ in range(50_000)]  # of the C library's heap: Python's own takes up to 512 bytes
    for block in blocks:
        memoryview(block)[0]
    give_back()
    full = resident()
    del blocks[1::16], blocks[::2]  # with something between the holes
    kept = len(blocks)
    blocks[:] = blocks[::100]
    assert give_back()
    assert (kept > 20_000, full - resident() > 1_000) == (True, True)


@pytest.mark.parametrize("library", [object(), None])
def test_where_there_is_no_way_to_ask_nothing_happens(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    def load(_: None) -> Any:
        if library is None:
            raise OSError("a program without a C library to be found")
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not give_back()
