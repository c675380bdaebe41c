"""What does a backup cost the turns of objects that go on meanwhile?

A host on this loop commits at a fixed rate while nothing else runs, while snapshots of everything are taken into a
directory, and while what is committed is shipped every second; each by a process of its own, as `roost` does it. Told
are the time that a turn holds the loop (put, commit), and the time until its commit is durable.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from roost.history.keeper import HistoryKeeper
from roost.ids import IdSpace, ObjectId
from roost.limits import DEFAULTS
from roost.storage.store import HostStore

OBJECTS = 2_000
OBJECT_BYTES = 40_000
BUSY = 100
RATE = 300
SECONDS = 6.0
ROUNDS = 3
CONTINUOUS = """
import os, sys
from pathlib import Path
from roost.backup.service import BackupService
from roost.backup.target import open_target
from roost.clock import SystemClock
os.nice(10)
BackupService(Path(sys.argv[1]), open_target(sys.argv[2]), SystemClock(), every=1.0, full_every=86400.0, keep=2).run()
"""


class Load:
    """Turns at a fixed rate, and how long each took."""

    def __init__(self, store: HostStore, ids: list[ObjectId]) -> None:
        self._store = store
        self._ids = ids
        self.turns: list[float] = []
        self.durable: list[float] = []

    def turn(self) -> None:
        began = time.perf_counter()
        storage = self._store.open(random.choice(self._ids))
        storage.put("state", random.randbytes(200))
        storage.commit(lambda error: self.durable.append(time.perf_counter() - began))
        storage.close()
        self.turns.append(time.perf_counter() - began)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        due = loop.time()
        while due < end:
            self.turn()
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))


async def fill(store: HostStore, ids: list[ObjectId]) -> None:
    for number, object_id in enumerate(ids):
        storage = store.open(object_id)
        storage.put("filler", random.randbytes(OBJECT_BYTES))
        storage.commit(lambda error: None)
        storage.close()
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await asyncio.sleep(3)


async def snapshots(data: Path, targets: Path, until: asyncio.Event) -> int:
    """One full snapshot after the other; how many."""
    count = 0
    while not until.is_set():
        target = targets / str(count)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roost", "backup", str(target), "--data", str(data)), stdout=subprocess.DEVNULL
        )
        await process.wait()
        shutil.rmtree(target, ignore_errors=True)
        count += 1
    return count


async def measured(store: HostStore, ids: list[ObjectId]) -> Load:
    load = Load(store, ids)
    await load.run(SECONDS)
    await asyncio.sleep(0.2)
    return load


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:
        data = Path(directory) / "data"
        store = HostStore(data, keeper=HistoryKeeper(data), limits=DEFAULTS)
        space = IdSpace("ROOM", "ROOM")
        ids = [space.from_name(str(number)) for number in range(OBJECTS)]
        await fill(store, ids)
        found: dict[str, list[Load]] = {"quiet": [], "snapshots": [], "continuous": []}
        taken = 0
        for _ in range(ROUNDS):
            found["quiet"].append(await measured(store, ids[:BUSY]))
            done = asyncio.Event()
            taking = asyncio.create_task(snapshots(data, Path(directory) / "targets", done))
            found["snapshots"].append(await measured(store, ids[:BUSY]))
            done.set()
            taken += await taking
            target = str(Path(directory) / "continuous")
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", CONTINUOUS, str(data), target)
            found["continuous"].append(await measured(store, ids[:BUSY]))
            process.kill()
            await process.wait()
        store.close()
    tell(found, taken)


def tell(found: dict[str, list[Load]], taken: int) -> None:
    print(f"{OBJECTS} objects of {OBJECT_BYTES // 1000} KB, {RATE} commits/s to {BUSY} of them,")
    print(f"{ROUNDS} x {SECONDS:g} s each; {taken} full snapshots were taken in theirs\n")
    print(f"{'':11} {'turn p50':>11} {'p99':>11} {'of quiet':>9} {'durable p50':>12} {'p99':>12} {'of quiet':>9}")
    quiet = [percentile(times, 99) for times in pooled(found["quiet"])]
    for name, loads in found.items():
        turns, durable = pooled(loads)
        cells = [f"{percentile(turns, 50) * 1e6:8.0f} µs", f"{percentile(turns, 99) * 1e6:8.0f} µs"]
        cells += [f"{percentile(turns, 99) / quiet[0]:9.2f}", f"{percentile(durable, 50) * 1e3:9.2f} ms"]
        cells += [f"{percentile(durable, 99) * 1e3:9.2f} ms", f"{percentile(durable, 99) / quiet[1]:9.2f}"]
        print(f"{name:12} " + " ".join(cells))


def pooled(loads: list[Load]) -> tuple[list[float], list[float]]:
    return [time for load in loads for time in load.turns], [time for load in loads for time in load.durable]


def percentile(times: list[float], rank: int) -> float:
    return sorted(times)[min(len(times) * rank // 100, len(times) - 1)]


if __name__ == "__main__":
    asyncio.run(main())
