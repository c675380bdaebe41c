"""How fast does storage start, after a clean stop and after a kill? Run it as `python -m benchmarks.storage_start`.

One question per function; `python -m benchmarks.storage_start DIRECTORY` measures the disk of that directory.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import ignore, say
from roost import codec
from roost.errors import StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.store import HostStore

ROOMS = IdSpace("ROOM", "benchmark")
SLEEPING = 100_000
DIRTY = 10_000
LIMITS = Limits(checkpoint_bytes=1 << 30, checkpoint_bytes_total=1 << 40, open_databases_max=1 << 20)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def how_long_does_a_clean_start_take(base: Path) -> None:
    """With many objects in the directory, none of which is touched."""
    data = base / "clean"
    store = HostStore(data)
    handle = store.open(ROOMS.from_name("model"))
    handle.put("value", codec.encode("x" * 5000))
    handle.commit(ignore)
    store.close()
    model = store.path(handle.object_id)
    for number in range(SLEEPING):
        path = store.path(ROOMS.from_name(f"room {number}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 1000 == 0:  # a file has only so many names
            model = Path(shutil.copy(model, path))
        else:
            os.link(model, path)
    times, before = [], resident_bytes()
    for _ in range(5):
        start = time.perf_counter()
        store = HostStore(data)
        times.append(time.perf_counter() - start)
        grown = resident_bytes() - before
        store.open(ROOMS.from_name("room 77000")).get("value")
        store.close()
    say(
        f"How long does it take to open a store with {SLEEPING:,} objects, stopped cleanly?",
        f"{statistics.median(times) * 1e3:.0f} ms; resident memory grew by {grown / SLEEPING:.1f} bytes an object",
    )


def left_behind(data: Path) -> None:
    """Run in a process of its own: commit something to many objects, and die."""
    store = HostStore(data, limits=LIMITS)
    for number in range(DIRTY):
        handle = store.open(ROOMS.from_name(f"room {number}"))
        handle.put("value", codec.encode([number, "x" * 200]))
        handle.commit(ignore)
        if number % 500 == 0:
            store.settle()
    store.settle()
    os.kill(os.getpid(), signal.SIGKILL)


def killed(data: Path) -> None:
    """What a host leaves that was killed with much to recover."""
    path = str(data)
    code = f"from benchmarks.storage_start import left_behind; from pathlib import Path; left_behind(Path({path!r}))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL


async def how_long_does_recovery_take(base: Path) -> None:
    data = base / "killed"
    await asyncio.to_thread(killed, data)
    start = time.perf_counter()
    store = HostStore(data, beside=True)
    opened = time.perf_counter() - start
    recovered = store.recovered
    turns: list[float] = []
    busy = store.open(ROOMS.from_name("another"))
    first = await first_reads(store, 20)
    while store.waiting_for_recovery:
        begun = time.perf_counter()
        busy.put("value", b"%d" % len(turns))
        busy.commit(ignore)
        turns.append(time.perf_counter() - begun)
        await asyncio.sleep(0.001)
    took = time.perf_counter() - start
    quiet = []
    for number in range(2000):
        begun = time.perf_counter()
        busy.put("value", b"%d" % number)
        busy.commit(ignore)
        quiet.append(time.perf_counter() - begun)
        await asyncio.sleep(0.001)
    store.close()
    during, after = statistics.quantiles(turns, n=100), statistics.quantiles(quiet, n=100)
    say(
        f"How long does recovery take after kill -9, with {recovered.objects:,} objects whose files lack something?",
        f"until the store is open and every other object can be used: {opened * 1e3:.0f} ms",
        f"until an object that was left behind can be used, on demand: p50 {first[len(first) // 2] * 1e3:.1f} ms,"
        f" longest {first[-1] * 1e3:.1f} ms",
        f"until all are recovered, beside the work: {took:.1f} s",
        f"a turn of another object meanwhile: p50 {during[49] * 1e6:.0f} µs, p99 {during[98] * 1e6:.0f} µs;"
        f" afterwards p50 {after[49] * 1e6:.0f} µs, p99 {after[98] * 1e6:.0f} µs",
    )


async def first_reads(store: HostStore, count: int) -> list[float]:
    times = []
    for number in range(count):
        object_id = ROOMS.from_name(f"room {number * (DIRTY // count)}")
        ready: asyncio.Future[StorageError | None] = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        if not store.prepare(object_id, ready.set_result):
            assert await ready is None
        assert store.open(object_id).get("value") is not None
        times.append(time.perf_counter() - start)
    return sorted(times)


async def main(base: Path) -> None:
    print(f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores, in {base}")
    await asyncio.to_thread(how_long_does_a_clean_start_take, base)
    await how_long_does_recovery_take(base)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    directory = Path(tempfile.mkdtemp(prefix="roost-start-", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        asyncio.run(main(directory))
    finally:
        shutil.rmtree(directory)
