"""How many deliveries a second reach the members of a room, beside servers that have no objects?"""

from __future__ import annotations

from functools import partial

from benchmarks import measure, peers, report, servers
from benchmarks.echo import rows
from benchmarks.measure import Candidate

JOINED = Candidate("picows, one write per member and turn", peers.picows, "/broadcast")
CANDIDATES = [
    JOINED,
    Candidate("picows, a `send` per message", peers.picows, "/send"),
    Candidate("roost run, `ctx.broadcast`", servers.roost, "/broadcast?room=a"),
    Candidate("roost run, a loop of `send`", servers.roost, "/loop?room=a"),
    Candidate(
        "roost run, `ctx.broadcast`, both cores",
        partial(servers.roost, cores=servers.BOTH_CORES),
        "/broadcast?room=a",
    ),
    Candidate("roost, one process, `ctx.broadcast`", servers.roost_in_one_process, "/broadcast?room=a"),
]
HEADS = ["server", "deliveries a second", "of the first", "p50", "p99", "CPU a delivery", "the first's CPU of that"]


def main() -> None:
    page = report.Page("broadcast", "Broadcast to the members of a room")
    page.text(
        "One room; 10 of its members send messages of 64 bytes, the next when the last has reached all others. Every "
        "message goes to every member but its sender, and the generator checks that each came once and in order, and "
        "that all members saw the same order. " + report.CORES
    )
    for members in (100, 1000):
        found = measure.compare(CANDIDATES, "broadcast", connections=members, senders=10)
        page.text(f"{members} members:")
        page.table(HEADS, rows(found, JOINED.name))
    print(page.write())


if __name__ == "__main__":
    main()
