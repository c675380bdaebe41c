"""The bounded window on what rings next."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roost.storage.alarms.agenda_window import BEGINNING, END, Entry, Window


def entry(key: int, due: int | None) -> Entry:
    return Entry(bytes([key]), "ROOM", None, due, due or 0)


def first(window: Window) -> tuple[int, int] | None:
    found = window.first()
    return None if found is None else (found.key[0], found.at)


def full(size_max: int = 100) -> Window:
    window = Window(size_max)
    window.extend([], END)
    return window


def test_nothing_is_known_before_something_was_loaded() -> None:
    window = Window(10)
    window.put(entry(1, 5))
    assert (first(window), window.horizon) == (None, BEGINNING)


def test_the_earliest_comes_first_and_of_the_same_time_the_lower_key() -> None:
    window = full()
    for key, due in ((3, 7), (1, 9), (2, 7)):
        window.put(entry(key, due))
    assert first(window) == (2, 7)
    window.remove(bytes([2]))
    assert first(window) == (3, 7)


def test_an_entry_that_moves_is_found_where_it_went_and_nowhere_else() -> None:
    window = full()
    window.put(entry(1, 5))
    window.put(entry(2, 6))
    window.put(entry(1, 7))
    assert first(window) == (2, 6)
    window.put(entry(2, None))
    assert first(window) == (1, 7)
    window.put(entry(1, 5))
    assert (first(window), len(window)) == ((1, 5), 1)


def test_what_lies_beyond_the_horizon_is_not_kept() -> None:
    window = Window(10)
    window.extend([entry(1, 5)], (5, bytes([1])))
    window.put(entry(2, 5))
    window.put(entry(3, 4))
    assert (len(window), first(window)) == (2, (3, 4))
    window.put(entry(3, 6))
    assert (len(window), first(window)) == (1, (1, 5))


def test_a_full_window_lets_the_later_half_go_and_knows_that_it_did() -> None:
    window = full(10)
    for key in range(11):
        window.put(entry(key, 100 - key))
    assert len(window) == 5
    assert window.horizon == (94, bytes([6]))
    assert first(window) == (10, 90)


def test_entries_that_move_often_do_not_make_it_grow() -> None:
    window = full(10)
    for due in range(1_000):
        window.put(entry(1, due))
    assert len(window._heap) <= 21
    assert first(window) == (1, 999)


class Windows(RuleBasedStateMachine):
    """A window over a file agrees with one that holds everything."""

    @initialize()
    def begin(self) -> None:
        self.file: dict[int, int] = {}
        self.window = Window(6)

    @rule(key=st.integers(0, 30), due=st.one_of(st.none(), st.integers(0, 50)))
    def put(self, key: int, due: int | None) -> None:
        if due is None:
            self.file.pop(key, None)
        else:
            self.file[key] = due
        self.window.put(entry(key, due))

    @rule(count=st.integers(1, 4))
    def load(self, count: int) -> None:
        beyond = sorted((due, bytes([key])) for key, due in self.file.items())
        rows = [moment for moment in beyond if moment > self.window.horizon][:count]
        horizon = rows[-1] if len(rows) == count else END
        self.window.extend([entry(key[0], due) for due, key in rows], horizon)

    @invariant()
    def it_knows_what_comes_first_up_to_its_horizon(self) -> None:
        moments = sorted((due, bytes([key])) for key, due in self.file.items())
        known = [moment for moment in moments if moment <= self.window.horizon]
        found = self.window.first()
        assert (None if found is None else found.moment) == (known[0] if known else None)
        assert len(self.window) == len(known) <= 6


TestWindows = Windows.TestCase
