"""How fast is storage? One question per function; run it as `python -m benchmarks.storage [DIRECTORY]`.

The directory decides which disk is measured; by default a temporary one.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from benchmarks.timing import ignore, microseconds, say
from roost import codec
from roost.errors import StorageError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.log import OnDurable
from roost.storage.journal.record import Record
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready
from roost.storage.storage import Storage
from roost.storage.store import HostStore

PUT = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
ROOMS = IdSpace("ROOM", "benchmark")
PADDING = os.urandom(97).hex()


def value(n: int) -> str:
    """A string of 200 bytes that was not there before: SQLite does not write what does not change."""
    return f"{n:06x}{PADDING}"


class Gate:
    """Nothing else runs in these objects, so nothing is held back."""

    async def wait_for_storage(self, future: asyncio.Future[Any]) -> Any:
        return await future

    async def critical_section(self, fn: Callable[[], Awaitable[Any]]) -> Any:
        return await fn()

    def block_concurrency_while(self, fn: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        return self.critical_section(fn)


class ForgetfulLog:
    """Takes every record and does nothing with it: what is left is the cost of the commit and its capture."""

    epoch = 1

    def __init__(self) -> None:
        self._before: OnDurable | None = None

    def append(self, record: Record, on_durable: OnDurable) -> int:
        before, self._before = self._before, on_durable
        if before is not None:
            before(None)
        return 1

    def let_go(self, key: bytes, commit: int) -> None: ...
    def flush(self) -> None:
        if self._before is not None:
            before, self._before = self._before, None
            before(None)

    def close(self) -> None: ...


def what_does_capture_cost(base: Path) -> None:
    connection = apsw.Connection(str(base / "plain.sqlite"))
    connection.execute("PRAGMA journal_mode=WAL; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF").fetchall()
    connection.wal_autocheckpoint(0)
    connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def plain(n: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(PUT, (f"key {n % 1000}", codec.encode(value(n))))
        connection.execute("COMMIT")

    store = HostStore(base / "capture", log=ForgetfulLog(), limits=Limits(checkpoint_bytes=1 << 30))
    handle = store.open(ROOMS.from_name("a"))
    storage = Storage(handle, Gate())

    def captured(n: int) -> None:
        storage.put(f"key {n % 1000}", value(n))
        handle.commit(ignore)

    without, with_capture = microseconds(plain, 2000), microseconds(captured, 2000)
    store.close()
    say(
        "What does a put and its commit cost on the loop?",
        f"plain SQLite, not durable: {without:.1f} µs",
        f"through ctx.storage, frames captured: {with_capture:.1f} µs ({with_capture / without:.2f}x)",
    )


async def how_many_commits_go_through_one_journal(base: Path) -> None:
    each = await asyncio.to_thread(commits_with_a_sync_each, base)
    store = HostStore(base / "many")
    handles = [store.open(ROOMS.from_name(f"room {n}")) for n in range(50)]
    await asyncio.gather(*(commit_in_turn(handle, 20) for handle in handles))
    start = time.perf_counter()
    await asyncio.gather(*(commit_in_turn(handle, 400) for handle in handles))
    in_turn = 50 * 400 / (time.perf_counter() - start)
    start = time.perf_counter()
    await commit_without_waiting(handles, 400)
    together = 50 * 400 / (time.perf_counter() - start)
    store.close()
    say(
        "How many durable commits a second do 50 objects make?",
        f"an fdatasync each, 16 threads: {each:,.0f}/s",
        f"one journal, each object waiting for its commit before the next: {in_turn:,.0f}/s ({in_turn / each:.1f}x)",
        f"one journal, objects going on at once: {together:,.0f}/s ({together / each:.1f}x)",
    )


def commits_with_a_sync_each(base: Path) -> float:
    connections = [apsw.Connection(str(base / f"each {n}.sqlite")) for n in range(50)]
    for connection in connections:
        connection.execute("PRAGMA journal_mode=WAL; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL").fetchall()
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def run(connection: apsw.Connection) -> None:
        for n in range(40):
            connection.execute(PUT, (f"key {n}", value(n)))

    start = time.perf_counter()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(run, connections))
    return 50 * 40 / (time.perf_counter() - start)


async def commit_in_turn(handle: ObjectStorage, times: int) -> None:
    for n in range(times):
        await durable(handle, n)


def durable(handle: ObjectStorage, n: int) -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handle.put(f"key {n % 100}", codec.encode(value(n)))

    def told(error: StorageError | None) -> None:
        assert error is None
        future.set_result(None)

    handle.commit(told)
    return future


async def commit_without_waiting(handles: list[ObjectStorage], times: int) -> None:
    for n in range(times):
        last = [durable(handle, n) for handle in handles]
        await asyncio.sleep(0)
    await asyncio.gather(*last)


async def how_long_does_a_lone_commit_take(base: Path) -> None:
    store = HostStore(base / "lone")
    handle = store.open(ROOMS.from_name("a"))
    times = []
    for n in range(1000):
        start = time.perf_counter()
        await durable(handle, n)
        times.append((time.perf_counter() - start) * 1e6)
    store.close()
    fd = os.open(base / "bare", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, bytes(1 << 20), 0)
    os.fsync(fd)
    bare = []
    for n in range(1000):
        start = time.perf_counter()
        os.pwrite(fd, bytes(400), n * 400)
        os.fdatasync(fd)
        bare.append((time.perf_counter() - start) * 1e6)
    os.close(fd)
    ours, floor = statistics.quantiles(times[100:], n=100), statistics.quantiles(bare[100:], n=100)
    say(
        "How long until a lone commit is durable?",
        f"p50 {ours[49]:.0f} µs, p99 {ours[98]:.0f} µs",
        f"a bare write and fdatasync: p50 {floor[49]:.0f} µs, p99 {floor[98]:.0f} µs"
        f" ({ours[49] / floor[49]:.1f}x at p50)",
    )


def how_long_does_a_cold_object_take(base: Path) -> None:
    store = HostStore(base / "cold", limits=Limits(open_databases_max=1))
    ids = [ROOMS.from_name(f"room {n}") for n in range(200)]
    start = time.perf_counter()
    for object_id in ids:
        handle = store.open(object_id)
        handle.put("key", b"value")
        handle.commit(ignore)
    created = (time.perf_counter() - start) / len(ids) * 1e6
    store.settle()
    store.close()
    store = HostStore(base / "cold", limits=Limits(open_databases_max=1))
    cold = microseconds(lambda n: store.open(ids[n % 200]).get("key"), 200)
    warm_handle = store.open(ids[0])
    warm = microseconds(lambda n: warm_handle.get("key"), 2000)
    nothing = microseconds(lambda n: store.open(ROOMS.unique()).get("key"), 200)
    store.close()
    say(
        "How long does the first read of an object take?",
        f"its file opened (and another one closed): {cold:.0f} µs",
        f"open already: {warm:.1f} µs",
        f"it never wrote: {nothing:.1f} µs",
        f"its first commit, making the file: {created:.0f} µs",
    )


def what_does_a_checkpoint_cost(base: Path) -> None:
    store = HostStore(base / "checkpoint", limits=Limits(checkpoint_bytes=1 << 30))
    handle = store.open(ROOMS.from_name("a"))
    for n in range(1000):
        handle.put(f"key {n}", os.urandom(2000))
        handle.commit(ignore)
    store.settle()
    writer: Any = handle._writer
    size = writer.database.wal_bytes
    start = time.perf_counter()
    writer.database.write_pages(writer.database.durable_mark)
    writer.database.sync()
    written = time.perf_counter()
    writer.database.begin_checkpoint()
    writer.database.move_pages()
    end = time.perf_counter()
    store.close()
    say(
        f"What does a checkpoint of {size / 1e6:.1f} MB cost?",
        f"writing the pages and syncing the file, on a thread (nobody waits): {(written - start) * 1e3:.1f} ms",
        f"emptying the write-ahead log (a turn of the object that comes then waits): {(end - written) * 1e3:.1f} ms",
    )


async def what_do_others_notice_of_a_checkpoint(base: Path) -> None:
    """Turns of one object while another one's pages are written and synced, over and over."""
    store = HostStore(base / "beside", limits=Limits(checkpoint_bytes=1 << 30), beside=True)
    busy, other = store.open(ROOMS.from_name("busy")), store.open(ROOMS.from_name("other"))
    quiet = await turns_beside(other, 1500, lambda: None)
    writer: Any = None
    committed = 0

    def commit() -> bool:
        nonlocal writer, committed
        writer = writer or store.open_writer(busy.object_id)
        if writer is not None and (not writer.settled or writer.checkpointing):
            return False
        for n in range(100):
            busy.put(f"key {n}", os.urandom(2000))
        busy.commit(ignore)
        committed += 1
        return True

    def commit_and_checkpoint() -> None:
        if commit():
            store._open.bring_up_to_date({busy.object_id.key})

    commits = await turns_beside(other, 1500, commit)
    without, committed = committed, 0
    during = await turns_beside(other, 1500, commit_and_checkpoint)
    store.close()
    say(
        "What do others notice of checkpoints that follow each other?",
        f"a turn of another object, its commit included, in quiet: {said(quiet)}",
        f"beside {without} commits of 250 KB without a checkpoint: {said(commits)}",
        f"beside {committed} such commits, each with its checkpoint: {said(during)}",
    )


async def turns_beside(handle: ObjectStorage, times: int, between: Callable[[], object]) -> list[float]:
    taken = []
    for n in range(times):
        between()
        await asyncio.sleep(0.0005)
        start = time.perf_counter()
        handle.put(f"key {n % 100}", codec.encode(value(n)))
        handle.commit(ignore)
        taken.append((time.perf_counter() - start) * 1e6)
    return taken


def said(times: list[float]) -> str:
    quantiles = statistics.quantiles(times, n=100)
    return f"p50 {quantiles[49]:.0f} µs, p99 {quantiles[98]:.0f} µs"


def what_does_keeping_types_cost() -> None:
    values: dict[str, Any] = {
        "a number": 5,
        "a small dict": {"x": 1, "y": 2.5, "name": "ann"},
        "a board of 20 strokes": {"strokes": [{"id": i, "p": [[j, j * 1.5] for j in range(10)]} for i in range(20)]},
        "a list of 1000 ints": list(range(1000)),
        "a tuple of 3": (1, 2, 3),
    }
    lines = []
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
    for name, sample in values.items():
        plain_raw, raw = encode(sample), codec.encode(sample)
        times = 20000 if len(raw) < 100 else 1000
        plain_in = microseconds(lambda n, value=sample: encode(value), times)  # type: ignore[misc]
        ours_in = microseconds(lambda n, value=sample: codec.encode(value), times)  # type: ignore[misc]
        plain_out = microseconds(lambda n, raw=plain_raw: decode(raw), times)  # type: ignore[misc]
        ours_out = microseconds(lambda n, raw=raw: codec.decode(raw), times)  # type: ignore[misc]
        lines.append(
            f"{name}: encode {ours_in:.2f} µs ({ours_in / plain_in:.1f}x), decode {ours_out:.2f} µs"
            f" ({ours_out / plain_out:.1f}x)"
        )
    say("What does the codec cost, as a multiple of plain msgspec?", *lines)


async def what_does_an_await_of_a_ready_value_cost() -> None:
    async def coroutine() -> int:
        return 1

    async def measured(make: Callable[[], Awaitable[int]]) -> float:
        start = time.perf_counter()
        for _ in range(200_000):
            await make()
        return (time.perf_counter() - start) / 200_000 * 1e9

    ready, plain = await measured(lambda: Ready(1)), await measured(coroutine)
    say("What does awaiting a storage call cost?", f"{ready:.0f} ns ({ready / plain:.1f}x a coroutine that returns)")


async def main(base: Path) -> None:
    print(f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores, in {base}")
    what_does_keeping_types_cost()
    await what_does_an_await_of_a_ready_value_cost()
    await asyncio.to_thread(what_does_capture_cost, base)
    await how_long_does_a_lone_commit_take(base)
    await how_many_commits_go_through_one_journal(base)
    await asyncio.to_thread(how_long_does_a_cold_object_take, base)
    await asyncio.to_thread(what_does_a_checkpoint_cost, base)
    await what_do_others_notice_of_a_checkpoint(base)


if __name__ == "__main__":
    directory = Path(tempfile.mkdtemp(prefix="roost-storage-", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        asyncio.run(main(directory))
    finally:
        shutil.rmtree(directory)
