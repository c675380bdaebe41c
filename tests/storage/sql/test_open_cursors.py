"""The cursors of a turn."""

from __future__ import annotations

from roost.storage.sql.open_cursors import OpenCursors


class Fake:
    def __init__(self) -> None:
        self.ended: list[str] = []

    def end(self, why: str) -> None:
        self.ended.append(why)


def test_all_are_ended_once() -> None:
    cursors, first, second = OpenCursors(), Fake(), Fake()
    cursors.add(first)
    cursors.add(second)
    cursors.discard(second)
    cursors.end("over")
    cursors.end("again")
    assert (first.ended, second.ended) == (["over"], [])


def test_each_end_begins_another_turn() -> None:
    cursors = OpenCursors()
    before = cursors.turn
    cursors.end("it was enough")
    assert (cursors.turn, cursors.over) == (before + 1, "it was enough")


def test_the_first_query_of_a_turn_is_told() -> None:
    cursors, told = OpenCursors(), []
    cursors.use()
    assert not cursors.used  # nobody ends turns here
    cursors.on_first = lambda: told.append("query")
    cursors.use()
    assert (told, cursors.used) == (["query"], True)


def test_those_that_nobody_holds_are_forgotten() -> None:
    cursors = OpenCursors()
    for _ in range(3000):
        cursors.add(Fake())
    assert len(cursors._open) <= 1000
    cursors.end("over")
