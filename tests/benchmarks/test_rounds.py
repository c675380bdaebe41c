from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from benchmarks.peers import BARE, WORKERD, Peer
from benchmarks.rows import ROWS, Row
from benchmarks.samples import Asked, Sample

from benchmarks import load, rounds, servers

AT_HOME = {"echo", "broadcast", "noting", "storing", "count", "sleeper"}


class Scripted:
    """A way of sampling that needs no server: what it says for each path, in turn."""

    rooms = 1

    def __init__(self, *figures: float | Exception) -> None:
        self.figures = list(figures)
        self.begun = 0

    def first(self, asked: Asked) -> None:
        self.begun += 1

    def sample(self, asked: Asked) -> Sample:
        figure = self.figures.pop(0)
        if isinstance(figure, Exception):
            raise figure
        return {"figure": figure}


@pytest.fixture(autouse=True)
def idle_servers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Servers that do nothing; the names of those that were started."""
    started: list[str] = []

    @contextmanager
    def start(_row: Row, peer: Peer) -> Iterator[Any]:
        started.append(peer.name)
        yield SimpleNamespace(options=lambda work, rooms: {}, tries=1)

    monkeypatch.setattr(rounds, "start", start)
    monkeypatch.setattr(servers, "settle", lambda running: None)
    return started


def row(sampling: Scripted, *peers: str, fresh: bool = False) -> Row:
    return Row("r", "short", "title", "echo", "/s", cast(Any, sampling), None, peers, fresh=fresh)


def test_servers_are_asked_in_turn_and_started_once(idle_servers: list[str]) -> None:
    sampling = Scripted(1, 10, 2, 20, 3, 30)
    found = rounds.ask(row(sampling), 3, 1.0)
    assert found.figure("roost") == 2
    assert found.figure("bare") == 20
    assert idle_servers == ["roost", "bare"]
    assert sampling.begun == 2


def test_a_fresh_row_starts_a_server_for_each_sample(idle_servers: list[str]) -> None:
    rounds.ask(row(Scripted(1, 2, 3, 4), fresh=True), 2, 1.0)
    assert idle_servers == ["roost", "bare", "roost", "bare"]


def test_a_server_that_failed_a_check_has_no_figure_and_is_not_asked_again() -> None:
    found = rounds.ask(row(Scripted(5, load.LoadError('came twice: {"held": false}'), 6)), 2, 1.0)
    assert found.figure("roost") == 5.5
    assert found.figure("bare") is None
    assert found.servers["bare"].failure == "came twice"


def test_a_server_that_does_not_start_has_no_figure_and_the_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = rounds.start

    def start(row: Row, peer: Peer) -> AbstractContextManager[Any]:
        if peer == BARE:
            raise servers.StartError("status 1")
        return begin(row, peer)

    monkeypatch.setattr(rounds, "start", start)
    found = rounds.ask(row(Scripted(1, 2)), 2, 1.0)
    assert found.figure("roost") == 1.5
    assert found.servers["bare"].failure == "status 1"


def test_a_peer_that_took_its_time_is_asked_no_more_and_the_bare_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PEER_SECONDS_MAX", 0.0)
    monkeypatch.setattr(Peer, "missing", lambda peer: None)
    found = rounds.ask(row(Scripted(1, 2, 3, 4, 5), "workerd"), 2, 1.0)
    taken = {name: len(answer.samples) for name, answer in found.servers.items()}
    assert taken == {"roost": 2, "bare": 2, "workerd": 1}


def test_a_peer_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "missing", lambda peer: "workerd: not installed" if peer == WORKERD else None)
    found = rounds.ask(row(Scripted(1, 2), "workerd"), 1, 1.0)
    assert found.lacking == ["workerd: not installed"]
    assert "workerd" not in found.servers


def test_a_peer_is_not_asked_for_work_that_it_does_not_do() -> None:
    peers, _ = rounds.choose(row(Scripted(), "picows")._replace(work="storing"), None)
    assert [peer.name for peer in peers] == ["roost", "bare"]


def test_roost_is_asked_in_every_choice_of_peers() -> None:
    peers, _ = rounds.choose(row(Scripted(), "workerd"), {"bare"})
    assert peers == [rounds.ROOST, BARE]


@pytest.mark.parametrize("found", ROWS, ids=lambda row: row.name)
def test_every_row_asks_roost_for_work_that_its_objects_do_and_known_peers(found: Row) -> None:
    assert found.work in AT_HOME
    assert set(found.peers) <= rounds.OTHERS.keys()
