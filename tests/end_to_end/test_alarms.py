"""Alarms ring at least once and never early, whatever dies, moves or is lost between the setting and the ringing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roost.storage.alarms.agenda_reader import NAME

from .running import APPS, PATIENCE, Roost, chance, running, until
from .test_full_disk import Disk, disk, shim

__all__ = ["disk", "shim"]

LIMITS = {"idle_seconds": 0.3, "alarm_retry_seconds": 0.05, "roll_seconds_max": 0.5}
MANY = 60


class Bells(Roost):
    """A roost of bells, and what they wrote down."""

    def __init__(self, directory: Path, **more: Any) -> None:
        environ = {"BELLS_WITNESS": str(directory / "witness"), **more.pop("environ", {})}
        limits = {**LIMITS, **more.pop("limits", {})}
        super().__init__(directory, more.pop("app", APPS / "bells.py"), limits=limits, environ=environ, **more)

    def seen(self) -> list[dict[str, Any]]:
        """Every run that began."""
        witness = self.directory / "witness"
        return [json.loads(line) for line in witness.read_text().splitlines()] if witness.exists() else []

    async def set_one(self, bell: str, in_ms: int) -> int:
        return int((await self.get("/set", bell=bell, **{"in": str(in_ms)}))["due"])

    async def set_many(self, count: int, in_ms: int, within_ms: int) -> list[int]:
        query = {"count": str(count), "in": str(in_ms), "within": str(within_ms)}
        return list(await self.get("/set_many", **query))

    async def rang(self, *bells: str) -> None:
        """Wait until each of them has begun to run an alarm."""
        await until(lambda: set(bells) <= self.ringing(), f"the alarms of {bells}", lambda: self.log)

    def ringing(self) -> set[str]:
        """Those that have begun to run an alarm."""
        return {one["bell"] for one in self.seen()}

    async def check(self, *bells: str) -> None:
        """Each has rung, not early, by one process at a time, and stands by it."""
        await self.rang(*bells)
        for one in self.seen():
            assert one["at"] >= one["due"], one
        for bell in bells:
            await until_rung(self, bell)

    def roost(self, *arguments: str) -> Any:
        """What a command says, as JSON."""
        return json.loads(self.command(*arguments, "--json"))

    def command(self, *arguments: str) -> bytes:
        """What a command says."""
        command = [sys.executable, "-m", "roost", *arguments, "--data", str(self.data)]
        ran = subprocess.run(command, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@asynccontextmanager
async def bells(directory: Path, **more: Any) -> AsyncIterator[Bells]:
    made = Bells(directory, **more)
    async with running(made):
        yield made


async def until_rung(roost: Bells, bell: str) -> None:
    """Wait until it stands by having rung for what was set last."""
    async with asyncio.timeout(PATIENCE):
        while True:
            told = await roost.get("/rung", bell=bell)
            if told["alarm"] is None and told["rung"] and told["rung"][-1] >= told["set"]:
                return
            await asyncio.sleep(0.02)


EMPTY = """
from roost import Response

async def fetch(request, env):
    return Response("empty")
"""


async def in_time(roost: Bells, act: Callable[[], Awaitable[None]]) -> dict[str, int]:
    """Set many alarms and do something before they are due; when each is. On a slow machine it takes a few attempts."""
    for seconds in (2, 8, 32):
        due = await roost.set_many(MANY, seconds * 1000, 0)
        await act()
        if time.time() * 1000 < min(due):
            return dict(zip(named(MANY), due, strict=True))
        if roost.ended:
            await roost.start()
        await roost.check(*named(MANY))  # what was too late rings before the next attempt, and not into it
        (roost.directory / "witness").unlink()
    raise AssertionError("it took longer than half a minute")


async def kill_everything(roost: Bells) -> None:
    everything = [*roost.processes(), roost.supervisor]
    for process in everything:
        process.kill()
    await roost.status()
    await roost.all_gone(everything)


def runs_of(roost: Bells, bell: str) -> int:
    return sum(one["bell"] == bell for one in roost.seen())


def named(count: int) -> list[str]:
    return [f"many {number}" for number in range(count)]


async def test_an_alarm_wakes_its_object_and_knows_its_name(tmp_path: Path) -> None:
    async with bells(tmp_path) as roost:
        for seconds in (1, 8, 32):  # on a slow machine it takes longer to look whether it sleeps
            due = await roost.set_one("a", seconds * 1000)
            await until(lambda: not awake(roost), "the object asleep")
            if time.time() * 1000 < due:
                break
            await roost.check("a")
            (roost.directory / "witness").unlink()
        assert roost.seen() == []
        await roost.check("a")
        assert Counter(one["bell"] for one in roost.seen()) == {"a": 1}
        await roost.stop()


def awake(roost: Bells) -> list[str]:
    hosts = [one["host"] for one in roost.roost("ps")["processes"] if one["host"]]
    return [one["name"] for host in hosts for one in host["objects"]]


async def test_alarms_survive_a_host_that_is_killed_before_they_are_due(tmp_path: Path) -> None:
    async with bells(tmp_path) as roost:
        await roost.set_many(MANY, 1_500, 500)
        host = await roost.kill("host 0")
        await roost.process("host 0", other_than=host)
        await roost.check(*named(MANY))
        await roost.stop()


async def test_alarms_that_were_due_while_nothing_ran_ring_at_the_start(tmp_path: Path) -> None:
    async with bells(tmp_path) as roost:
        due = await in_time(roost, lambda: kill_everything(roost))
        await asyncio.sleep(max(min(due.values()) / 1000 - time.time(), 0))
        assert roost.seen() == []
        await roost.start()
        await roost.check(*named(MANY))
        await roost.stop()


async def test_alarms_survive_a_stop_in_order(tmp_path: Path) -> None:
    async with bells(tmp_path) as roost:
        due = await in_time(roost, roost.stop)
        listed = roost.roost("alarms", "--next", "1000")
        assert {one["name"]: one["due"] for one in listed["next"]} == due
        await roost.start()
        await roost.check(*named(MANY))
        assert Counter(one["bell"] for one in roost.seen()) == dict.fromkeys(named(MANY), 1)
        await roost.stop()


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2)])
@pytest.mark.parametrize("kill", [False, True])
async def test_alarms_go_with_their_objects_to_other_hosts(tmp_path: Path, before: int, after: int, kill: bool) -> None:
    async with bells(tmp_path, hosts=before) as roost:
        await in_time(roost, (lambda: kill_everything(roost)) if kill else roost.stop)
        roost.hosts = after
        await roost.start()
        await roost.check(*named(MANY))
        for bell in named(MANY):
            runs = [one for one in roost.seen() if one["bell"] == bell]
            assert runs[-1]["pid"] == (await roost.get("/rung", bell=bell))["pid"], "its own host has rung it"
        assert len({one["pid"] for one in roost.seen()}) >= after
        await roost.stop()


def lose(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    path.write_bytes(b"\xa5" * path.stat().st_size)


@pytest.mark.parametrize("harm", [lose, spoil])
async def test_alarms_survive_the_loss_of_the_agenda(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async with bells(tmp_path, hosts=2) as roost:
        await in_time(roost, roost.stop)
        for host in ("0", "1"):
            harm(roost.data / "hosts" / host / NAME)
        await roost.start()
        await roost.says("was made anew", times=2)
        await roost.check(*named(MANY))
        await roost.stop()


async def kill(roost: Bells) -> None:
    host = await roost.kill("host 0")
    await roost.process("host 0", other_than=host)


async def deploy(roost: Bells) -> None:
    host = await roost.process("host 0")
    roost.deploy()
    await roost.process("host 0", other_than=host)


@pytest.mark.parametrize("disturb", [kill, deploy], ids=lambda one: str(one.__name__))
async def test_every_alarm_of_a_storm_rings_while_hosts_come_and_go(
    tmp_path: Path, disturb: Callable[[Bells], Awaitable[None]]
) -> None:
    choice = chance()
    async with bells(tmp_path) as roost:
        await roost.set_many(200, 500, 3_000)
        for _ in range(3):
            await asyncio.sleep(choice.random() * 0.8)
            await disturb(roost)
        await roost.check(*named(200))
        await roost.stop()


async def test_objects_that_never_end_their_alarm_block_nobody_and_those_that_fail_are_listed(tmp_path: Path) -> None:
    limits = {"alarms_ringing_max": 4, "drain_seconds_max": 2.0}
    async with bells(tmp_path, limits=limits) as roost:
        for number in range(3):
            await roost.set_one(f"hangs {number}", 50)
        await roost.set_one("fails", 100)
        await roost.set_one("good", 200)
        await roost.check("good")
        await roost.rang("hangs 0", "hangs 1", "hangs 2")
        await until(lambda: runs_of(roost, "fails") == 7, "all retries", lambda: roost.log)
        await until(lambda: bool(roost.roost("alarms")["failed"]), "the failed alarm in the list")
        (failed,) = roost.roost("alarms")["failed"]
        assert (failed["name"], failed["key"], failed["error"]) == ("fails", None, "ValueError: it is cracked")
        assert (await roost.get("/rung", bell="fails"))["alarm"] is None
        (tmp_path / "witness.mended").touch()
        assert roost.command("alarms", "--retry", "BELL:fails") == b"the alarm rings again\n"
        await roost.check("fails")
        await until(lambda: not roost.roost("alarms")["failed"], "the end of the list")
        await roost.stop()


async def test_a_full_disk_loses_no_alarm(tmp_path: Path, shim: Path, disk: Disk) -> None:
    environ = {
        "LD_PRELOAD": str(shim),
        "FULL_DISK_FLAG": str(tmp_path / "the disk is full"),
        "FULL_DISK_DIRECTORY": str(tmp_path / "data"),
    }
    limits = {"journal_segment_bytes": 256 * 1024, "checkpoint_bytes": 64 * 1024}
    async with bells(tmp_path, environ=environ, limits=limits) as roost:
        await roost.set_many(MANY, 1_500, 500)
        disk.fill()
        await roost.rang("many 0")
        await asyncio.sleep(1.5)
        disk.free()
        await roost.check(*named(MANY))
        host = await roost.kill("host 0")
        await roost.process("host 0", other_than=host)
        await roost.check(*named(MANY))
        await roost.stop()


async def test_alarms_of_a_class_that_is_gone_wait_until_it_is_back(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text((APPS / "bells.py").read_text())
    async with bells(tmp_path, app=app) as roost:
        await in_time(roost, roost.stop)
        app.write_text(EMPTY)
        await roost.start()
        await roost.says(f"{MANY} objects of BELL have alarms, and this app has no such class")
        assert roost.seen() == []
        app.write_text((APPS / "bells.py").read_text())
        await deploy(roost)
        await roost.check(*named(MANY))
        await roost.stop()
