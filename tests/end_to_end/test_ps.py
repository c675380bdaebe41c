"""`roost ps` shows what runs, and wakes nothing by looking."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.end_to_end.roosts import APPS, Roost, receive_json, roost


async def ps(running: Roost, *flags: str) -> tuple[int | None, str]:
    """Its status, and what it printed on either stream."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roost", "ps", "--data", str(running.data), *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_processes_and_objects_are_shown_as_they_are(tmp_path: Path) -> None:
    async with roost(APPS / "ledger.py", tmp_path / "data", "--gateways", 2) as running:
        busy = await running.connect("/?name=busy")
        await busy.send(json.dumps({"hold": True}))
        assert await receive_json(busy) == {"holding": True}
        active = await running.connect("/?name=active&active=1")
        status, text = await ps(running, "--json")
        assert status == 0
        report: dict[str, Any] = json.loads(text)
        assert (report["url"], report["pid"]) == (running.url, running.process.pid)
        pids = {f"{one['role']} {one['number']}": one["pid"] for one in report["processes"]}
        assert pids == running.children()
        host = next(one["host"] for one in report["processes"] if one["role"] == "host")
        objects = {one["name"]: one for one in host["objects"]}
        assert objects["busy"]["pinned_by"]
        assert objects["active"]["pinned_by"]
        assert objects["busy"]["sockets"] == 1
        assert objects["busy"]["meter"]["messages_in"] == 1
        assert sum(one["gateway"]["sockets"] for one in report["processes"] if one["gateway"]) == 2
        status, text = await ps(running)
        assert status == 0
        assert "LEDGER busy" in " ".join(text.split())
        await running.kill_everything()
        status, text = await ps(running)
        assert status == 2
        assert "no roost runs on the data directory" in text
        await busy.close()
        await active.close()
