"""A stop in order loses nothing, whoever asks for it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.end_to_end.roosts import APPS, alive, close_code, gone, receive_json, roost

LEDGER = APPS / "ledger.py"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_status_0_sockets_get_1001_and_everything_is_stored(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with roost(LEDGER, tmp_path / "data", "--gateways", 2, "--hosts", 2) as running:
        socket = await running.connect("/")
        await socket.send(json.dumps({"client": "a", "n": 1}))
        entry = await receive_json(socket)
        active = await running.connect("/?active=1")
        assert await running.stop(number) == 0
        assert await close_code(socket) == 1001
        assert await close_code(active) == 1012
        assert not any(map(alive, running.pids))
    async with roost(LEDGER, tmp_path / "data", "--gateways", 2, "--hosts", 2) as running:
        assert (await running.get("/stored"))["stored"] == [entry]


async def test_an_object_finishes_what_it_has_begun(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data") as running:
        socket = await running.connect("/")
        await socket.send(json.dumps({"client": "a", "n": 1, "slow": 0.5}))
        assert await receive_json(socket) == {"slow": True}
        assert await running.stop() == 0
        entry = await receive_json(socket)
        assert entry["seq"] == 1
        assert await close_code(socket) == 1001
    async with roost(LEDGER, tmp_path / "data") as running:
        assert (await running.get("/stored"))["stored"] == [entry]


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data") as running:
        socket = await running.connect("/")
        await socket.send(json.dumps({"hold": True}))
        assert await receive_json(socket) == {"holding": True}
        running.process.send_signal(signal.SIGINT)
        await running.errors.until("stopping: objects finish")
        assert await running.stop(signal.SIGINT) == 130
        assert not any(map(alive, running.pids))
        assert await close_code(socket) == 1006


async def test_what_does_not_finish_in_time_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = tmp_path / "app.py"
    app.write_text(LEDGER.read_text())
    (tmp_path / "pyproject.toml").write_text("[tool.roost.limits]\ndrain_seconds_max = 0.2\n")
    async with roost(app, tmp_path / "data") as running:
        socket = await running.connect("/")
        await socket.send(json.dumps({"hold": True}))
        assert await receive_json(socket) == {"holding": True}
        assert await running.stop() == 0
        assert await close_code(socket) in (1001, 1012)


async def test_processes_whose_supervisor_was_killed_end_by_themselves(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data") as running:
        socket = await running.connect("/")
        await socket.send(json.dumps({"client": "a", "n": 1, "slow": 0.3}))
        assert await receive_json(socket) == {"slow": True}
        os.kill(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        async with roost(LEDGER, tmp_path / "data") as second:  # waits for the host that was left behind
            assert [entry["n"] for entry in (await second.get("/stored"))["stored"]] == [1]
            await gone(*running.pids)
        assert await close_code(socket) == 1001
