from __future__ import annotations

from roost.supervisor.backoff import Backoff


def test_the_first_death_costs_no_wait_and_those_that_follow_ever_longer_ones() -> None:
    backoff = Backoff()
    assert [round(backoff.after(0.0), 1) for _ in range(9)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_process_that_lived_long_is_started_at_once_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(0.0)
    assert backoff.after(10.0) == 0.0
    assert backoff.after(0.0) == 0.1
