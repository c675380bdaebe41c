"""Kill a roost under load, many times: `python -m tests.crash --kills 2000`. SEED in the environment repeats a run."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.end_to_end.running import Roost, chance, running

from .storm import APP, SMALL, Storm

VICTIMS = ("host 0", "host 0", "host 1", "host 1", "gateway 0")


async def main(kills: int, everything_every: int) -> None:
    with tempfile.TemporaryDirectory(prefix="roost-crash-") as directory:
        roost = Roost(Path(directory), APP, hosts=2, limits=SMALL)
        async with running(roost):
            storm = Storm(roost, chance())
            rounds, began = 0, time.monotonic()
            while storm.kills < kills:
                rounds += 1
                await storm.round(20, 3, VICTIMS)
                if rounds % everything_every == 0:
                    await start_over(roost, storm)
                answered = sum(history.answered for history in storm.histories.values())
                lost = sum(history.unanswered for history in storm.histories.values())
                print(
                    f"\r{storm.kills} kills in {rounds} rounds, {answered} operations answered, {lost} not, "
                    f"{time.monotonic() - began:.0f} s",
                    end="",
                    flush=True,
                )
            await roost.stop()
    print("\nevery history has an order that explains it")


async def start_over(roost: Roost, storm: Storm) -> None:
    """Kill all processes at once, and start again on what they left."""
    left = [roost.supervisor, *roost.processes()]
    for process in left:
        process.kill()
    storm.kills += len(left)
    await roost.all_gone(left)
    await roost.status()
    await roost.start()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--everything-every", type=int, default=10, metavar="ROUNDS")
    given = parser.parse_args()
    asyncio.run(main(given.kills, given.everything_every))
