"""What does a WebSocket cost in memory while nothing happens?"""

from __future__ import annotations

import sys
import time
from functools import partial

from benchmarks import load, peers, report, servers
from benchmarks.measure import Candidate

SOCKETS = 5_000
SETTLE_SECONDS = 4  # longer than `idle_seconds`, so that every object hibernates
PER_ROOM = 10
CANDIDATES = [
    Candidate("picows", peers.picows, "/broadcast?room=*"),
    Candidate("roost run", partial(servers.roost, limits={"idle_seconds": 1}), "/broadcast?room=*"),
]


def main() -> None:
    page = report.Page("idle", "Memory of an idle WebSocket")
    page.text(
        f"{SOCKETS} WebSockets in rooms of {PER_ROOM}, none of which says anything; roost's objects hibernate. Memory "
        "is the proportional set size of all processes of the server, before the first connection and after the last."
    )
    page.table(
        ["server", "before", "after", "a socket"], [[candidate.name, *figures(candidate)] for candidate in CANDIDATES]
    )
    print(page.write())


def figures(candidate: Candidate) -> list[str]:
    with candidate.start() as server:
        before = server.memory_bytes()
        with load.Idle(server.port, candidate.path, connections=SOCKETS, rooms=SOCKETS // PER_ROOM):
            time.sleep(SETTLE_SECONDS)
            after = server.memory_bytes()
    print(f"  idle: {candidate.name} {(after - before) / SOCKETS / 1024:.1f} KiB a socket", file=sys.stderr)
    return [f"{before / 2**20:.1f} MiB", f"{after / 2**20:.1f} MiB", f"{(after - before) / SOCKETS / 1024:.1f} KiB"]


if __name__ == "__main__":
    main()
