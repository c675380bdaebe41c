"""When the loop may wait for the disk itself."""

from __future__ import annotations

from roost.storage.journal.patience import Patience

FAST, SLOW, STALL = 0.0001, 0.0003, 0.006


def patience(*took: float, seconds_max: float = 0.00025) -> Patience:
    patience = Patience(seconds_max)
    for seconds in took:
        patience.took(seconds)
    return patience


def test_a_disk_that_nobody_knows_is_not_waited_for() -> None:
    assert not patience().is_there
    assert not patience(*[FAST] * 59).is_there
    assert patience(*[FAST] * 60).is_there


def test_a_few_slow_syncs_among_many_are_borne() -> None:
    fast = [FAST] * 64
    assert patience(*fast, *[SLOW] * 4).is_there
    assert not patience(*fast, *[SLOW] * 5).is_there
    assert patience(*fast, *[SLOW] * 5, *[FAST] * 60).is_there


def test_a_stall_has_all_that_was_known_forgotten() -> None:
    assert not patience(*[FAST] * 64, STALL).is_there
    assert not patience(*[FAST] * 64, STALL, *[FAST] * 59).is_there
    assert patience(*[FAST] * 64, STALL, *[FAST] * 60).is_there


def test_with_zero_no_disk_is_fast() -> None:
    assert not patience(*[0.0] * 1000, seconds_max=0.0).is_there
