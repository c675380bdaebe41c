"""New versions of the app, one after the other, while clients talk and call without a pause: nobody notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from .running import PATIENCE, ROOMS, Roost, chance, running, until
from .talking import Talker, enter, entered

VERSIONS = 2
LIMITS = {"drain_seconds_max": 5.0}


def save(app: Path, version: int) -> None:
    source = ROOMS.read_text()
    app.write_text(source.replace('{"pid": os.getpid()}', f'{{"version": {version}}}'))


class Asking:
    """Which version answers, again and again, over one connection and over new ones."""

    def __init__(self, roost: Roost) -> None:
        self.versions: list[int] = []
        self._roost = roost
        self._enough = False
        self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as kept:
            while not self._enough:
                for answer in (await kept.get(self._roost.url), await self._roost.answer("/")):
                    assert answer.status_code == 200, (answer.status_code, answer.text)
                    self.versions.append(answer.json()["version"])

    async def finish(self, version: int) -> None:
        """Once that version has answered."""
        await until(lambda: version in self.versions or self._task.done(), f"an answer of version {version}")
        self._enough = True
        await asyncio.wait_for(self._task, PATIENCE)


@pytest.mark.parametrize("verb", ["dev", "run"])
async def test_every_request_is_answered_and_no_socket_closes_while_the_app_is_replaced(
    tmp_path: Path, verb: str
) -> None:
    choice = chance()
    app = tmp_path / "app" / "rooms.py"
    app.parent.mkdir()
    save(app, 0)
    hosts = 1 if verb == "dev" else 2
    async with running(Roost(tmp_path, app, verb=verb, hosts=hosts, gateways=hosts, limits=LIMITS)) as roost:
        talkers = [Talker(roost, f"t{n}", "/room", choice.choice((1, 8)), codes=()) for n in range(4)]
        asking = Asking(roost)
        async with entered(roost, "idle", tag=["quiet"]) as (idle,):
            for version in range(1, VERSIONS + 1):
                for talker in talkers:
                    await talker.progress(choice.randrange(1, 20))
                save(app, version)
                if verb == "run":
                    roost.deploy()
                await roost.says("the new version of rooms.py serves", version)
            await asking.finish(VERSIONS)
            for talker in talkers:
                await talker.progress(5)
            for talker in talkers:
                await talker.finish()
            state = await roost.get("/room")
            await idle.when(lambda: idle.heard_seqs[-1:] == [state["count"]], "all that was said")
            assert idle.heard_seqs == list(range(idle.heard_seqs[0], state["count"] + 1))
            assert (await idle.ask("about"))["tags"] == ["quiet"]
        for talker in talkers:
            (life,) = talker.lives
            life.check_order()
            life.check_stored(state["said"])
            assert sorted(life.acknowledged) == list(range(1, life.said + 1))
        assert set(asking.versions) == set(range(VERSIONS + 1))
        if hosts == 1:
            assert asking.versions == sorted(asking.versions), "an old version answers no more once a new one has"
        await roost.stop()


async def test_active_sockets_close_with_1012_at_a_reload_and_come_back_to_the_new_version(tmp_path: Path) -> None:
    app = tmp_path / "app" / "rooms.py"
    app.parent.mkdir()
    save(app, 0)
    async with running(Roost(tmp_path, app, verb="dev", limits=LIMITS)) as roost:
        ada = await enter(roost, "ada", "/active")
        assert await ada.echo() == 1
        save(app, 1)
        assert await ada.closed() == 1012
        async with entered(roost, "ada", path="/active") as (again,):
            assert await again.echo() == 2
        assert (await roost.get("/"))["version"] == 1
        await roost.stop()
