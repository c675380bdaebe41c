"""kill -9 of a gateway: its clients are gone, and the objects hear so; everybody else goes on and loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .running import Process, Roost, chance, holder_of, running, until_async
from .talking import Client, Talker, enter

GATEWAYS = ("gateway 0", "gateway 1")
CONNECTIONS_MAX = 200
"""The kernel spreads connections by chance: so many all at one gateway would be no chance."""


def placed(roost: Roost, client: Client) -> str:
    """The gateway that holds the client."""
    holder: Process | None = holder_of(client.port, roost.processes())
    assert holder is not None, f"nobody holds {client.who}"
    return holder.title.removeprefix("roost: ")


async def some_at_each(roost: Roost, count: int, **query: Any) -> dict[str, list[Client]]:
    """So many clients at each gateway."""
    at: dict[str, list[Client]] = {name: [] for name in GATEWAYS}
    for number in range(CONNECTIONS_MAX):
        client = await enter(roost, f"c{number}", **query)
        chosen = at[placed(roost, client)]
        if len(chosen) < count:
            chosen.append(client)
        else:
            await client.close()
        if all(len(clients) == count for clients in at.values()):
            return at
    raise AssertionError(f"{CONNECTIONS_MAX} connections, and not {count} at each gateway: {at}")


async def test_clients_of_the_other_gateway_go_on_and_lose_nothing(tmp_path: Path) -> None:
    choice = chance()
    async with running(Roost(tmp_path, gateways=2)) as roost:
        at = await some_at_each(roost, 4)
        lost, kept = at["gateway 0"], at["gateway 1"]
        for client in lost + kept:
            await client.echo()
        for _ in range(choice.randrange(100)):
            await choice.choice(lost + kept).say()
        killed = await roost.kill("gateway 0")
        for _ in range(200):
            await choice.choice(kept).say()
        await killed.gone()
        for client in lost:
            assert await client.closed() == 1006
        for client in kept:
            await client.when(lambda c=client: len(c.acknowledged) == c.said, "everything coming back")
        last = await kept[0].echo()
        for client in kept:
            await client.when(lambda c=client: last in c.heard_seqs, "the last message")
        state = await roost.get("/room")
        for client in kept:
            client.check_order()
            first = client.heard_seqs[0]
            assert client.heard_seqs == list(range(first, state["count"] + 1)), "every one, whoever said it"
            assert client.is_open
            await client.close()
        for client in lost + kept:
            client.check_stored(state["said"])


async def test_the_object_hears_that_the_clients_are_lost(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, gateways=2)) as roost:
        at = await some_at_each(roost, 3)
        await roost.kill("gateway 0")

        async def told() -> dict[str, Any] | None:
            state = await roost.get("/room")
            return state if state["sockets"] == 3 and len(lost & state["closed"].keys()) == 3 else None

        lost = {client.who for client in at["gateway 0"]}
        state = await until_async(told, "three clients being given up")
        assert state is not None
        closed = state["closed"]
        assert {who: closed[who] for who in lost} == {who: [[1006, False]] for who in lost}
        assert not closed.keys() & {client.who for client in at["gateway 1"]}
        for client in at["gateway 1"]:
            await client.echo()
            await client.close()


async def test_the_gateway_comes_back_and_takes_clients_again(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, gateways=2)) as roost:
        for name in GATEWAYS:
            killed = await roost.kill(name)
            await roost.process(name, other_than=killed)
        at = await some_at_each(roost, 2)
        everybody = [client for clients in at.values() for client in clients]
        for client in everybody:
            await client.echo()
        for client in everybody:
            await client.when(lambda c=client: 4 in c.heard_seqs, "the last message")
            client.check_order()
            await client.close()
        await roost.stop()


async def test_a_client_that_connects_while_its_gateway_is_away_is_served_by_the_next(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        for number in range(3):
            killed = await roost.kill("gateway 0")
            await killed.gone()
            client = await enter(roost, f"c{number}")
            assert await client.echo() == number + 1
            await client.close()


async def test_nothing_acknowledged_is_lost_when_gateways_and_hosts_die_in_turn(tmp_path: Path) -> None:
    choice = chance()
    async with running(Roost(tmp_path, gateways=2, hosts=2)) as roost:
        talkers = [
            Talker(roost, f"t{n}", "/room", 4, codes=(1012, 1006), retries=True, name=f"room {n % 4}") for n in range(8)
        ]
        for name in choice.sample(["host 0", "host 1", *GATEWAYS], 4):
            await choice.choice(talkers).progress(choice.randrange(1, 60))
            killed = await roost.kill(name)
            await roost.process(name, other_than=killed)
        for talker in talkers:
            await talker.progress(10)
        for talker in talkers:
            await talker.finish()
        print(f"told to come again: {sum(talker.refusals for talker in talkers)} times")
        for number, talker in enumerate(talkers):
            said = (await roost.get("/room", name=f"room {number % 4}"))["said"]
            for life in talker.lives:
                life.check_order()
                life.check_stored(said)
                if life.code == 1000:
                    assert sorted(life.acknowledged) == list(range(1, life.said + 1))
        await roost.stop()
