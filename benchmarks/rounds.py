"""A row's rounds: all its servers are started, then asked in turn, so that what else the machine does falls on all."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import partial

from benchmarks import answers, load, report, servers
from benchmarks.answers import Answer, Measured
from benchmarks.peers import BARE, PEERS, Peer
from benchmarks.rows import Row
from benchmarks.samples import Asked, Sample
from benchmarks.servers import Server

PARKED_SECONDS = 4.0
"""Roost's `idle_seconds` as the rows set it, then `park_seconds`, and one more."""
PEER_SECONDS_MAX = 4.0
"""A peer is asked in every round until it took so long in all; roost and the bare server are asked in every one."""
ROOST = Peer("roost", "roost", BARE.works | {"sleeper"}, servers.roost, sleep_seconds=PARKED_SECONDS)
OTHERS = {peer.name: peer for peer in PEERS}


def ask(row: Row, rounds: int, seconds: float, only: set[str] | None = None) -> Measured:
    """Ask every server of the row in each round. One that fails a check is not asked again, and the row says so."""
    asked, lacking = choose(row, only)
    found = {peer.name: Answer() for peer in asked}
    with ExitStack() as stack:
        running = {} if row.fresh else start_all(row, asked, found, stack)
        for number in range(rounds):
            for peer in asked:
                take(row, peer, number, seconds, running, found[peer.name])
    now = datetime.now(UTC)
    return Measured(f"{now:%Y-%m-%d %H:%M} UTC", report.commit(), os.getloadavg()[0], seconds, found, lacking)


def start_all(row: Row, asked: list[Peer], found: dict[str, Answer], stack: ExitStack) -> dict[Peer, Server]:
    """The servers that started, until the stack is closed; of the others the answer is that they did not."""
    running = {}
    for peer in asked:
        try:
            running[peer] = stack.enter_context(start(row, peer))
        except servers.StartError as error:
            found[peer.name].failure = str(error)
    return running


def choose(row: Row, only: set[str] | None) -> tuple[list[Peer], list[str]]:
    """The servers of a row, and what those that cannot be asked here lack."""
    named = [ROOST, BARE, *(OTHERS[name] for name in row.peers)]
    able = [peer for peer in named if row.work in peer.works and (only is None or peer is ROOST or peer.name in only)]
    lacks = {peer: peer.missing() for peer in able}
    return [peer for peer in able if lacks[peer] is None], [lack for lack in lacks.values() if lack is not None]


def start(row: Row, peer: Peer) -> AbstractContextManager[Server]:
    """The server; what it takes up in memory at first is there when this returns."""
    return servers.roost(limits=row.limits) if peer is ROOST else peer.start()


def take(row: Row, peer: Peer, number: int, seconds: float, running: dict[Peer, Server], answer: Answer) -> None:
    """One sample more, unless this server failed or had its time."""
    if answer.failure or exhausted(peer, answer):
        return
    begin = time.monotonic()
    try:
        with fresh(row, peer) if row.fresh else contextlib.nullcontext(running[peer]) as server:
            servers.settle(running.values())
            answer.samples.append(sample(row, peer, server, number, seconds))
    except (load.LoadError, servers.StartError) as error:
        answer.failure = str(error).partition(": {")[0]
    answer.samples[-1:] = [{**last, "took": time.monotonic() - begin} for last in answer.samples[-1:]]
    shown = answer.failure or f"{answer.samples[-1]['figure']:,.1f} {row.unit}"
    print(f"  {row.name} round {number + 1}: {peer.name} {shown}", file=sys.stderr, flush=True)


def exhausted(peer: Peer, answer: Answer) -> bool:
    return (
        peer not in (ROOST, BARE)
        and bool(answer.samples)
        and sum(sample["took"] for sample in answer.samples) >= PEER_SECONDS_MAX
    )


@contextlib.contextmanager
def fresh(row: Row, peer: Peer) -> Iterator[Server]:
    with start(row, peer) as server:
        servers.settle([server])
        yield server


def sample(row: Row, peer: Peer, server: Server, number: int, seconds: float) -> Sample:
    asked = partial(Asked, server, f"/{row.work}?room=*", number, seconds, peer)
    rooms = min(row.sampling.rooms, peer.rooms_max or row.sampling.rooms)
    if number == 0:
        begin_with(row, server, lambda: asked(server.options(row.work, rooms)))
    return row.sampling.sample(asked(server.options(row.work, rooms)))


def begin_with(row: Row, server: Server, asked: Callable[[], Asked]) -> None:
    """The load that is not measured. Raises LoadError when it failed as often as this server may."""
    for left in reversed(range(server.tries)):
        try:
            row.sampling.first(asked())
            break
        except load.LoadError:
            if not left:
                raise
            servers.settle([server])
    servers.settle([server])


def remember(row: Row, measured: Measured) -> answers.Table:
    """Put a row into the table that is kept."""
    table = answers.read()
    table.rows[row.name] = measured
    table.machine = report.machine()
    table.versions = {peer.name: peer.version() for peer in [ROOST, *PEERS] if peer.missing() is None}
    answers.write(table)
    return table
