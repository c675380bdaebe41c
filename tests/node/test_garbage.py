from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from roost.node.garbage import keep_what_is_there, look_rarely


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Node:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_in_cycles_is_still_found() -> None:
    look_rarely()
    keep_what_is_there()
    gone = weakref.ref(Node())
    kept: list[list[int]] = []
    for _ in range(gc.get_threshold()[0] + 1_000):
        kept.append([])
    assert gone() is None


def test_a_commit_or_a_message_seldom_makes_it_look() -> None:
    look_rarely()
    assert gc.get_threshold()[0] > 10_000


def test_what_is_there_at_the_start_is_never_looked_through() -> None:
    node = Node()
    keep_what_is_there()
    assert gc.get_freeze_count() > 1_000
    assert not any(one is node for one in gc.get_objects())
