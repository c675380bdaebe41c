"""How many messages a second does an object store and hand on, each on disk before anybody sees it, beside peers?"""

from __future__ import annotations

import asyncio
import sys
import tempfile

import uvloop

from benchmarks import measure, peers, report, servers, turns
from benchmarks.measure import Candidate, Measured
from benchmarks.put_then_broadcast import disk
from roost import DurableObjectState
from roost.ids import IdSpace
from roost.storage.store import HostStore

BARE = Candidate("a bare server in C", peers.bare, "/storing?room=*")
ROOST = Candidate("roost", servers.roost, "/storing?room=*")
ROOST_ALONE = Candidate("roost in one process", servers.roost_in_one_process, "/storing?room=*")
UNSTORED = Candidate("roost, nothing stored", servers.roost, "/broadcast?room=*")
OPTIONAL = [
    (Candidate("workerd", peers.workerd, "/storing?room=*"), peers.WORKERD.missing),
    (Candidate("Node: `ws` and better-sqlite3", peers.node, "/storing?room=*"), peers.NODE.missing),
    (Candidate("FastAPI and Redis", peers.fastapi_redis, "/storing?room=*"), peers.FASTAPI.missing),
]
SHAPES = ((50, 4), (1, 10), (1000, 4))
"""Rooms, and members of each."""
SIZE = 200
ROUNDS = 2
HEADS = ["p50", "p99", "CPU a message"]
GATE_ROUNDS = 40
OBJECTS = IdSpace("ROOM", "ROOM")


def main() -> None:
    page = report.Page("storage_put", "Store a message, then hand it on")
    candidates = [BARE, ROOST, ROOST_ALONE, UNSTORED]
    page.text(introduction())
    for candidate, missing in OPTIONAL:
        lack = missing()
        if lack is None:
            candidates.append(candidate)
        else:
            page.text(f"**Not measured: {lack}.**")
            print(f"  not measured: {lack}", file=sys.stderr)
    ask_about_the_gate(page)
    for rooms, members in SHAPES:
        ask_rooms(page, candidates, rooms, members)
    print(page.write())


def introduction() -> str:
    return (
        f"In each room one member sends messages of {SIZE} bytes, the next when all others have the one before. The "
        "server makes the message durable, then sends it to the others. The bare one in C appends to one preallocated "
        "log, with one `fdatasync` for what came in a pass of its loop; roost puts the message under a key of the "
        "room's object, as workerd does; Node has a row of one database (`synchronous=FULL`); FastAPI gives SET and "
        f"PUBLISH to Redis (`appendfsync always`), and sends what comes back. {disk()} "
        f"{report.CORES.replace('three', 'two')}"
    )


def ask_rooms(page: report.Page, candidates: list[Candidate], rooms: int, members: int) -> None:
    found = asked(candidates, rooms, members)
    page.text(f"{rooms} {'room' if rooms == 1 else 'rooms'} of {members}:")
    heads = [
        "server",
        "messages a second",
        "of the bare one",
        "p50",
        "p99",
        "CPU a message",
        "the bare one's CPU of that",
    ]
    page.table(heads, [line(name, measured, found[BARE.name], members) for name, measured in found.items()])


def asked(candidates: list[Candidate], rooms: int, members: int) -> dict[str, Measured]:
    options = {"connections": rooms * members, "rooms": rooms, "size": SIZE, "seconds": 2, "warm_up": 1, "drain": 60}
    return measure.compare(candidates, "broadcast", rounds=ROUNDS, made_before=True, senders=1, **options)


def line(name: str, measured: Measured, bare: Measured, members: int) -> list[str]:
    latency, rate = measured.result.latency_us, measured.result.per_second
    return [
        name,
        report.thousands(rate / (members - 1)),
        f"{rate / bare.result.per_second:.2f}",
        report.duration(latency.p50),
        report.duration(latency.p99),
        f"{measured.cpu_us * (members - 1):.1f} µs",
        f"{bare.cpu_us / measured.cpu_us:.2f}",
    ]


def ask_about_the_gate(page: report.Page) -> None:
    """A gate that holds nothing back must cost nothing: the same broadcast, of objects with and without storage."""
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        never, once = runner.run(broadcasts(directory))
    page.text(
        "What does the gate cost when nothing was written? A broadcast, from the event to the outlet, takes an object "
        f"that never stored anything {never:.2f} µs, and one that stored something once {once:.2f} µs "
        f"({once / never:.2f} of it; in one process, the best of {GATE_ROUNDS} rounds in turn)."
    )


class StoredOnce(turns.Broadcast):
    """It wrote when it was made, and does not any more."""

    def __init__(self, ctx: DurableObjectState, env: object) -> None:
        super().__init__(ctx, env)
        ctx.storage.put("made", True)


async def broadcasts(directory: str) -> tuple[float, float]:
    """Microseconds a broadcast, of an object that never wrote, and of one that wrote before."""
    store = HostStore(directory, log=turns.InstantLog())
    kinds = (turns.Broadcast, StoredOnce)
    benches = [turns.Bench(kind, store, store.open(OBJECTS.from_name(kind.__name__)), sockets=4) for kind in kinds]
    rounds = [[await bench.microseconds(0.05) for bench in benches] for _ in range(GATE_ROUNDS)]
    for bench in benches:
        bench.activation.hibernate()
    store.close()
    never, once = map(min, zip(*rounds, strict=True))
    return never, once


if __name__ == "__main__":
    main()
