"""A short run of the differential fuzzer; `make fuzz` runs longer."""

from __future__ import annotations

import os

import pytest
from tests.conformance import fuzz
from tests.conformance.fuzz import KNOWN, Fuzzer
from tests.conformance.peers import Outcome, ours

STREAMS = 30


def seed() -> int:
    chosen = int(os.environ.get("SEED") or 7)  # always the same streams here: `make fuzz` is there to find new ones
    print(f"SEED={chosen}")
    return chosen


async def test_three_readers_make_the_same_of_the_same_bytes_wherever_they_are_cut() -> None:
    fuzzer = Fuzzer(seed())
    for _ in range(STREAMS):
        found = fuzzer.next()
        assert found is None, str(found)


async def test_a_run_can_be_had_again_from_its_seed() -> None:
    first, second = Fuzzer(7), Fuzzer(7)
    for _ in range(10):
        assert first.next() == second.next()
    assert (first.runs, first.known, first.ends) == (second.runs, second.known, second.ends)


def _without_pings(outcome: Outcome) -> Outcome:
    return [event for event in outcome if event[0] != "ping"]


def _with_another_code(outcome: Outcome) -> Outcome:
    return [("fail", 1008) if event[0] == "fail" else event for event in outcome]


def _in_another_order(outcome: Outcome) -> Outcome:
    return [*outcome[1::-1], *outcome[2:]]


@pytest.mark.parametrize("damage", [_without_pings, _with_another_code, _in_another_order])
async def test_a_reader_that_is_wrong_is_found(damage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(damage)
    monkeypatch.setattr(fuzz, "ours", lambda parts, mode: damage(ours(parts, mode)))
    fuzzer = Fuzzer(1)
    assert any(fuzzer.next() for _ in range(STREAMS))


async def test_a_reader_that_depends_on_where_bytes_are_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "ours", lambda parts, mode: ours(parts, mode) if len(list(parts)) != 2 else [])
    fuzzer = Fuzzer(1)
    found = [fuzzer.next() for _ in range(10)]
    assert any(one is not None and one.peer == "ours, cut" for one in found)


def test_each_known_difference_has_a_reason() -> None:
    assert len({known.name for known in KNOWN}) == len(KNOWN)
    assert all(known.reason.endswith(".") for known in KNOWN)
