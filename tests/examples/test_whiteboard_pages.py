"""How the whiteboard cuts a board in pages, and whom it forgets."""

from __future__ import annotations

from types import ModuleType


def test_a_page_of_strokes_has_a_bound_and_at_least_one_stroke(whiteboard: ModuleType) -> None:
    strokes = [{"points": [0] * 30} for _ in range(5)]
    assert whiteboard.first_page(strokes, numbers_max=90) == strokes[:3]
    assert whiteboard.first_page(strokes, numbers_max=1) == strokes[:1]
    assert whiteboard.first_page(strokes, numbers_max=1_000) == strokes
    assert whiteboard.first_page([], numbers_max=1) == []


def test_those_who_changed_the_board_longest_ago_are_forgotten_first(whiteboard: ModuleType) -> None:
    clients = {"client:a": {"revision": 9}, "client:b": {"revision": 2}, "client:c": {"revision": 5}}
    assert whiteboard.choose_forgotten(clients, keep=1) == ["client:b", "client:c"]
    assert whiteboard.choose_forgotten(clients, keep=3) == []
