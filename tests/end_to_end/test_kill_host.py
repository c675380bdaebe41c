"""kill -9 of a host, in the middle of everything: what was acknowledged is stored, and open sockets notice nothing."""

from __future__ import annotations

from pathlib import Path

from .running import Roost, chance, running, until
from .talking import Client, Talker, enter, entered

ROUNDS = 4
PATHS = ("/room", "/active")


async def killed(roost: Roost, name: str = "host 0") -> None:
    """Kill it, and wait for the next one."""
    process = await roost.kill(name)
    await process.gone()
    await roost.process(name, other_than=process)


async def noticed(roost: Roost, times: int = 1) -> None:
    """The gateway has noticed that the host is gone; what clients say from now on waits for the next."""
    await roost.says("host 0 was lost", times)


async def test_everything_acknowledged_is_stored_and_nothing_comes_twice_or_out_of_order(tmp_path: Path) -> None:
    choice = chance()
    async with running(Roost(tmp_path)) as roost:
        talkers = [Talker(roost, f"t{n}", PATHS[n % 2], window=choice.choice((1, 4, 16))) for n in range(8)]
        for _ in range(ROUNDS):
            await choice.choice(talkers).progress(choice.randrange(1, 60))
            await killed(roost)
        for talker in talkers:
            await talker.progress(10)
        for talker in talkers:
            await talker.finish()
        said = {path: (await roost.get(path))["said"] for path in PATHS}
        await roost.stop()
    for talker in talkers:
        for life in talker.lives:
            life.check_order()
            life.check_stored(said[talker.path])
            if life.code == 1000:  # it stayed open: everything that it said was heard
                assert sorted(life.acknowledged) == list(range(1, life.said + 1))
    assert sum(len(talker.lives) for talker in talkers) > len(talkers), "somebody was hit"


async def test_only_the_socket_with_an_unfinished_message_closes(tmp_path: Path) -> None:
    async with (
        running(Roost(tmp_path)) as roost,
        entered(roost, "ada", "grace", "alan") as (ada, grace, alan),
    ):
        before = await grace.echo()
        await ada.send({"do": "hang"})
        for client in (ada, grace, alan):
            await client.when(lambda c=client: c.answers, "the message that hangs")
        await killed(roost)
        assert await ada.closed() == 1012
        assert await grace.echo() == before + 1
        assert await alan.echo() == before + 2
        await grace.echo()
        await alan.when(lambda: len(alan.heard_seqs) == 4, "all that was said")
        assert alan.heard_seqs == grace.heard_seqs == [before, before + 1, before + 2, before + 3]
        assert grace.is_open
        assert alan.is_open


async def test_the_first_message_afterwards_finds_a_new_host_and_what_was_stored(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost, entered(roost, "ada", "grace") as (ada, grace):
        for _ in range(10):
            await ada.echo()
        pid = (await ada.ask("about"))["pid"]
        await roost.kill("host 0")
        await noticed(roost)
        assert await grace.echo() == 11
        assert (await grace.ask("about"))["pid"] != pid
        assert (await roost.get("/room"))["said"] == {f"ada/{n:06}": n for n in range(1, 11)} | {"grace/000001": 11}


async def test_messages_of_the_time_without_a_host_all_arrive_in_order(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost, entered(roost, "ada", "grace") as (ada, grace):
        await ada.echo()
        for round_ in (1, 2):
            await roost.kill("host 0")
            await noticed(roost, round_)
            for _ in range(50):
                await ada.say()
            await ada.when(lambda: len(ada.acknowledged) == ada.said, "everything coming back")
        await grace.when(lambda: len(grace.heard_seqs) == 101, "everything being passed on")
        assert grace.heard_seqs == ada.heard_seqs == list(range(1, 102))


async def test_active_sockets_close_with_1012_and_the_next_activation_has_the_data(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        async with (
            entered(roost, "ada", "grace", path="/active") as (ada, grace),
            entered(roost, "alan") as (hibernating,),
        ):
            await ada.echo()
            await roost.kill("host 0")
            assert await ada.closed() == 1012
            assert await grace.closed() == 1012
            assert await hibernating.echo() == 1
            assert hibernating.is_open
        async with entered(roost, "ada again", path="/active") as (again,):
            assert await again.echo() == 2
        await until_empty(roost, "/active")


async def until_empty(roost: Roost, path: str) -> None:
    for _ in range(1000):
        if (await roost.get(path))["sockets"] == 0:
            return
    raise AssertionError("sockets that nobody holds are still listed")


async def test_attachments_tags_and_automatic_answers_survive(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        ada = await enter(roost, "ada", tag=["red", "round"], pair="pong")
        grace = await enter(roost, "grace", tag=["red"])
        await ada.ask("attach", value={"place": [1, 2.5, None], "name": "Ada"})
        await ping(ada, 1)
        before = await ada.ask("about")
        assert before["answered"] is not None
        await killed(roost)
        await killed(roost)  # perhaps before it has heard of anybody
        after = await ada.ask("about")
        assert after.pop("pid") != before.pop("pid")
        assert after == before
        assert after["attachment"] == {"place": [1, 2.5, None], "name": "Ada"}
        assert after["tagged"] == {"red": 2, "round": 1}
        other = await grace.ask("about")
        assert (other["attachment"], other["answered"]) == ({"who": "grace"}, None)
        await ada.send({"do": "tell", "tag": "round", "what": "only the round"})
        await ada.when(lambda: {"told": "only the round"} in ada.heard, "the broadcast to a tag")
        await grace.echo()
        assert {"told": "only the round"} not in grace.heard
        await ada.close()
        await grace.close()


async def test_automatic_answers_go_on_while_there_is_no_host(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost, entered(roost, "ada", pair="pong") as (ada,):
        await ping(ada, 1)
        before = (await ada.ask("about"))["answered"]
        await roost.kill("host 0")
        await noticed(roost)
        await ping(ada, 2)
        assert (await ada.ask("about"))["answered"] > before


async def ping(client: Client, times: int) -> None:
    await client.send("ping")
    await client.when(lambda: client.texts == ["pong"] * times, "the automatic answer")


async def test_a_host_that_dies_again_and_again_is_started_again(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost, entered(roost, "ada") as (ada,):
        for round_ in range(1, 4):
            await roost.kill("host 0")
            await noticed(roost, round_)
            assert await ada.echo() == round_
        await until(lambda: roost.err.count("was killed by SIGKILL; starting another") == 3, "three deaths being told")
