"""Sockets that are parked live through what others live through: sleep, kill -9, a deploy, the end of roost."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from .running import PATIENCE, Roost, running
from .talking import Client, entered

LIMITS = {"park_seconds": 0.25, "idle_seconds": 0.2}
NAMES = ("ada", "grace", "alan", "edsger")


async def seen(roost: Roost) -> dict[str, Any]:
    """What `roost ps` shows."""
    command = (sys.executable, "-m", "roost", "ps", "--data", str(roost.data), "--json")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    shown: dict[str, Any] = json.loads(out)
    return shown


async def all_parked(roost: Roost) -> None:
    """Every socket is parked, and its room asleep."""
    async with asyncio.timeout(PATIENCE):
        while True:
            processes = (await seen(roost))["processes"]
            gateways = [one["gateway"] for one in processes if one["gateway"]]
            objects = [known for one in processes if one["host"] for known in one["host"]["objects"]]
            parked = sum(gateway["parked"] for gateway in gateways)
            if parked == len(NAMES) and {known["state"] for known in objects} <= {"hibernated"}:
                return


async def everybody_hears(clients: list[Client]) -> None:
    """Each says something, and all of them hear each of it."""
    for client in clients:
        await client.echo()
    heard = clients[-1].heard_seqs[-len(clients) :]
    for client in clients:
        await client.when(lambda c=client: c.heard_seqs[-len(heard) :] == heard, "what everybody said")


async def test_parked_sockets_notice_neither_sleep_nor_kill_nor_deploy(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, limits=LIMITS)) as roost, entered(roost, *NAMES) as clients:
        await everybody_hears(clients)
        await all_parked(roost)
        await everybody_hears(clients)

        await all_parked(roost)
        killed = await roost.kill("host 0")
        await killed.gone()
        await roost.says("host 0 was lost", 1)  # what is said from now on waits for the next
        await everybody_hears(clients)

        await all_parked(roost)
        before = await roost.process("host 0")
        roost.deploy()
        await roost.process("host 0", other_than=before)
        await before.gone()
        await everybody_hears(clients)

        await all_parked(roost)
        assert all(client.is_open for client in clients)
        await roost.stop()
        assert [await client.closed() for client in clients] == [1001] * len(clients)


async def test_parked_clients_of_a_gateway_that_is_killed_are_told_to_their_object(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, limits=LIMITS)) as roost, entered(roost, *NAMES) as clients:
        await everybody_hears(clients)
        await all_parked(roost)
        killed = await roost.kill("gateway 0")
        await killed.gone()
        for client in clients:
            assert await client.closed() == 1006
        await roost.process("gateway 0", other_than=killed)
        async with entered(roost, "later") as [later]:
            assert await later.echo() == len(clients) + 1
