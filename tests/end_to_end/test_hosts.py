"""Several hosts: objects are spread over them, and none ever runs twice at once."""

from __future__ import annotations

import asyncio
import random
import signal
import urllib.error
from pathlib import Path
from typing import Any

from tests.end_to_end.roosts import APPS, Roost, roost

LEDGER = APPS / "ledger.py"
NAMES = [f"object {number}".replace(" ", "-") for number in range(12)]


class Caller:
    """Calls one object again and again, one call after the other."""

    def __init__(self, running: Roost, name: str) -> None:
        self.running = running
        self.name = name
        self.answers: list[dict[str, int]] = []

    async def call(self) -> dict[str, int]:
        answer: dict[str, int] = await self.running.get(f"/?name={self.name}")
        self.answers.append(answer)
        return answer

    async def call_until(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self.call()

    def check(self) -> None:
        """Each generation is one process's, later generations come later, and no count is given twice or lost."""
        owner: dict[int, int] = {}
        for answer in self.answers:
            assert owner.setdefault(answer["generation"], answer["pid"]) == answer["pid"]
        generations = [answer["generation"] for answer in self.answers]
        assert generations == sorted(generations)
        counts = [answer["count"] for answer in self.answers]
        assert counts == list(range(counts[0], counts[0] + len(counts)))


async def test_objects_are_spread_over_the_hosts_and_found_from_every_gateway(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data", "--hosts", 2, "--gateways", 2) as running:
        callers = [Caller(running, name) for name in NAMES]
        for caller in callers:
            for _ in range(4):  # a connection each, so that both gateways and both entrypoints take part
                await caller.call()
            caller.check()
        owners = {caller.answers[0]["pid"] for caller in callers}
        assert owners == set(running.children("host").values())


async def test_no_object_runs_twice_while_its_host_is_replaced_or_killed_under_load(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with roost(LEDGER, tmp_path / "data", "--hosts", 2, "--gateways", 2) as running:
        callers = [Caller(running, name) for name in NAMES[:6]]
        enough = asyncio.Event()
        calling = [asyncio.create_task(tolerate(caller, enough)) for caller in callers]
        for turn in range(3):
            running.process.send_signal(signal.SIGHUP)
            await running.errors.until("the new version of ledger.py serves", count=turn + 1)
        for _ in range(2):
            name = f"host {chance.randrange(2)}"
            await running.replaced(name, running.kill(name))
        enough.set()
        await asyncio.gather(*calling)
        for caller in callers:
            owners: dict[int, int] = {}
            for answer in caller.answers:
                assert owners.setdefault(answer["generation"], answer["pid"]) == answer["pid"]
            order = [(answer["generation"], answer["count"]) for answer in caller.answers]
            assert order == sorted(order)
            assert len({count for _, count in order}) == len(order)
            assert order[-1][0] >= 3


async def tolerate(caller: Caller, enough: asyncio.Event) -> None:
    """A request that was in the host's hands when it was killed is answered with 503; it may have been done."""
    while not enough.is_set():
        try:
            await caller.call()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 503:
                raise


async def test_another_number_of_hosts_finds_everything(tmp_path: Path) -> None:
    told: dict[str, Any] = {}
    for hosts in (3, 1, 2):
        async with roost(LEDGER, tmp_path / "data", "--hosts", hosts) as running:
            for name in NAMES:
                answer = await running.get(f"/?name={name}")
                assert answer["count"] == told.get(name, 0) + 1
                told[name] = answer["count"]
            await running.kill_everything()
