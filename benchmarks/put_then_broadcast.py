"""What does it cost that a message is on disk before anybody sees it?"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

from benchmarks import measure, report, servers
from benchmarks.broadcast import HEADS
from benchmarks.echo import rows
from benchmarks.measure import Candidate

PLAIN = Candidate("`ctx.broadcast`", servers.roost, "/broadcast?room=*")
CANDIDATES = [PLAIN, Candidate("`storage.put`, then `ctx.broadcast`", servers.roost, "/storing?room=*")]
RATE = 60


def main() -> None:
    page = report.Page("put_then_broadcast", "Put, then broadcast")
    page.text(
        "An object that stores each message and then sends it to the others: nothing leaves before `fdatasync` has "
        f"returned. {disk()} " + report.CORES
    )
    for members, rooms in ((100, 1), (100, 10)):
        found = measure.compare(CANDIDATES, "broadcast", connections=members, rooms=rooms, senders=5)
        page.text(
            f"{members} sockets in {rooms} {'room' if rooms == 1 else 'rooms'}, 5 senders a room, as fast as it goes:"
        )
        page.table(HEADS, rows(found, PLAIN.name))
    found = measure.compare(CANDIDATES, "broadcast", connections=20, rooms=1, senders=5, rate=RATE)
    page.text(f"20 sockets in one room, 5 senders, {RATE} messages a second each; latency from when a message was due:")
    page.table(HEADS, rows(found, PLAIN.name))
    print(page.write())


def disk() -> str:
    """The file system that the data directory was on, and its speed; BENCH_DATA names another parent for it."""
    where = os.environ.get("BENCH_DATA", tempfile.gettempdir())
    kind = subprocess.run(["stat", "-f", "-c", "%T", where], capture_output=True, text=True, check=True)
    p50, p99 = sync_seconds(where)
    return (
        f"The data directory was on {kind.stdout.strip()}, where an `fdatasync` after 4 KiB in a preallocated file "
        f"took {p50 * 1000:.2f} ms (p50), {p99 * 1000:.2f} ms (p99)."
    )


def sync_seconds(directory: str) -> tuple[float, float]:
    """Median and 99th percentile of 200 syncs."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(200 * 4096))
        os.fsync(file.fileno())
        times = sorted(sync_once(file.fileno(), page * 4096) for page in range(200))
    return times[100], times[198]


def sync_once(fd: int, offset: int) -> float:
    begin = time.perf_counter()
    os.pwrite(fd, b"x" * 4096, offset)
    os.fdatasync(fd)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
