from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import load, servers


def test_the_bare_peer_delivers_every_message_in_order_to_all_but_its_sender() -> None:
    with servers.bare() as server:
        options = {"connections": 12, "rooms": 3, "senders": 2, "window": 3, "size": 200}
        result = load.run("broadcast", server.port, "/storing?room=*", seconds=0.1, warm_up=0, **options)
    assert result.held
    assert result.arrived > 0


def test_the_bare_peer_has_what_it_delivered_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with servers.bare() as server:
        result = load.run("broadcast", server.port, "/storing?room=a", connections=2, seconds=0.05, warm_up=0, size=100)
        log = next(tmp_path.glob("*/log")).read_bytes()
    assert log.count(b"m00000000") == result.arrived
    assert b"/storing?room=a" in log


def test_a_peer_that_cannot_run_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.node_missing() == "Node: there is no node"
    assert str(servers.redis_missing()).startswith("FastAPI with Redis: ")
