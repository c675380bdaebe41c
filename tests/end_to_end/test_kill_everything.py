"""Every process killed at random moments, in whatever order: what was acknowledged is there at the next start."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from .running import Roost, chance, running, until
from .talking import Client, ClosedError, enter, entered

ROUNDS = 3
PATHS = ("/room", "/active")


async def all_at_once(roost: Roost, choice: random.Random) -> None:
    everything = [*roost.processes(), roost.supervisor]
    choice.shuffle(everything)
    for process in everything:
        process.kill()
    await roost.status()
    await roost.all_gone(everything)


async def hosts_first(roost: Roost, choice: random.Random) -> None:
    """The supervisor may be starting others already."""
    for number in range(roost.hosts):
        (await roost.process(f"host {number}")).kill()
    await asyncio.sleep(choice.random() / 2)
    await all_at_once(roost, choice)


async def supervisor_alone(roost: Roost, choice: random.Random) -> None:
    """The others must end by themselves; the next start does not wait for us to see that."""
    roost.supervisor.kill()
    await roost.status()


WAYS: list[Callable[[Roost, random.Random], Awaitable[None]]] = [all_at_once, hosts_first, supervisor_alone]


async def talk(client: Client, window: int) -> None:
    """Until the connection ends."""
    with suppress(ConnectionClosed, ClosedError):
        while True:
            number = await client.say()
            await client.when(lambda n=number: n - len(client.acknowledged) < window, "being heard")
    await client.closed()


async def some_traffic(clients: list[Client], enough: int) -> None:
    await until(lambda: sum(len(client.acknowledged) for client in clients) >= enough, "some traffic")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
async def test_everything_acknowledged_is_there_at_the_next_start(
    tmp_path: Path, way: Callable[[Roost, random.Random], Awaitable[None]]
) -> None:
    choice = chance()
    roost = Roost(tmp_path, hosts=2, gateways=2)
    clients: dict[str, list[Client]] = {path: [] for path in PATHS}
    async with running(roost, start=False):
        for round_ in range(ROUNDS):
            await roost.start()
            present = [(path, await enter(roost, f"c{round_}.{n}", path)) for n in range(4) for path in PATHS]
            talking = [asyncio.create_task(talk(client, choice.choice((1, 8)))) for _, client in present]
            await some_traffic([client for _, client in present], choice.randrange(1, 200))
            processes = roost.processes()
            await way(roost, choice)
            await asyncio.gather(*talking)
            await roost.all_gone(processes)
            for path, client in present:
                clients[path].append(client)
        await roost.start()
        for path in PATHS:
            state = await roost.get(path)
            for client in clients[path]:
                client.check_order()
                client.check_stored(state["said"])
            assert sorted(state["said"].values()) == list(range(1, state["count"] + 1)), "each has its own number"
            async with entered(roost, "late", path=path) as (late,):
                assert await late.echo() == state["count"] + 1
        await roost.stop()


async def test_the_next_start_may_come_at_once_and_have_the_same_port(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        client = await enter(roost, "ada")
        last = await client.echo()
        for _ in range(2):
            left = roost.processes()
            roost.supervisor.kill()
            await roost.status()
            await roost.start()
            await roost.all_gone(left)
            assert await client.closed() == 1001
            client = await enter(roost, "ada")
            assert await client.echo() == last + 1
            last += 1
        await client.close()
        await roost.stop()
