"""How many messages a second go through an object and back, beside a server that has no objects?"""

from __future__ import annotations

from functools import partial

from benchmarks import measure, peers, report, servers
from benchmarks.measure import Candidate

PEER = Candidate("picows", peers.picows, "/echo")
CANDIDATES = [
    PEER,
    Candidate("roost, one process", servers.roost_in_one_process, "/echo?room=*"),
    Candidate("roost run", servers.roost, "/echo?room=*"),
    Candidate("roost run, both cores", partial(servers.roost, cores=servers.BOTH_CORES), "/echo?room=*"),
]
HEADS = ["server", "echoes a second", "of picows", "p50", "p99", "CPU an echo", "picows' CPU of that"]


def main() -> None:
    page = report.Page("echo", "Echo through an object")
    page.text(
        "64 connections, each with an object of its own that sends every message back; messages of 64 bytes. A "
        "connection keeps so many messages under way. The peer is picows on uvloop, which answers in the callback of "
        "the frame. " + report.CORES
    )
    for window in (1, 16):
        found = measure.compare(CANDIDATES, "echo", connections=64, rooms=64, window=window)
        page.text(f"{window} under way per connection:")
        page.table(HEADS, rows(found))
    found = measure.compare(CANDIDATES, "echo", connections=1, rooms=1, window=1)
    page.text("One connection, one message under way, which is the time of one way there and back:")
    page.table(HEADS, rows(found))
    print(page.write())


def rows(found: dict[str, measure.Measured], whole: str = PEER.name) -> list[list[str]]:
    """A line for each server; that named `whole` is 100 %."""
    return [[name, *figures(measured, found[whole])] for name, measured in found.items()]


def figures(measured: measure.Measured, whole: measure.Measured) -> list[str]:
    result = measured.result
    rate, latency = result.per_second, result.latency_us
    return [
        report.thousands(rate),
        report.share(rate, whole.result.per_second),
        report.duration(latency.p50),
        report.duration(latency.p99),
        f"{measured.cpu_us:.1f} µs",
        report.share(whole.cpu_us, measured.cpu_us),
    ]


if __name__ == "__main__":
    main()
