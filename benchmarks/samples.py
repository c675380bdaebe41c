"""One look at one server: what is asked of it, and what is read off: the figure of the row, and what explains it.

Every sample raises LoadError when a message was lost, doubled, altered or out of order.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple, Protocol

from benchmarks import load
from benchmarks.peers import Peer
from benchmarks.servers import LOAD_CORE, Server, settle

Sample = dict[str, float]
"""`figure` is what the row is about; durations are microseconds, sizes bytes."""


class Asked(NamedTuple):
    """A server as one sample sees it."""

    server: Server
    path: str
    number: int
    seconds: float
    peer: Peer
    options: dict[str, str]

    def run(self, mode: str, **shape: Any) -> load.Result:
        return load.run(mode, self.server.port, self.path, LOAD_CORE, **shape, **self.options)


class Sampling(Protocol):
    """How a row is measured."""

    @property
    def rooms(self) -> int: ...
    def first(self, asked: Asked) -> None:
        """Done once before the samples and not measured, so that what is made once is there."""
        ...

    def sample(self, asked: Asked) -> Sample: ...


class Throughput(NamedTuple):
    """As fast as it goes, with a bounded number of messages under way. `per`: deliveries that count as one."""

    mode: str
    shape: dict[str, int]
    per: int = 1

    @property
    def rooms(self) -> int:
        return self.shape["rooms"]

    def first(self, asked: Asked) -> None:
        asked.run(self.mode, **self.shape_for(asked), seconds=0.1, warm_up=0, drain=20)

    def shape_for(self, asked: Asked) -> dict[str, int]:
        """In fewer rooms where the server has fewer: sockets that echo share them, a room keeps its members."""
        rooms = min(self.rooms, asked.peer.rooms_max or self.rooms)
        fewer = rooms / self.rooms if self.mode == "broadcast" else 1
        return {**self.shape, "rooms": rooms, "connections": round(self.shape["connections"] * fewer)}

    def sample(self, asked: Asked) -> Sample:
        before = asked.server.cpu_seconds()
        result = asked.run(self.mode, **self.shape_for(asked), seconds=asked.seconds, warm_up=0.3, drain=60)
        used = (asked.server.cpu_seconds() - before) / result.arrived * self.per
        return {"figure": result.per_second / self.per, **latencies(result), "cpu_us": used * 1e6}


class Opening(NamedTuple):
    """Connections opened one after the other, 64 at a time; `cold`: each in a room of its own that never was before."""

    mode: str
    connections: int
    rooms: int

    def first(self, asked: Asked) -> None:
        few = {"connections": 64, "rooms": 64} if self.mode == "cold" else {"connections": 64, "rooms": self.rooms}
        asked.run(self.mode, **few, first_room=1_000_000)

    def sample(self, asked: Asked) -> Sample:
        before = asked.server.cpu_seconds()
        shape = {"connections": self.connections, "rooms": self.rooms}
        if self.mode == "cold":
            shape["first_room"] = asked.number * self.rooms
        result = asked.run(self.mode, **shape)
        used = (asked.server.cpu_seconds() - before) / result.arrived
        return {"figure": result.per_second, **latencies(result), "cpu_us": used * 1e6}


class Memory(NamedTuple):
    """What idle sockets take, and that all of them still hear a message afterwards. Wants a fresh server."""

    connections: int
    rooms: int

    def first(self, asked: Asked) -> None: ...

    def sample(self, asked: Asked) -> Sample:
        connections = min(self.connections, asked.peer.sockets_max or self.connections)
        shape = {"connections": connections, "rooms": max(1, self.rooms * connections // self.connections)}
        before = asked.server.memory_bytes()
        with load.Idle(asked.server.port, asked.path, LOAD_CORE, **shape, drain=60, **asked.options):
            time.sleep(asked.peer.sleep_seconds)
            settle([asked.server])
            after = asked.server.memory_bytes()
        return {"figure": (after - before) / connections, "before": before, "after": after}


class Wake(NamedTuple):
    """One message to each object that sleeps, one at a time, and one more; the figure is the difference at p50."""

    rooms: int

    def first(self, asked: Asked) -> None: ...

    def sample(self, asked: Asked) -> Sample:
        shape = {"connections": self.rooms, "rooms": self.rooms}
        result = asked.run("wake", **shape, seconds=1, sleep=asked.peer.sleep_seconds, drain=60)
        asleep, awake = result.latency_us, result.latency_awake_us
        if awake is None or asleep.count < self.rooms:
            raise load.LoadError(f"of {self.rooms} sleepers only {asleep.count} were woken")
        return {"figure": asleep.p50 - awake.p50, "asleep_p50": asleep.p50, "asleep_p99": asleep.p99, "p50": awake.p50}


class SlowReader(NamedTuple):
    """A room at a fixed rate, once as it is, once with a member that has stopped to read.

    The figure is the p99 of the other members, as a multiple of that without the one; `grown` is by how much the
    server's memory was above what it was before, at most.
    """

    connections: int
    rate: int
    size: int
    seconds: int
    rooms: int = 1

    def first(self, asked: Asked) -> None: ...

    def sample(self, asked: Asked) -> Sample:
        none, _ = self._run(asked, deaf=0)
        settle([asked.server])
        one, grown = self._run(asked, deaf=1)
        found = {"none_p99": none.latency_us.p99, "p99": one.latency_us.p99, "p50": one.latency_us.p50}
        return {"figure": one.latency_us.p99 / none.latency_us.p99, **found, "grown": grown}

    def _run(self, asked: Asked, deaf: int) -> tuple[load.Result, float]:
        shape = {"connections": self.connections, "rooms": 1, "rate": self.rate, "size": self.size, "deaf": deaf}
        with Peak(asked.server) as peak:
            result = asked.run("broadcast", **shape, seconds=self.seconds, warm_up=0.5, drain=60)
        return result, peak.grown


class Peak:
    """The most that a server's memory was above what it was at first, while the block runs."""

    def __init__(self, server: Server) -> None:
        self.grown = 0
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._before = self._server.resident_bytes()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.grown = max(self.grown, self._server.resident_bytes() - self._before)


class Crowd(NamedTuple):
    """A message to all of one large room at a fixed rate; the figure is when the last member has it, at p99."""

    connections: int
    rate: int
    seconds: int
    rooms: int = 1

    def first(self, asked: Asked) -> None: ...

    def sample(self, asked: Asked) -> Sample:
        shape = {"connections": self.connections, "rooms": 1, "rate": self.rate, "seconds": self.seconds}
        result = asked.run("broadcast", **shape, warm_up=1.1, drain=60)
        last = result.latency_last_us
        assert last is not None
        return {"figure": last.p99, "last_p50": last.p50, **latencies(result), "messages": last.count}


def latencies(result: load.Result) -> Sample:
    return {"p50": result.latency_us.p50, "p99": result.latency_us.p99}
