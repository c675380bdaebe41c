from __future__ import annotations

import pytest

from roost.objects.lifecycle import ENDED, TRANSITIONS, Happening, State, after

TABLE = {
    State.NEW: "first event -> starting, drain -> draining, sleep -> hibernated, failure -> reset, stop -> stopped",
    State.STARTING: "constructed -> awake, drain -> draining, failure -> reset, stop -> stopped",
    State.AWAKE: "drain -> draining, sleep -> hibernated, failure -> reset, stop -> stopped",
    State.DRAINING: "constructed -> draining, drain -> draining, sleep -> hibernated, failure -> reset, "
    "stop -> stopped",
    State.HIBERNATED: "",
    State.RESET: "",
    State.STOPPED: "",
}


@pytest.mark.parametrize("state", State)
def test_a_state_leads_where_the_table_says_and_nowhere_else(state: State) -> None:
    ways = [
        f"{happening} -> {TRANSITIONS[state, happening]}"
        for happening in Happening
        if (state, happening) in TRANSITIONS
    ]
    assert sorted(ways) == sorted(filter(None, TABLE[state].split(", ")))


def test_nothing_leads_out_of_an_end() -> None:
    assert {state for state in State if not any(source is state for source, _ in TRANSITIONS)} == ENDED


def test_what_the_table_does_not_list_is_a_broken_assumption() -> None:
    with pytest.raises(AssertionError, match="sleep cannot happen to an activation that is starting"):
        after(State.STARTING, Happening.SLEEP)
