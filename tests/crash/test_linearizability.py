from __future__ import annotations

import itertools
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .linearizability import Operation, check


def register(state: Any, asked: Any) -> tuple[Any, Any]:
    """A register: ("write", value), ("read",), ("swap", expected, value)."""
    match asked:
        case ("write", value):
            return value, None
        case ("read",):
            return state, state
        case ("swap", expected, value):
            return (value, True) if state == expected else (state, False)
    raise AssertionError(asked)


def did(client: str, asked: Any, called: float, returned: float | None, told: Any = None) -> Operation:
    return Operation(client, asked, called, returned, told)


def test_one_after_the_other_must_agree_with_the_register() -> None:
    write = did("a", ("write", 1), 0, 1)
    assert check([write, did("b", ("read",), 2, 3, 1)], register, 0).linearizable
    found = check([write, did("b", ("read",), 2, 3, 0)], register, 0)
    assert not found.linearizable
    assert found.stuck == [write]


def test_what_overlaps_may_have_happened_in_either_order() -> None:
    write = did("a", ("write", 1), 0, 5)
    for told in (0, 1):
        assert check([write, did("b", ("read",), 1, 2, told)], register, 0).linearizable


def test_what_was_read_once_is_not_unread() -> None:
    history = [
        did("a", ("write", 1), 0, 10),
        did("b", ("read",), 1, 2, 1),
        did("c", ("read",), 3, 4, 0),
    ]
    assert not check(history, register, 0).linearizable


def test_what_had_no_answer_may_have_happened_late_or_never() -> None:
    lost = did("a", ("write", 1), 0, None)
    assert check([lost, did("b", ("read",), 5, 6, 0), did("b", ("read",), 7, 8, 1)], register, 0).linearizable
    assert check([lost, did("b", ("read",), 5, 6, 0)], register, 0).linearizable
    assert not check([lost, did("b", ("read",), 5, 6, 1), did("b", ("read",), 7, 8, 0)], register, 0).linearizable


def test_an_acknowledged_write_that_is_lost_is_seen() -> None:
    history = [did("a", ("swap", 0, 1), 0, 1, True), did("b", ("swap", 0, 2), 2, 3, True)]
    assert not check(history, register, 0).linearizable


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 14), st.integers(1, 4))
def test_whatever_a_register_really_did_has_an_order(seed: int, count: int, clients: int) -> None:
    chance = random.Random(seed)
    assert check(really_done(chance, count, clients), register, 0).linearizable


def really_done(chance: random.Random, count: int, clients: int) -> list[Operation]:
    """Calls of several clients, each done at one moment between call and return; some answers are lost."""
    free = dict.fromkeys(range(clients), 0.0)
    planned = []
    for _ in range(count):
        client = chance.choice(list(free))
        called = free[client] + chance.random()
        moment = called + chance.random()
        free[client] = moment + chance.random()
        planned.append((moment, client, called, free[client]))
    state: Any = 0
    history = []
    for moment, client, called, returned in sorted(planned):
        asked = chance.choice([("write", moment), ("read",), ("swap", state, moment), ("swap", -1, moment)])
        state, told = register(state, asked)
        lost = chance.random() < 0.1
        history.append(did(str(client), asked, called, None if lost else returned, None if lost else told))
        if lost:
            free.pop(client, None)
    return history


@given(st.integers(0, 2**32))
def test_it_agrees_with_trying_every_order(seed: int) -> None:
    chance = random.Random(seed)
    history = []
    for client in range(5):
        called = chance.random()
        asked, told = chance.choice(
            [(("write", chance.randrange(2)), None), (("read",), chance.randrange(2)), (("swap", 0, 1), False)]
        )
        history.append(did(str(client), asked, called, called + chance.random(), told))
    assert check(history, register, 0).linearizable == any(map(explains, itertools.permutations(history)))


def explains(order: tuple[Operation, ...]) -> bool:
    state: Any = 0
    for at, operation in enumerate(order):
        if any(later.returned < operation.called for later in order[at + 1 :] if later.returned is not None):
            return False
        state, answer = register(state, operation.asked)
        if answer != operation.told:
            return False
    return True
