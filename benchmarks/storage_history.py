"""What does history take, how fast is it made, who feels it? Run `python benchmarks/storage_history.py [DIRECTORY]`.

Three questions: the bytes that a commit takes in the journal and in an archive; how many commits a second are folded;
and the time from a turn's put to its being durable, quiet and while a child process folds, in alternating rounds of one
run. The directory decides which disk is used; by default a temporary one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from roost.history.folding import fold
from roost.history.keeper import HistoryKeeper
from roost.history.shelf import Shelf
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.journal.keeper import NothingKept
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import segment_paths
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

SPACE = IdSpace("ROOM", "ROOM")
OBJECTS = 50
KEYS = 200
COMMITS = 60_000
ROUNDS = 4
TURNS = 1_500
LIMITS = Limits(journal_segment_bytes=16 * 1024 * 1024)


class Hoarder(NothingKept):
    """Keeps settled segments where they are."""

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        pass


class Written(NamedTuple):
    commits: int
    journal_bytes: int


def write(data: Path) -> Written:
    """A journal of settled segments: values of 200 bytes under random keys, in 50 objects in turn."""
    choice = random.Random(1)
    store = HostStore(data, limits=LIMITS, keeper=Hoarder())
    rooms = [store.open(SPACE.from_name(f"room {n}")) for n in range(OBJECTS)]
    for number in range(COMMITS):
        room = rooms[number % OBJECTS]
        room.put(f"key {choice.randrange(KEYS)}", choice.randbytes(100).hex().encode())
        room.commit(lambda error: None)
        if number % OBJECTS == 0:
            store.settle()
    store.close()
    return Written(COMMITS, sum(used_bytes(path) for path in segment_paths(data / "hosts" / "0")))


def used_bytes(path: Path) -> int:
    with contextlib.closing(SegmentReader(path)) as reader:
        return max((entry.end for entry in reader.entries()), default=0)


def fold_here(data: Path) -> tuple[float, int]:
    """Seconds, and bytes of the archives, of folding every segment in this process."""
    with_sequence = []
    for path in segment_paths(data / "hosts" / "0"):
        with contextlib.closing(SegmentReader(path)) as reader:
            with_sequence.append((reader.sequence, path))
    began = time.perf_counter()
    for _, path in sorted(with_sequence):
        fold(data, path)
    return time.perf_counter() - began, sum(path.stat().st_size for path in Shelf(data).archives())


async def turn(room: ObjectStorage, choice: random.Random) -> float:
    """Seconds from the put until it is durable."""
    loop = asyncio.get_running_loop()
    durable: asyncio.Future[None] = loop.create_future()
    began = time.perf_counter()
    room.put(f"key {choice.randrange(KEYS)}", choice.randbytes(100).hex().encode())
    room.commit(lambda error: durable.set_result(None))
    await durable
    return time.perf_counter() - began


async def turns(data: Path, journal: Path) -> tuple[list[float], list[float], int]:
    """Times of turns, quiet and while children fold, and how many segments these folded meanwhile."""
    choice = random.Random(2)
    store = HostStore(data, limits=LIMITS)
    rooms = [store.open(SPACE.from_name(f"room {n}")) for n in range(OBJECTS)]
    quiet: list[float] = []
    folding: list[float] = []
    folded = 0
    for number in range(2 * ROUNDS):
        busy = number % 2 == 1
        if not busy:
            quiet += [await turn(rooms[n % OBJECTS], choice) for n in range(TURNS)]
            continue
        copy = data / f"journal {number}"
        await asyncio.to_thread(shutil.copytree, journal, copy)
        done = 0

        def kept(ok: bool) -> None:
            nonlocal done
            assert ok, "it could be folded"
            done += 1

        paths = segment_paths(copy / "hosts" / "0")
        keeper = HistoryKeeper(copy)
        for path in paths:
            keeper.keep(path, kept)
        n = 0
        while done < len(paths):
            folding.append(await turn(rooms[n % OBJECTS], choice))
            n += 1
        keeper.close()
        folded += done
        await asyncio.to_thread(shutil.rmtree, copy)
    store.close()
    return quiet, folding, folded


def percentile(times: list[float], share: float) -> float:
    """In microseconds."""
    return statistics.quantiles(times, n=1000)[round(share * 1000) - 1] * 1e6


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="roost-history-", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        written = write(directory / "journal")
        pristine = directory / "pristine"
        shutil.copytree(directory / "journal", pristine)
        seconds, archived = fold_here(directory / "journal")
        print(f"{written.commits} commits of 200 bytes in {OBJECTS} objects")
        print(f"journal  {written.journal_bytes / written.commits:7.0f} bytes a commit")
        print(f"archives {archived / written.commits:7.0f} bytes a commit")
        rate, mega = written.commits / seconds, written.journal_bytes / seconds / 1e6
        print(f"folding  {rate:7.0f} commits/s, {mega:.1f} MB/s of journal, in one process")
        quiet, folding, folded = asyncio.run(turns(directory / "turns", pristine))
        print(f"put until durable, one after the other; {folded} segments folded meanwhile")
        for name, times in (("quiet", quiet), ("folding", folding)):
            shown = "  ".join(f"p{share * 100:g} {percentile(times, share):6.0f} µs" for share in (0.5, 0.99, 0.999))
            print(f"  {name:8} {len(times):6} turns  {shown}")
        ratio = percentile(folding, 0.99) / percentile(quiet, 0.99)
        print(f"  p99 while folding is {ratio:.2f} times that of quiet")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
