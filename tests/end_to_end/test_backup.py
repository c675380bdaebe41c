"""Backups while everything is killed: what is led back is what the objects had committed, and nobody is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx

from roost.ids import IdSpace

from .running import APPS, PATIENCE, Roost, chance, running, until_async
from .talking import entered

COUNTERS = APPS / "counters.py"
SPACE = IdSpace("COUNTER", "COUNTER")
NAMES = [f"counter {number}" for number in range(12)]


class Counting:
    """Clients that count up objects, one request after the other, and remember what they were told."""

    def __init__(self, roost: Roost) -> None:
        self.acknowledged = dict.fromkeys(NAMES, 0)
        self.begun = dict.fromkeys(NAMES, 0)
        self._roost = roost
        self._stopping = asyncio.Event()
        self._tasks = [asyncio.create_task(self._count(name)) for name in NAMES]

    async def _count(self, name: str) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            while not self._stopping.is_set():
                self.begun[name] += 1
                # A request whose host is killed may have counted or not.
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.post(self._roost.url, params={"name": name})
                    if answer.status_code == 200:
                        self.acknowledged[name] = answer.json()["count"]
                await asyncio.sleep(0.01)

    async def progress(self, by: int = 5) -> None:
        """Wait until every object has counted on."""
        goal = {name: self.acknowledged[name] + by for name in NAMES}

        async def reached() -> bool:
            return all(self.acknowledged[name] >= goal[name] for name in NAMES)

        await until_async(reached, "progress of the counters")

    async def finish(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)


async def command(*arguments: object, kill_after: float | None = None) -> tuple[int, str, str]:
    """Run `roost` with these, as a person does; with `kill_after`, for so many seconds at most."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roost", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    telling = asyncio.create_task(process.communicate())
    if kill_after is not None:
        await asyncio.wait({telling}, timeout=kill_after)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    out, err = await telling
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def done(*arguments: object) -> str:
    status, out, err = await command(*arguments)
    assert status == 0, (arguments, err)
    return out


def led_back(data: Path) -> dict[str, int]:
    """What every counter holds, after checking that it is a state in which it once was."""
    found = {}
    for name in NAMES:
        key = SPACE.from_name(name).to_string()
        path = data / "objects" / "COUNTER" / key[:2] / f"{key}.sqlite"
        connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT n FROM counts ORDER BY n").fetchall()
        connection.close()
        assert rows == [(n,) for n in range(1, len(rows) + 1)], "counts have no holes"
        found[name] = len(rows)
    return found


async def test_a_backup_under_load_with_kills_holds_what_was_committed_when_it_began(tmp_path: Path) -> None:
    choice = chance()
    target = tmp_path / "target"
    limits = {"journal_segment_bytes": 512 * 1024, "checkpoint_bytes": 64 * 1024}
    async with running(Roost(tmp_path, COUNTERS, hosts=2, limits=limits)) as roost:
        data = roost.data
        counting = Counting(roost)
        for turn in range(2):
            await counting.progress()
            await command("backup", target, "--data", data, kill_after=choice.random() * 1.5)
            at_begin = dict(counting.acknowledged)
            backing_up = asyncio.create_task(done("backup", target, "--data", data, "--keep", 2))
            await asyncio.sleep(choice.random())
            host = await roost.kill(f"host {turn % 2}")
            await backing_up
            await host.gone()
            await done("restore-backup", target, "--data", tmp_path / f"restored {turn}")
            found = led_back(tmp_path / f"restored {turn}")
            assert all(at_begin[name] <= found[name] <= counting.begun[name] for name in NAMES), (at_begin, found)
        await counting.progress()
        await counting.finish()
        assert "is whole" in await done("backup", target, "--verify")
        await roost.stop()
    assert all(counting.acknowledged[name] > 15 for name in NAMES), "nobody was kept from working"


async def backup_of(roost: Roost) -> Any:
    """What `roost ps` tells of the continuous backup; None while its process is being replaced."""
    report = json.loads(await done("ps", "--data", roost.data, "--json"))
    return next(one["backup"] for one in report["processes"] if one["role"] == "backup")


def continuous(target: Path) -> dict[str, str]:
    return {"ROOST_BACKUP_TARGET": str(target), "ROOST_BACKUP_EVERY": "0.1", "ROOST_BACKUP_FULL_EVERY": "2"}


async def test_what_is_shipped_continuously_survives_kills_of_everything(tmp_path: Path) -> None:
    choice = chance()
    target = tmp_path / "target"
    limits = {"journal_segment_bytes": 512 * 1024, "checkpoint_bytes": 64 * 1024}
    async with running(Roost(tmp_path, COUNTERS, hosts=2, limits=limits, environ=continuous(target))) as roost:
        counting = Counting(roost)
        for turn in range(3):
            await counting.progress(choice.randrange(2, 12))
            victim = await roost.kill(choice.choice(["backup 0", f"host {turn % 2}"]))
            await victim.gone()
        roost.deploy()
        await counting.progress()

        before = dict(counting.acknowledged)
        since = asyncio.get_running_loop().time()

        async def up_to_date() -> bool:
            backup = await backup_of(roost)
            return bool(backup) and backup["behind_seconds"] < asyncio.get_running_loop().time() - since

        await until_async(up_to_date, "a shipment")
        supervisor = roost.supervisor
        for process in [supervisor, *roost.processes()]:
            process.kill()
        await roost.status()
        await counting.finish()
        await done("restore-backup", target, "--data", tmp_path / "restored")
        found = led_back(tmp_path / "restored")
        assert all(before[name] <= found[name] <= counting.begun[name] for name in NAMES), (before, found)
        # The directory is not lost: roost goes on with it, and so does its backup.
        await roost.start()
        again = Counting(roost)
        await again.progress()
        await again.finish()
        await roost.stop()
    await done("restore-backup", target, "--data", tmp_path / "last")
    assert led_back(tmp_path / "last") == again.acknowledged, "in order means that the last commit is shipped too"


async def test_a_target_that_cannot_be_written_harms_nothing_and_is_shown(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("no directory")
    async with running(Roost(tmp_path, COUNTERS, environ=continuous(target))) as roost:
        counting = Counting(roost)
        await counting.progress()
        await roost.says("cannot be used")
        assert "cannot be used" in (await backup_of(roost))["error"]
        target.unlink()
        await roost.says("is up to date again")
        await counting.progress()
        await counting.finish()
        await roost.stop()
    await done("restore-backup", target, "--data", tmp_path / "restored")
    assert led_back(tmp_path / "restored") == counting.acknowledged


async def test_sockets_notice_nothing_of_a_backup_nor_of_its_end(tmp_path: Path) -> None:
    async with (
        running(Roost(tmp_path, environ=continuous(tmp_path / "target"))) as roost,
        entered(roost, "ada", "grace") as (ada, grace),
    ):
        before = await ada.echo()
        await done("backup", tmp_path / "other", "--data", roost.data)
        victim = await roost.kill("backup 0")
        await victim.gone()
        await roost.process("backup 0", other_than=victim)
        assert await ada.echo() == before + 1
        assert await grace.echo() == before + 2
        await roost.stop()


async def test_export_and_import_while_it_serves(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, COUNTERS)) as roost:
        data = roost.data
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            for _ in range(3):
                await client.post(roost.url, params={"name": "a"})
            await client.post(roost.url, params={"name": "b"})
        await done("export", "COUNTER:a", tmp_path / "a.sqlite", "--data", data)
        status, _, err = await command("import", "COUNTER:b", tmp_path / "a.sqlite", "--data", data)
        assert status == 2
        assert "--replace" in err
        assert "COUNTER:b holds something already" in err
        status, _, err = await command("import", "COUNTRE:c", tmp_path / "a.sqlite", "--data", data)
        assert status == 2
        assert "no class bound as COUNTRE; its classes are bound as COUNTER" in err
        assert not list((data / "history" / "imported").iterdir())
        await done("import", "COUNTER:b", tmp_path / "a.sqlite", "--data", data, "--replace")
        assert await roost.get("/", name="b") == {"count": 3, "rows": 3}
        await done("import", "COUNTER:new", tmp_path / "a.sqlite", "--data", data)
        assert await roost.get("/", name="new") == {"count": 3, "rows": 3}
        assert await roost.get("/", name="a") == {"count": 3, "rows": 3}
        await roost.stop()
        await done("import", "COUNTER:offline", tmp_path / "a.sqlite", "--data", data)
        assert "4 objects" in await done("export", "--all", tmp_path / "all", "--data", data)
        await roost.start()
        assert await roost.get("/", name="offline") == {"count": 3, "rows": 3}
        assert await roost.get("/", name="b") == {"count": 3, "rows": 3}
        await roost.stop()
