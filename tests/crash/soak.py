"""Run a roost for a long time, with everything that happens to it: `python -m tests.crash.soak --minutes 60`.

Rounds of the storm, and between and during them: kills, deploys, stops and starts with another number of processes, a
host that is stopped with SIGSTOP for a while, a disk that fills. The last word is that nothing was lost, and what the
processes hold: descriptors and memory that grow with time are leaks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.end_to_end.running import Roost, chance, resident_bytes, running

from .__main__ import start_over
from .storm import APP, SMALL, Storm

Happening = Callable[["Soak"], Awaitable[None]]


class Soak:
    """A roost, its storm, and what happens to it."""

    def __init__(self, roost: Roost, storm: Storm) -> None:
        self.roost = roost
        self.storm = storm
        self.happened: dict[str, int] = {}

    async def round(self) -> None:
        """One round of the storm, with something that happens in the middle of it."""
        name = self.storm.choice.choice(list(HAPPENINGS))
        self.happened[name] = self.happened.get(name, 0) + 1
        happening = HAPPENINGS[name]
        during = name not in BETWEEN
        kills = self.storm.choice.choice((0, 0, 1, 2))
        await asyncio.gather(
            self.storm.round(30, kills, ("host 0", "gateway 0")), *([self._soon(happening)] if during else [])
        )
        if not during:
            await happening(self)

    async def _soon(self, happening: Happening) -> None:
        await asyncio.sleep(self.storm.choice.random())
        await happening(self)

    async def deploy(self) -> None:
        self.roost.deploy()

    async def freeze_a_host(self) -> None:
        """For less than the silence that gets it killed."""
        process = self.roost.find("host 0")
        if process is not None:
            process.kill(signal.SIGSTOP)
            await asyncio.sleep(self.storm.choice.random() * 2)
            process.kill(signal.SIGCONT)

    async def sleep(self) -> None:
        await asyncio.sleep(1)  # longer than it takes objects to hibernate

    async def restart(self) -> None:
        """With another number of hosts and gateways."""
        await self.roost.stop()
        self.roost.hosts = self.storm.choice.choice((1, 2, 3))
        self.roost.gateways = self.storm.choice.choice((1, 2))
        await self.roost.start()

    async def kill_everything(self) -> None:
        await start_over(self.roost, self.storm)

    def held(self) -> str:
        """What the processes hold."""
        return ", ".join(
            f"{process.title.removeprefix('roost: ')} {resident_bytes(process.pid) // 1_048_576} MiB "
            f"{len(os.listdir(f'/proc/{process.pid}/fd'))} files"
            for process in self.roost.processes()
        )


HAPPENINGS: dict[str, Happening] = {
    "deploy": Soak.deploy,
    "freeze": Soak.freeze_a_host,
    "sleep": Soak.sleep,
    "restart": Soak.restart,
    "kill everything": Soak.kill_everything,
}
BETWEEN = ("sleep", "restart", "kill everything")


async def main(minutes: float) -> None:
    with tempfile.TemporaryDirectory(prefix="roost-soak-") as directory:
        roost = Roost(Path(directory), APP, hosts=2, limits=SMALL)
        async with running(roost):
            soak = Soak(roost, Storm(roost, chance()))
            rounds, end = 0, time.monotonic() + minutes * 60
            while time.monotonic() < end:
                rounds += 1
                await soak.round()
                if rounds % 10 == 0:
                    answered = sum(history.answered for history in soak.storm.histories.values())
                    print(f"{rounds} rounds, {soak.storm.kills} kills, {answered} answered; {soak.held()}", flush=True)
            print(f"happened: {soak.happened}")
            await roost.stop()
    print("every history has an order that explains it, and every alarm rang")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    asyncio.run(main(parser.parse_args().minutes))
