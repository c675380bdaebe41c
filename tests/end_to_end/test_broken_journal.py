"""A disk that fails under the journal: the host ends, another one recovers what was confirmed, and nobody is needed."""

from __future__ import annotations

from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from .running import APPS, PATIENCE, Roost, running, until_async


async def post(roost: Roost, path: str, **query: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
        return await client.post(f"{roost.url}{path}", params=query)


async def test_another_host_takes_the_place_of_one_whose_journal_broke(tmp_path: Path) -> None:
    roost = Roost(tmp_path, APPS / "brittle.py")
    async with running(roost), connect(f"{roost.url.replace('http', 'ws')}/?name=a") as socket:
        for count in range(1, 6):
            assert (await post(roost, "/", name="a")).json()["count"] == count
        before = await roost.process("host 0")
        assert (await post(roost, "/break")).status_code == 200
        assert (await post(roost, "/", name="a")).status_code >= 500, "nothing was confirmed that is not durable"
        await roost.process("host 0", other_than=before)

        async def stored() -> bool:
            return (await post(roost, "/", name="b")).status_code == 200

        await until_async(stored, "a write succeeding again")
        assert (await roost.get("/", name="a"))["count"] in (5, 6)
        await socket.send("how many?")
        assert await socket.recv() in ("5", "6"), "it stayed open"
        assert "this host ends, and another takes its place" in roost.err
        await roost.stop()
