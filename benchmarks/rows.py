"""The rows of the table: what is asked, of which servers, and what roost is to reach."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.samples import Crowd, Memory, Opening, Sampling, SlowReader, Throughput, Wake

ALL = ("picows", "uws", "node", "workerd", "fastapi_redis", "durable_actors")


class Aim(NamedTuple):
    """What roost is to reach: a `share` of the bare server's figure at least, or a figure `at_least` or `at_most`;
    `times` is at most a multiple of the bare server's."""

    kind: str
    value: float


class Row(NamedTuple):
    """One question. `peers`: those that are asked beside the bare server in C, as far as they can do the work.

    `rounds`: samples of each server. `fresh`: each is taken of a server that was just started, with those `limits` if
    it is roost.
    """

    name: str
    short: str
    title: str
    work: str
    unit: str
    sampling: Sampling
    aim: Aim | None
    peers: tuple[str, ...] = ALL
    rounds: int = 5
    fresh: bool = False
    limits: dict[str, float] | None = None

    @property
    def less_is_better(self) -> bool:
        return self.unit not in RATES


RATES = {"/s": "a second"}
SLEEPY = {"idle_seconds": 1.0}
"""So that the benchmark need not wait ten seconds until an object hibernates."""

ROWS = (
    Row(
        "echo-1",
        "Echo, 1 under way",
        "Echo through an object, 64 sockets, 1 message under way on each",
        "echo",
        "/s",
        Throughput("echo", {"connections": 64, "rooms": 64, "window": 1}),
        Aim("share", 0.4),
    ),
    Row(
        "echo-16",
        "Echo, 16 under way",
        "The same, 16 under way on each",
        "echo",
        "/s",
        Throughput("echo", {"connections": 64, "rooms": 64, "window": 16}),
        Aim("share", 0.07),
        ("picows", "uws", "node", "workerd"),
    ),
    Row(
        "room-100-1",
        "Room of 100, 1 sender",
        "Broadcast in a room of 100, 1 sender: deliveries",
        "broadcast",
        "/s",
        Throughput("broadcast", {"connections": 100, "rooms": 1, "senders": 1}),
        Aim("share", 0.9),
        ("picows", "uws", "node", "workerd"),
    ),
    Row(
        "room-100-10",
        "Room of 100, 10 senders",
        "The same, 10 senders",
        "broadcast",
        "/s",
        Throughput("broadcast", {"connections": 100, "rooms": 1, "senders": 10}),
        Aim("share", 0.85),
    ),
    Row(
        "room-1000-10",
        "Room of 1 000, 10 senders",
        "Broadcast in a room of 1 000, 10 senders: deliveries",
        "broadcast",
        "/s",
        Throughput("broadcast", {"connections": 1000, "rooms": 1, "senders": 10}),
        Aim("share", 0.8),
        ("picows", "uws", "node", "workerd", "fastapi_redis"),
    ),
    Row(
        "rooms-1000x5",
        "1 000 rooms of 5",
        "1 000 rooms of 5, all of them talking: deliveries",
        "broadcast",
        "/s",
        Throughput("broadcast", {"connections": 5000, "rooms": 1000, "senders": 5}),
        Aim("share", 0.5),
        ("picows", "uws", "node", "workerd"),
    ),
    Row(
        "whiteboard",
        "Durable, 50 rooms of 4",
        "Durable whiteboard, 50 rooms of 4: messages stored, then sent to the others",
        "storing",
        "/s",
        Throughput("broadcast", {"connections": 200, "rooms": 50, "senders": 1, "size": 200}, per=3),
        Aim("share", 0.5),
    ),
    Row(
        "http",
        "HTTP through an object",
        "HTTP request through an object, 64 connections",
        "count",
        "/s",
        Throughput("http", {"connections": 64, "rooms": 64}),
        Aim("share", 0.17),
    ),
    Row(
        "idle-room",
        "Idle in one room",
        "10 000 idle sockets in one room, asleep: memory of each",
        "broadcast",
        "B",
        Memory(10_000, 1),
        Aim("at_most", 1536),
        ("picows", "node", "workerd"),
        rounds=2,
        fresh=True,
        limits=SLEEPY,
    ),
    Row(
        "idle-rooms",
        "Idle in 2 000 rooms",
        "The same in 2 000 rooms",
        "broadcast",
        "B",
        Memory(10_000, 2_000),
        Aim("at_most", 1536),
        ("picows", "node", "workerd"),
        rounds=2,
        fresh=True,
        limits=SLEEPY,
    ),
    Row(
        "cold",
        "Cold rooms",
        "5 000 cold rooms: from dialling to the answer to the first message",
        "echo",
        "/s",
        Opening("cold", 5_000, 5_000),
        Aim("at_least", 4_000),
        ("node", "workerd"),
        rounds=3,
    ),
    Row(
        "cold-write",
        "Cold rooms, first write",
        "The same, with a first write that is durable before the answer",
        "noting",
        "/s",
        Opening("cold", 5_000, 5_000),
        Aim("at_least", 1_500),
        ("node", "workerd"),
        rounds=3,
    ),
    Row(
        "wake",
        "Wake from hibernation",
        "Wake from hibernation: what a message takes more than one to an object awake, p50",
        "sleeper",
        "µs",
        Wake(200),
        Aim("at_most", 200),
        ("workerd",),
        rounds=3,
        limits=SLEEPY,
    ),
    Row(
        "handshakes",
        "Handshakes",
        "Handshakes, the entrypoint run for each",
        "echo",
        "/s",
        Opening("dial", 8_000, 64),
        Aim("at_least", 8_000),
        ("picows", "uws", "node", "workerd"),
    ),
    Row(
        "slow-reader",
        "Slow reader",
        "One member of 100 stops reading, 1 KiB x 1 000/s: p99 of the others, of that with none",
        "broadcast",
        "x",
        SlowReader(100, 1_000, 1_024, 6),
        Aim("at_most", 1.1),
        ("node",),
        rounds=2,
    ),
    Row(
        "crowd-1",
        "18 000 in a room, 1/s",
        "18 000 sockets in one room, 1 message a second: until the last has it, p99",
        "broadcast",
        "µs",
        Crowd(18_000, 1, 4),
        Aim("times", 1.5),
        ("uws",),
        rounds=3,
    ),
    Row(
        "crowd-10",
        "18 000 in a room, 10/s",
        "The same, 10 messages a second",
        "broadcast",
        "µs",
        Crowd(18_000, 10, 3),
        Aim("times", 1.5),
        ("uws",),
        rounds=3,
    ),
)
