"""What do a million alarms cost? One question per function: `python -m benchmarks.storage_alarms [DIRECTORY]`.

The directory decides which disk is measured; by default a temporary one.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import apsw

from benchmarks.timing import ignore, microseconds, say
from roost import DurableObject, Request, Response
from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.ids import IdSpace
from roost.node.reports import resident_bytes
from roost.storage.alarms.agenda_file import AgendaFile, Changes
from roost.storage.alarms.agenda_window import Entry
from roost.storage.layout import DataDirectory
from roost.storage.store import HostStore

BELLS = IdSpace("BELL", "BELL")
MILLION = 1_000_000
RINGING = (1_000, 10_000)
SPREAD_SECONDS = 5.0
DAY_MS = 86_400_000
SETTING_MS = 60_000


class Bell(DurableObject):
    """Stores when it rang, as an object with some use for its alarm would."""

    late: ClassVar[list[float]] = []
    due: ClassVar[dict[str, int]] = {}
    count: ClassVar[int]
    heard: ClassVar[asyncio.Event]

    async def fetch(self, request: Request) -> Response:
        return Response(str(await self.ctx.storage.get("rung")))

    async def alarm(self) -> None:
        now = time.time() * 1000
        await self.ctx.storage.put("rung", now)
        self.late.append(now - self.due[str(self.ctx.id)])
        if len(self.late) == self.count:
            self.heard.set()


def quantiles(values: list[float]) -> tuple[float, float, float]:
    """The median, the 99th of a hundred, and the highest."""
    found = statistics.quantiles(values, n=100)
    return found[49], found[98], max(values)


# -- setting -----------------------------------------------------------------------------------------------------------


async def what_does_setting_an_alarm_cost(base: Path) -> None:
    store = HostStore(base / "set")
    handle = store.open(BELLS.from_name("a"))
    later = time.time_ns() // 1_000_000 + DAY_MS

    def put(n: int) -> None:
        handle.put("key", b"%d" % n)
        handle.commit(ignore)

    def set_alarm(n: int) -> None:
        handle.alarms.set("", later + n, limit=10)
        handle.commit(ignore)

    for n in range(200):
        put(n)
        set_alarm(n)
    await asyncio.to_thread(lambda: None)
    bare, alarm = microseconds(put, 500), microseconds(set_alarm, 500)
    noted = microseconds(lambda n: store.agenda.note(BELLS.from_name("b"), later + n), 10_000)
    named = microseconds(lambda n: BELLS.from_name("b"), 10_000)
    store.settle()
    store.close()
    say(
        "What does it cost on the loop to set an alarm, its commit included?",
        f"a put: {bare:.1f} µs",
        f"set_alarm: {alarm:.1f} µs ({alarm / bare:.2f}x)",
        f"the agenda's part of it, once it is durable: {noted - named:.1f} µs",
    )


# -- a million ---------------------------------------------------------------------------------------------------------


def write_a_million(directory: Path) -> float:
    """A million alarms within a year, none of them due today; seconds per million."""
    first = time.time_ns() // 1_000_000 + DAY_MS
    file = AgendaFile(directory, complete=True)
    start = time.perf_counter()
    for batch in range(0, MILLION, 16_384):
        keys = [os.urandom(32) for _ in range(min(16_384, MILLION - batch))]
        dues = [first + int.from_bytes(key[:5], "big") % (365 * DAY_MS) for key in keys]
        file.write(Changes([Entry(k, "BELL", f"bell {d}", d, d) for k, d in zip(keys, dues, strict=True)]))
    took = time.perf_counter() - start
    file.close()
    return took


OPEN = """
import asyncio, sys, time
from pathlib import Path
from roost.node.reports import resident_bytes
from roost.storage.layout import DataDirectory
from roost.storage.store import HostStore

async def main():
    HostStore(sys.argv[1] + "/million").close()  # its journal is made
    before, start = resident_bytes(), time.perf_counter()
    store = HostStore(sys.argv[1] + "/million")
    opened = time.perf_counter()
    store.agenda.start(["BELL"], lambda: None)
    while store.agenda._loading:
        await asyncio.sleep(0)
    print((opened - start) * 1e3, (time.perf_counter() - start) * 1e3, resident_bytes() - before)
    store.close()

asyncio.run(main())
"""
TIMERS = """
import asyncio, os, time
from roost.node.reports import resident_bytes

async def main():
    loop = asyncio.get_running_loop()
    before, start = resident_bytes(), time.perf_counter()
    timers = {os.urandom(32): loop.call_later(86400 + n, print) for n in range(1_000_000)}
    print((time.perf_counter() - start) * 1e3, resident_bytes() - before)

asyncio.run(main())
"""


def run(script: str, *arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


async def what_does_a_start_with_a_million_cost(base: Path) -> None:
    slot = base / "million" / "hosts" / "0"
    wrote = await asyncio.to_thread(write_a_million, slot)
    empty, _, _ = run(OPEN.replace("/million", "/empty"), str(base))
    opened, loaded, memory = run(OPEN, str(base))
    timers, timers_memory = run(TIMERS)
    size = sum(path.stat().st_size for path in slot.glob("agenda*"))
    say(
        "What does a start with a million alarms cost?",
        f"opening the store: {opened:.1f} ms (with no alarms: {empty:.1f} ms)",
        f"until it is known what rings next: {loaded:.1f} ms",
        f"memory: {memory / 2**20:.1f} MiB; on disk {size / 2**20:.0f} MiB",
        f"a timer of asyncio for each alarm: {timers:.0f} ms ({timers / loaded:.0f}x),"
        f" {timers_memory / 2**20:.0f} MiB ({timers_memory / max(memory, 1):.0f}x)",
        f"writing a million into the agenda, off the loop: {wrote:.1f} s",
    )


# -- ringing -----------------------------------------------------------------------------------------------------------


def set_alarms(data: Path, count: int, first: int, spread_ms: float) -> None:
    """An alarm for each of so many objects, all within that time: one object's file copied for all of them, and their
    entries written into the agenda that has a million others. Setting them one by one would take minutes."""
    model = BELLS.from_name(f"model {count}")
    store = HostStore(data)
    handle = store.open(model)
    handle.alarms.set("", 1, limit=10)
    handle.commit(ignore)
    store.close()
    layout = DataDirectory(data)
    content = layout.object_path("BELL", model.key).read_bytes()
    entries = []
    for n in range(count):
        one, due = BELLS.from_name(f"bell {n} of {count}"), first + int(n * spread_ms / count)
        Bell.due[str(one)] = due
        path = layout.object_path("BELL", one.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entries.append(Entry(one.key, "BELL", one.name, due, due))
    file = AgendaFile(data / "hosts" / "0", complete=True)
    file.write(Changes([*entries, Entry(model.key, "BELL", None, None, 0)]))
    file.close()


async def ring_all(data: Path, count: int, spread: float) -> tuple[list[float], float, float, int]:
    """How late each was in ms, the seconds that all of it took, those on the processor, and by how much it grew."""
    Bell.late, Bell.count, Bell.heard = [], count, asyncio.Event()
    first = time.time_ns() // 1_000_000 + SETTING_MS
    await asyncio.to_thread(set_alarms, data, count, first, spread)
    store = HostStore(data)
    host = Host(app_of_classes(Bell), store)
    await host.start()
    assert time.time() * 1000 < first, "setting them took too long: raise SETTING_MS"
    await asyncio.sleep(max(first / 1000 - time.time() - 0.5, 0))
    before, start, processor = resident_bytes(), time.time(), time.process_time()
    await Bell.heard.wait()
    took = time.time() - max(start, first / 1000)
    processor, grown = time.process_time() - processor, resident_bytes() - before
    await host.drain()
    await host.close()
    store.close()
    return Bell.late, took, processor, grown


async def timers_alone(count: int, spread_ms: float) -> list[float]:
    """How late asyncio's own timers are, with nothing to do: what no alarm can be better than."""
    loop, late = asyncio.get_running_loop(), []
    begin = loop.time() + 1

    def fire(due: float) -> None:
        late.append((loop.time() - due) * 1000)

    for n in range(count):
        due = begin + n * spread_ms / count / 1000
        loop.call_at(due, fire, due)
    while len(late) < count:  # noqa: ASYNC110 - no event, so that nothing else runs
        await asyncio.sleep(0.1)
    return late


async def how_late_do_they_ring(base: Path) -> None:
    for count in RINGING:
        late, took, processor, grown = await ring_all(base / "million", count, SPREAD_SECONDS * 1000)
        p50, p99, most = quantiles(late)
        t50, t99, tmost = quantiles(await timers_alone(count, SPREAD_SECONDS * 1000))
        say(
            f"How late do {count:,} of a million ring that are due within {SPREAD_SECONDS:g} s, each storing a value?",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {most:.1f} ms; too early: {sum(one < 0 for one in late)}",
            f"all in {took:.1f} s, {processor / count * 1e6:.0f} µs on the processor each, +{grown / 2**20:.0f} MiB",
            f"bare timers with nothing to do: p50 {t50:.2f} ms, p99 {t99:.2f} ms, at most {tmost:.1f} ms",
        )


async def main(base: Path) -> None:
    print(f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.machine()}\n")
    await what_does_setting_an_alarm_cost(base)
    await what_does_a_start_with_a_million_cost(base)
    await how_late_do_they_ring(base)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        asyncio.run(main(Path(directory)))
