"""What becomes of a commit."""

from __future__ import annotations

from collections.abc import Callable

from roost.errors import StorageError
from roost.storage.fate import Fate


def test_those_who_wait_are_told_in_their_order() -> None:
    told: list[object] = []
    fate = Fate([lambda error: told.append(("first", error)), lambda error: told.append(("second", error))])
    fate.may_call(lambda function: told.append("posted"))
    error = StorageError("lost")
    fate(error)
    assert told == [("first", error), ("second", error)]


def test_what_is_known_before_the_commit_returned_is_told_later() -> None:
    told: list[object] = []
    posted: list[Callable[[], None]] = []
    fate = Fate([told.append])
    fate(None)
    assert told == []
    fate.may_call(posted.append)
    assert told == []
    posted.pop()()
    assert told == [None]
