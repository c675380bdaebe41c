"""One: however hosts are replaced, killed or frozen, no object ever lives twice at once.

Each object writes what it does into one file outside of roost (see apps/witness.py). Once a later life of an object has
written there, no earlier one may.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect

from .running import APPS, PATIENCE, Roost, chance, running, until, until_async

NAMES = [f"object-{number}" for number in range(8)]
LIMITS = {"idle_seconds": 0.05, "drain_seconds_max": 1.0}
"""They fall asleep between calls."""
LONG = 1_000
"""Beats, of 5 ms or more: they go on for longer than a drain waits."""


class Line(NamedTuple):
    """What a witness has written."""

    object: str
    life: str
    generation: int
    what: str


def make(directory: Path, hosts: int = 2) -> Roost:
    environ = {"WITNESS": str(directory / "witness")}
    return Roost(directory, APPS / "witness.py", hosts=hosts, gateways=2, limits=LIMITS, environ=environ)


def check_lives(directory: Path) -> dict[str, int]:
    """No object has lived twice at once; how many lives each has had."""
    lines = []
    for text in (directory / "witness").read_text().splitlines():
        key, life, generation, what = text.split()
        lines.append(Line(key, life, int(generation), what))
    lives: dict[str, list[Line]] = {}
    for line in lines:
        of_object = lives.setdefault(line.object, [])
        if line.what == "begin":
            assert not of_object or line.generation > of_object[-1].generation, (of_object[-1], line)
            of_object.append(line)
        assert of_object[-1].life == line.life, f"{line} although a later life had begun: {of_object[-1]}"
    return {key: len(of_object) for key, of_object in lives.items()}


class Caller:
    """Calls one object again and again, over one connection as long as that lasts."""

    def __init__(self, roost: Roost, name: str, allowed: Sequence[int], beats: int) -> None:
        self.name = name
        self._query = {"name": name, "beats": str(beats)}
        self.counts: list[int] = []
        self._roost, self._allowed = roost, allowed
        self._enough = False
        self._task = asyncio.create_task(self._call())

    async def progress(self, more: int) -> None:
        """Wait until so many more calls have been answered with 200."""
        target = len(self.counts) + more
        await until(lambda: len(self.counts) >= target or self._task.done(), f"answers of {self.name}")
        if self._task.done():
            self._task.result()

    async def finish(self) -> None:
        self._enough = True
        await asyncio.wait_for(self._task, PATIENCE)

    async def _call(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            while not self._enough:
                answer = await client.get(self._roost.url, params=self._query)
                assert answer.status_code in (200, *self._allowed), (answer.status_code, answer.text)
                if answer.status_code == 200:
                    self.counts.append(answer.json()["count"])

    def check(self) -> None:
        """What was answered had been stored: no count comes twice, later ones are higher."""
        assert self.counts == sorted(set(self.counts)), (self.name, self.counts)


@asynccontextmanager
async def calling(roost: Roost, allowed: Sequence[int] = (), beats: int = 4) -> AsyncIterator[list[Caller]]:
    """Calls to all objects within the block; answers other than 200 and `allowed` fail."""
    callers = [Caller(roost, name, allowed, beats) for name in NAMES]
    yield callers
    for caller in callers:
        await caller.progress(2)
    for caller in callers:
        await caller.finish()
    for caller in callers:
        caller.check()
        assert (await roost.get("/", name=caller.name))["count"] > caller.counts[-1]


def test_what_the_witnesses_wrote_is_judged(tmp_path: Path) -> None:
    written = tmp_path / "witness"
    written.write_text("x a 1 begin\nx a 1 beat\ny c 1 begin\nx b 2 begin\ny c 1 beat\nx b 2 step\n")
    assert check_lives(tmp_path) == {"x": 2, "y": 1}
    for wrong in ("x a 1 beat", "x d 2 begin", "x d 1 begin"):
        good = written.read_text()
        written.write_text(f"{good}{wrong}\n")
        with pytest.raises(AssertionError):
            check_lives(tmp_path)
        written.write_text(good)


async def test_objects_live_in_both_hosts_and_sleep_and_wake_under_calls(tmp_path: Path) -> None:
    async with running(make(tmp_path)) as roost:
        async with calling(roost):
            pass
        owners = {(await roost.get("/", name=name))["pid"] for name in NAMES}
        assert owners == {process.pid for process in roost.processes() if "host" in process.title}
        before = {name: (await roost.get("/", name=name))["generation"] for name in NAMES}

        async def all_have_slept() -> bool:
            await asyncio.sleep(2 * LIMITS["idle_seconds"])  # a call would keep them awake
            return all([(await roost.get("/", name=name))["generation"] > before[name] for name in NAMES])

        await until_async(all_have_slept, "another life of each")
        await roost.stop()
    assert min(check_lives(tmp_path).values()) >= 2


async def test_hosts_replaced_under_load_answer_every_call_and_no_object_lives_twice(tmp_path: Path) -> None:
    choice = chance()
    async with running(make(tmp_path)) as roost:
        async with calling(roost, beats=LONG) as callers:
            for round_ in range(1, 3):
                await choice.choice(callers).progress(choice.randrange(1, 20))
                roost.deploy()
                await roost.says("the new version of witness.py serves", round_)
        await roost.stop()
    assert min(check_lives(tmp_path).values()) >= 3


async def test_hosts_killed_under_load_are_fenced(tmp_path: Path) -> None:
    choice = chance()
    async with running(make(tmp_path)) as roost:
        async with calling(roost, allowed=(503,), beats=LONG) as callers:
            for name in ("host 0", "host 1", "host 0"):
                await choice.choice(callers).progress(choice.randrange(1, 20))
                killed = await roost.kill(name)
                await roost.process(name, other_than=killed)
        await roost.stop()
    assert min(check_lives(tmp_path).values()) >= 2


async def test_a_frozen_host_that_is_killed_or_replaced_never_writes_again(tmp_path: Path) -> None:
    async with running(make(tmp_path)) as roost:
        async with calling(roost, allowed=(503,), beats=LONG) as callers:
            await callers[0].progress(5)
            frozen = await roost.process("host 0")
            frozen.kill(signal.SIGSTOP)
            await until(lambda: _state(frozen.pid) == "T", "it being stopped")
            frozen.kill()
            second = await roost.process("host 0", other_than=frozen)
            for caller in callers:
                await caller.progress(2)
            second.kill(signal.SIGSTOP)
            roost.deploy()
            await roost.says("the new version of witness.py serves")
            assert not second.alive
            assert (await roost.process("host 0")).pid != second.pid
        await roost.stop()
    check_lives(tmp_path)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_another_number_of_hosts_finds_all_data_also_after_everything_was_killed(tmp_path: Path) -> None:
    counts = dict.fromkeys(NAMES, 0)
    roost = make(tmp_path)
    async with running(roost, start=False):
        for hosts, way in ((2, "kill"), (3, "stop"), (1, "kill"), (2, "stop")):
            roost.hosts = hosts
            await roost.start()
            for name in NAMES:
                counts[name] += 1
                assert (await roost.get("/", name=name))["count"] == counts[name]
            if way == "stop":
                await roost.stop()
            else:
                everything = [*roost.processes(), roost.supervisor]
                for process in everything:
                    process.kill()
                await roost.status()
                await roost.all_gone(everything)
    check_lives(tmp_path)


async def test_objects_in_different_hosts_call_each_other(tmp_path: Path) -> None:
    async with running(make(tmp_path)) as roost:
        here, there = await apart(roost)
        for _ in range(4):  # each by way of another gateway and entrypoint, as it comes
            answer = await roost.get("/", name=here, through=there)
            assert answer["pid"] != answer["passed_on_by"]
        killed = await roost.process("host 0")
        killed.kill()
        await roost.process("host 0", other_than=killed)
        answer = await roost.get("/", name=there, through=here)
        assert answer["pid"] != answer["passed_on_by"]
        await roost.stop()
    check_lives(tmp_path)


async def test_a_socket_that_an_object_passes_on_belongs_to_the_object_in_the_other_host(tmp_path: Path) -> None:
    async with running(make(tmp_path)) as roost:
        here, there = await apart(roost)
        owner = await roost.get("/", name=there)
        address = f"{roost.url.replace('http', 'ws', 1)}/?name={here}&through={there}"
        sockets = [await connect(address, ping_interval=None) for _ in range(4)]
        for number, socket in enumerate(sockets):
            assert await talk(socket, f"hello {number}") == owner["pid"]
        passer = next(p for p in roost.processes() if "host" in p.title and p.pid != owner["pid"])
        passer.kill()
        await passer.gone()
        for socket in sockets:  # the host that passed them on has no part in them
            assert await talk(socket, "still here") == owner["pid"]
            await socket.close()
        await roost.stop()
    check_lives(tmp_path)


async def apart(roost: Roost) -> tuple[str, str]:
    """Two objects in different hosts."""
    owners = {name: (await roost.get("/", name=name))["pid"] for name in NAMES}
    other = next(name for name in NAMES if owners[name] != owners[NAMES[0]])
    return NAMES[0], other


async def talk(socket: Any, text: str) -> int:
    """The process that answers."""
    await socket.send(text)
    answer = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
    assert answer["said"] == text
    return int(answer["pid"])
