"""Alarms ring at least once and never early, whatever dies, moves or is lost between the setting and the ringing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roost.storage.agenda_reader import NAME

from .running import APPS, Roost, chance, running, until
from .test_full_disk import Disk, disk, shim

__all__ = ["disk", "shim"]

LIMITS = {"idle_seconds": 0.3, "alarm_retry_seconds": 0.05, "roll_seconds_max": 0.5}
MANY = 60


class Bells(Roost):
    """A roost of bells, and what they wrote down."""

    def __init__(self, directory: Path, **more: Any) -> None:
        environ = {"BELLS_WITNESS": str(directory / "witness"), **more.pop("environ", {})}
        limits = {**LIMITS, **more.pop("limits", {})}
        super().__init__(directory, APPS / "bells.py", limits=limits, environ=environ, **more)

    def seen(self) -> list[dict[str, Any]]:
        """Every run that began."""
        witness = self.directory / "witness"
        return [json.loads(line) for line in witness.read_text().splitlines()] if witness.exists() else []

    async def set(self, bell: str, in_ms: int) -> int:
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
        command = [sys.executable, "-m", "roost", *arguments, "--data", str(self.data), "--json"]
        ran = subprocess.run(command, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


async def until_rung(roost: Bells, bell: str) -> None:
    async with asyncio.timeout(60):
        while True:
            told = await roost.get("/rung", bell=bell)
            if told["rung"] and told["alarm"] is None:
                return
            await asyncio.sleep(0.02)


def runs_of(roost: Bells, bell: str) -> int:
    return sum(one["bell"] == bell for one in roost.seen())


def named(count: int) -> list[str]:
    return [f"many {number}" for number in range(count)]


async def test_an_alarm_wakes_its_object_and_knows_its_name(tmp_path: Path) -> None:
    async with running(Bells(tmp_path)) as roost:
        await roost.set("a", 1_200)
        await until(lambda: not awake(roost), "the object asleep")
        assert roost.seen() == []
        await roost.check("a")
        assert Counter(one["bell"] for one in roost.seen()) == {"a": 1}
        await roost.stop()


def awake(roost: Bells) -> list[str]:
    hosts = [one["host"] for one in roost.roost("ps")["processes"] if one["host"]]
    return [one["name"] for host in hosts for one in host["objects"]]


async def test_alarms_survive_a_host_that_is_killed_before_they_are_due(tmp_path: Path) -> None:
    async with running(Bells(tmp_path)) as roost:
        await roost.set_many(MANY, 1_500, 500)
        host = await roost.kill("host 0")
        await roost.process("host 0", other_than=host)
        await roost.check(*named(MANY))
        await roost.stop()


async def test_alarms_that_were_due_while_nothing_ran_ring_at_the_start(tmp_path: Path) -> None:
    async with running(Bells(tmp_path)) as roost:
        await roost.set_many(MANY, 400, 0)
        everything = [*roost.processes(), roost.supervisor]
        for process in everything:
            process.kill()
        await roost.status()
        await roost.all_gone(everything)
        before = len(roost.seen())
        await asyncio.sleep(0.5)  # the alarms are due now, and nobody is there
        assert len(roost.seen()) == before
        await roost.start()
        await roost.check(*named(MANY))
        await roost.stop()


async def test_alarms_survive_a_stop_in_order(tmp_path: Path) -> None:
    async with running(Bells(tmp_path)) as roost:
        due = await roost.set_many(MANY, 4_000, 0)
        await roost.stop()
        listed = roost.roost("alarms", "--next", "1000")
        assert {one["name"]: one["due"] for one in listed["next"]} == dict(zip(named(MANY), due, strict=True))
        await roost.start()
        await roost.check(*named(MANY))
        assert Counter(one["bell"] for one in roost.seen()) == dict.fromkeys(named(MANY), 1)
        await roost.stop()


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2)])
@pytest.mark.parametrize("kill", [False, True])
async def test_alarms_go_with_their_objects_to_other_hosts(tmp_path: Path, before: int, after: int, kill: bool) -> None:
    async with running(Bells(tmp_path, hosts=before)) as roost:
        await roost.set_many(MANY, 3_000, 0)
        if kill:
            everything = [*roost.processes(), roost.supervisor]
            for process in everything:
                process.kill()
            await roost.status()
            await roost.all_gone(everything)
        else:
            await roost.stop()
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
    async with running(Bells(tmp_path, hosts=2)) as roost:
        await roost.set_many(MANY, 3_000, 0)
        await roost.stop()
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
    async with running(Bells(tmp_path)) as roost:
        await roost.set_many(200, 500, 3_000)
        for _ in range(3):
            await asyncio.sleep(choice.random() * 0.8)
            await disturb(roost)
        await roost.check(*named(200))
        await roost.stop()


async def test_objects_that_never_end_their_alarm_block_nobody_and_those_that_fail_are_listed(tmp_path: Path) -> None:
    limits = {"alarms_ringing_max": 4, "drain_seconds_max": 2.0}
    async with running(Bells(tmp_path, limits=limits)) as roost:
        for number in range(3):
            await roost.set(f"hangs {number}", 50)
        await roost.set("fails", 100)
        await roost.set("good", 200)
        await roost.check("good")
        await roost.rang("hangs 0", "hangs 1", "hangs 2")
        await until(lambda: runs_of(roost, "fails") == 7, "all retries", lambda: roost.log)
        await until(lambda: bool(roost.roost("alarms")["failed"]), "the failed alarm in the list")
        (failed,) = roost.roost("alarms")["failed"]
        assert (failed["name"], failed["key"], failed["error"]) == ("fails", None, "ValueError: it is cracked")
        assert (await roost.get("/rung", bell="fails"))["alarm"] is None
        await roost.stop()


async def test_a_full_disk_loses_no_alarm(tmp_path: Path, shim: Path, disk: Disk) -> None:
    environ = {
        "LD_PRELOAD": str(shim),
        "FULL_DISK_FLAG": str(tmp_path / "the disk is full"),
        "FULL_DISK_DIRECTORY": str(tmp_path / "data"),
    }
    limits = {"journal_segment_bytes": 256 * 1024, "checkpoint_bytes": 64 * 1024}
    async with running(Bells(tmp_path, environ=environ, limits=limits)) as roost:
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
    roost = Bells(tmp_path)
    roost.app = app
    async with running(roost):
        await roost.set_many(3, 1_000, 0)
        app.write_text("from roost import Response\nasync def fetch(request, env):\n    return Response('empty')\n")
        await deploy(roost)
        await roost.says("3 objects of BELL have alarms, and this app has no such class")
        assert roost.seen() == []
        app.write_text((APPS / "bells.py").read_text())
        await deploy(roost)
        await roost.check(*named(3))
        await roost.stop()
