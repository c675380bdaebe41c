"""What does a turn cost? A message's way through an object, without link and gateway.

    python benchmarks/turns.py [--seconds 0.4] [--loop uvloop|asyncio]

Prints one line per figure, the best of several rounds: what is slower was disturbed. Storage is the real one with a
log that makes everything durable at once, so the figure with a put has SQLite's commit in it; a second one, with a
storage that keeps a dict, shows what the object alone takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import importlib.metadata
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import uvloop

from roost.clock import SystemClock
from roost.events import Effect, SocketMessage
from roost.held_socket import HeldSocket, SocketRoll
from roost.ids import IdSpace
from roost.limits import DEFAULTS
from roost.meter import Meter
from roost.objects.activation import Activation
from roost.objects.current_task import restore_current_task, set_current_task
from roost.objects.durable_object import DurableObject
from roost.objects.gates import Section
from roost.objects.turn import RETURNED, ObjectTask
from roost.objects.web_socket import WebSocket
from roost.observer import Observer
from roost.storage.journal.log import MemoryLog, OnDurable
from roost.storage.journal.record import Record
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

ROUNDS = 5
OBJECT = IdSpace("ROOM", "ROOM").from_name("bench")


class Nowhere:
    """An outlet that counts."""

    def __init__(self) -> None:
        self.count = 0

    def emit(self, effects: Sequence[Effect]) -> None:
        self.count += len(effects)


class InstantLog(MemoryLog):
    """Durable in the loop's next turn."""

    def append(self, record: Record, on_durable: OnDurable) -> int:
        asyncio.get_running_loop().call_soon(on_durable, None)
        return super().append(record, on_durable)

    def flush(self) -> None:
        self._pending.clear()


class DictStorage(ObjectStorage):
    """What an activation asks of a storage, and nothing on disk."""

    def __init__(self, store: HostStore) -> None:
        super().__init__(OBJECT, store)
        self._values: dict[str, bytes] = {}
        self._number = 0

    def put(self, key: str, value: bytes, *, confirmed: bool = True) -> None:
        self._values[key] = value
        self._mark_dirty(confirmed)

    def commit(self, on_durable: OnDurable) -> int:
        self._wrote = self.confirmed = False
        self._number += 1
        asyncio.get_running_loop().call_soon(on_durable, None)
        return self._number


class BenchSurroundings:
    def __init__(self, store: HostStore, storage: ObjectStorage) -> None:
        self.clock, self.limits, self.observer = SystemClock(), DEFAULTS, Observer()
        self.outlet, self.roll, self.meter = Nowhere(), SocketRoll(), Meter()
        self._storage = storage

    def open_storage(self) -> ObjectStorage:
        return self._storage

    def ended(self, activation: Activation, cause: BaseException | None) -> None:
        if cause is not None:
            raise cause


class Echo(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        ws.send(message)


class Waiting(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        await asyncio.sleep(0)
        ws.send(message)


class Putting(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        await self.ctx.storage.put("last", message)
        ws.send(message)


class Loop(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        for s in self.ctx.get_web_sockets():
            s.send(message)


class Broadcast(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        self.ctx.broadcast(message)


class Bench:
    """One object with sockets, and a way to measure what a message costs it."""

    def __init__(self, cls: type[DurableObject], store: HostStore, storage: ObjectStorage, sockets: int = 1) -> None:
        self._surroundings = BenchSurroundings(store, storage)
        for number in range(1, sockets + 1):
            held = HeldSocket(tags=("room",))
            held.number = number
            self._surroundings.roll.add(held)
        self._held = next(iter(self._surroundings.roll.sockets))
        self.activation = Activation(OBJECT, cls, None, self._surroundings)
        self.activation.start()

    async def _rest(self) -> None:
        while self.activation.pinned_by():  # noqa: ASYNC110 - no happening tells; it takes a turn of the loop or two
            await asyncio.sleep(0)

    async def microseconds(self, seconds: float, batch: int = 1_000) -> float:
        """Per message, from `deliver` to the emission of everything that it caused."""
        best = float("inf")
        outlet = self._surroundings.outlet
        for _ in range(ROUNDS):
            end = time.perf_counter() + seconds / ROUNDS
            while time.perf_counter() < end:
                before = outlet.count
                begin = time.perf_counter()
                for _ in range(batch):
                    self.activation.deliver(SocketMessage(self._held, "hello, world"))
                await self._rest()
                best = min(best, (time.perf_counter() - begin) / batch * 1e6)
                assert outlet.count > before
        return best


class NoDriver:
    """Whom an ObjectTask that never waits has to ask."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.home = contextvars.copy_context()

    def resume(self, task: ObjectTask) -> None:
        raise AssertionError("it never waits")

    suspended = resume


def first_step(rounds: int = ROUNDS, count: int = 20_000) -> float:
    """What it costs to run a handler that never waits as an ObjectTask, by itself; as `Delivery.begin_message` does."""
    driver, root, base = NoDriver(), Section(None), contextvars.copy_context()
    previous = asyncio.current_task()

    def done(task: ObjectTask) -> None:
        pass

    async def handler(message: str) -> None:
        pass

    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(count):
            context = base.copy()
            set_current_task(driver.loop, ObjectTask(driver, context, root, done))
            context.run(next, handler("x").__await__(), RETURNED)
        best = min(best, (time.perf_counter() - begin) / count * 1e6)
        restore_current_task(driver.loop, previous)
    return best


async def task_per_event(seconds: float) -> float:
    """What the same echo costs with an `asyncio.Task` for each message and nothing else around it."""
    sent: list[str] = []

    async def handler(message: str) -> None:
        sent.append(message)

    best = float("inf")
    for _ in range(ROUNDS):
        sent.clear()
        begin = time.perf_counter()
        tasks = [asyncio.ensure_future(handler("x")) for _ in range(2_000)]
        await asyncio.wait(tasks)
        best = min(best, (time.perf_counter() - begin) / 2_000 * 1e6)
    return best


async def measure(directory: str, seconds: float) -> list[tuple[str, float]]:
    store = HostStore(directory, log=InstantLog())

    async def of(cls: type[DurableObject], *, sockets: int = 1, batch: int = 1_000, on_disk: bool = False) -> float:
        storage = store.open(OBJECT) if on_disk else DictStorage(store)
        bench = Bench(cls, store, storage, sockets)
        figure = await bench.microseconds(seconds, batch)
        bench.activation.hibernate()
        return figure

    figures = [
        ("echo, first step only", await of(Echo)),
        ("echo after one sleep(0)", await of(Waiting)),
        ("the first step alone, as an ObjectTask", first_step()),
        ("a bare asyncio.Task per message", await task_per_event(seconds)),
        ("put and send, storage in a dict", await of(Putting)),
        ("put and send, SQLite and an instant log", await of(Putting, on_disk=True)),
        ("loop of send, per socket of 1000", await of(Loop, sockets=1_000, batch=10) / 1_000),
        ("ctx.broadcast to 1000", await of(Broadcast, sockets=1_000)),
    ]
    store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    factory: Callable[[], Any] = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
    print(
        f"python {platform.python_version()}, {options.loop}, msgspec {importlib.metadata.version('msgspec')}",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=factory) as runner:
        for name, microseconds in runner.run(measure(directory, options.seconds)):
            print(f"{microseconds:8.3f} µs  {name}")


if __name__ == "__main__":
    main()
