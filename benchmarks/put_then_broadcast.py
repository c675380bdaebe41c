"""What does it cost that a message is on disk before anybody sees it?"""

from __future__ import annotations

import os
import subprocess
import tempfile

from benchmarks import measure, report, servers
from benchmarks.broadcast import HEADS
from benchmarks.echo import figures
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
        whole = found[PLAIN.name].result.per_second
        page.text(
            f"{members} sockets in {rooms} {'room' if rooms == 1 else 'rooms'}, 5 senders a room, as fast as it goes:"
        )
        page.table(HEADS, [[name, *figures(measured, whole)] for name, measured in found.items()])
    found = measure.compare(CANDIDATES, "broadcast", connections=20, rooms=1, senders=5, rate=RATE)
    page.text(f"20 sockets in one room, 5 senders, {RATE} messages a second each; latency from when a message was due:")
    page.table(HEADS, [[n, *figures(m, found[PLAIN.name].result.per_second)] for n, m in found.items()])
    print(page.write())


def disk() -> str:
    """The file system that the data directory was on; BENCH_DATA names another parent for it."""
    where = os.environ.get("BENCH_DATA", tempfile.gettempdir())
    kind = subprocess.run(["stat", "-f", "-c", "%T", where], capture_output=True, text=True, check=True)
    return f"The data directory was on {kind.stdout.strip()}."


if __name__ == "__main__":
    main()
