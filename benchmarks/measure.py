"""Runs of several servers in turn, so that what else the machine does falls on all of them; the best round counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from benchmarks import load, servers

ROUNDS = 3


class Candidate(NamedTuple):
    """A server, how it is started, and the path that its clients ask for."""

    name: str
    start: Callable[[], AbstractContextManager[servers.Server]]
    path: str


class Measured(NamedTuple):
    """One round of a candidate, and the processor time that the server took for each message that arrived."""

    result: load.Result
    cpu_us: float


def compare(
    candidates: list[Candidate], mode: str, *, rounds: int = ROUNDS, made_before: bool = False, **options: Any
) -> dict[str, Measured]:
    """Run the load so many times against each candidate, a fresh server each time; every run checks every message.

    `made_before`: a short run that is not measured comes first, so that what is made once is there.
    """
    runs: dict[str, list[Measured]] = {candidate.name: [] for candidate in candidates}
    for number in range(rounds):
        for candidate in candidates:
            measured = run_once(candidate, mode, made_before=made_before, **options)
            runs[candidate.name].append(measured)
            rate = measured.result.per_second
            print(f"  {mode} {options} round {number + 1}: {candidate.name} {rate:,.0f}/s", file=sys.stderr)
    return {name: best(measured) for name, measured in runs.items()}


def run_once(candidate: Candidate, mode: str, *, made_before: bool = False, **options: Any) -> Measured:
    with candidate.start() as server:
        if made_before:
            short = {**options, "seconds": 0.1, "warm_up": 0, "drain": 60}
            load.run(mode, server.port, candidate.path, servers.LOAD_CORE, **short)
        before = server.cpu_seconds()
        result = load.run(mode, server.port, candidate.path, servers.LOAD_CORE, **options)
        return Measured(result, (server.cpu_seconds() - before) / result.arrived * 1e6)


def best(runs: list[Measured]) -> Measured:
    """That with the most deliveries; at a fixed rate all have the same, and the lowest median latency counts."""
    return max(runs, key=lambda measured: (round(measured.result.per_second, -2), -measured.result.latency_us.p50))
