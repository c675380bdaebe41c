from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load, peers, servers

QUICK: dict[str, Any] = {"seconds": 0.1, "warm_up": 0, "drain": 20}


def test_the_bare_peer_delivers_every_message_in_order_to_all_but_its_sender() -> None:
    with peers.bare() as server:
        options = {"connections": 12, "rooms": 3, "senders": 2, "window": 3, "size": 200}
        result = load.run("broadcast", server.port, "/storing?room=*", seconds=0.1, warm_up=0, **options)
    assert result.held
    assert result.arrived > 0


def test_the_bare_peer_has_what_it_delivered_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with peers.bare() as server:
        result = load.run("broadcast", server.port, "/storing?room=a", connections=2, seconds=0.05, warm_up=0, size=100)
        log = next(tmp_path.glob("*/log")).read_bytes()
    assert log.count(b"m00000000") == result.arrived
    assert b"/storing?room=a" in log


@pytest.mark.parametrize("work", ["echo", "noting"])
def test_the_bare_peer_sends_back_what_it_is_to_echo(work: str) -> None:
    with peers.bare() as server:
        result = load.run("echo", server.port, f"/{work}?room=*", connections=5, rooms=5, window=3, **QUICK)
    assert result.arrived > 0


def test_the_bare_peer_counts_the_requests_of_each_path() -> None:
    with peers.bare() as server:
        result = load.run("http", server.port, "/count?room=*", connections=4, rooms=4, **QUICK)
    assert result.arrived > 0


@pytest.mark.parametrize("work", sorted(peers.BARE.works - {"count"}))
def test_roost_does_the_work_that_it_is_compared_in(work: str) -> None:
    mode = "echo" if work in ("echo", "noting") else "broadcast"
    with servers.roost_in_one_process() as server:
        result = load.run(mode, server.port, f"/{work}?room=*", connections=6, rooms=2, **QUICK)
    assert result.arrived > 0


def test_roost_counts_requests_in_an_object() -> None:
    with servers.roost_in_one_process() as server:
        assert load.run("http", server.port, "/count?room=*", connections=4, rooms=4, **QUICK).arrived > 0


def test_a_peer_that_cannot_run_here_is_named_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "requirements.txt").write_text("")
    peer = peers.FASTAPI._replace(folder=tmp_path / "redis")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peer.missing() == "FastAPI and Redis: there is no redis-server (on Debian: apt-get install redis-server)"
    (tmp_path / "redis-server").touch(mode=0o755)
    assert peer.missing() == "FastAPI and Redis: not installed (python -m benchmarks install fastapi_redis)"
    peers.python_of(tmp_path / "redis").parent.mkdir(parents=True)
    peers.python_of(tmp_path / "redis").touch()
    assert peer.missing() is None


def test_a_server_that_ends_before_it_serves_is_an_error() -> None:
    with pytest.raises(servers.StartError, match="status 3"), servers.started([sys.executable, "-c", "exit(3)"]):
        pass


def test_a_server_that_does_not_say_its_port_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "START_SECONDS_MAX", 0.0)
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(servers.StartError, match="status -9"), servers.started(silent):
        pass


def test_what_a_server_leaves_running_is_killed() -> None:
    child = "import subprocess; print('at http://127.0.0.1:1', subprocess.Popen(['sleep', '60']).pid, flush=True)"
    with servers.started([sys.executable, "-c", f"{child}; import time; time.sleep(60)"]) as server:
        *_, left = server.pids()
        assert Path(f"/proc/{left}/comm").read_text() == "sleep\n"
        end = os.pidfd_open(left)
    assert select.select([end], [], [], 30)[0] == [end]
    os.close(end)


def test_the_processes_of_a_server_are_all_counted() -> None:
    with servers.roost() as server:
        assert len(server.pids()) >= 3
        assert server.memory_bytes() > 10_000_000
        assert server.resident_bytes() >= server.memory_bytes()
