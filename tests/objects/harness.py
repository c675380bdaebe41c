"""One object and hand-made surroundings: time, durability and the sockets' numbers are the test's to give."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from roost.clock import Timer
from roost.events import (
    Attach,
    AutoRespond,
    Close,
    Depart,
    Effect,
    Event,
    Fetch,
    Finished,
    Send,
    SendToTagged,
    SocketClosed,
    SocketFailed,
    SocketMessage,
)
from roost.held_socket import HeldSocket, SocketRoll
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.meter import Meter
from roost.objects.activation import Activation
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket
from roost.observer import Observer
from roost.request import Request
from roost.response import Response
from roost.storage.journal.log import MemoryLog
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

SPACE = IdSpace("ROOM", "ROOM")
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


class _Call:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        call = _Call(callback)
        heapq.heappush(self._calls, (self.now + seconds, next(self._order), call))
        return call

    def waiting(self) -> int:
        """Timers that are due some time."""
        return sum(1 for _, _, call in self._calls if call.callback is not None)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._calls and self._calls[0][0] <= end:
            self.now, _, call = heapq.heappop(self._calls)
            if call.callback is not None:
                callback, call.callback = call.callback, None
                callback()
        self.now = end


def told(effect: Effect) -> tuple[Any, ...]:
    """An effect as a tuple that a test can compare; sockets by their numbers."""
    match effect:
        case Send():
            return ("send", effect.data, [socket.number for socket in effect.sockets])
        case SendToTagged():
            return ("broadcast", effect.data, effect.tag, [socket.number for socket in effect.excluded])
        case Close():
            return ("close", effect.socket.number, effect.code, effect.reason)
        case Attach():
            return ("attach", effect.socket.number, effect.attachment)
        case AutoRespond():
            return ("auto", effect.pair)
        case Finished():
            return ("finished", [socket.number for socket in effect.sockets])
    raise AssertionError(effect)


class Outlet:
    """Keeps what left, and lets departures depart, in order."""

    def __init__(self) -> None:
        self.left: list[tuple[Any, ...]] = []

    def emit(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if type(effect) is Depart:
                effect.depart()
            else:
                self.left.append(told(effect))


class HandSurroundings:
    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.clock = harness.clock
        self.limits = harness.limits
        self.observer = harness.observer
        self.outlet = harness.outlet
        self.roll = harness.roll
        self.meter = harness.meter

    def open_storage(self) -> ObjectStorage:
        return self._harness.store.open(self._harness.object_id)

    def ended(self, activation: Activation, cause: BaseException | None) -> None:
        self._harness.ended.append(cause)
        assert self._harness.activation is activation
        self._harness.activation = None
        self._harness.leftovers = activation.leftovers


class Harness:
    """One object, woken by whatever is delivered to it."""

    def __init__(
        self, cls: type[DurableObject], directory: Path, *, limits: Limits | None = None, env: Any = None
    ) -> None:
        self.cls = cls
        self.directory = directory
        self.env = env
        self.clock = FakeClock()
        self.limits = limits or Limits()
        self.observer = Observer()
        self.outlet = Outlet()
        self.roll = SocketRoll()
        self.meter = Meter()
        self.log = MemoryLog()
        self.store = HostStore(directory, log=self.log, clock=self.clock)
        self.object_id: ObjectId = SPACE.from_name("x")
        self.activation: Activation | None = None
        self.leftovers: list[Event] = []
        """What the last life left over; the next one is given it."""
        self.ended: list[BaseException | None] = []
        self.happened: list[tuple[str, dict[str, Any]]] = []
        self.observer.subscribe(None, lambda name, facts: self.happened.append((name, facts)))
        self._numbers = itertools.count(1)
        self.woken = 0

    # -- what comes in -------------------------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """As a host does: wake the object if it has no activation, then deliver."""
        (self.activation or self.wake()).deliver(event)

    def wake(self) -> Activation:
        """Begin a life, which is given what the last one left over."""
        self.woken += 1
        unheard, self.leftovers = self.leftovers, []
        surroundings = HandSurroundings(self)
        self.activation = Activation(self.object_id, self.cls, self.env, surroundings, unheard)
        return self.activation

    def fetch(self, url: str = "/", *, upgrade: bool = False, **options: Any) -> asyncio.Future[Response]:
        """Ask the object; the result is done when the answer has left."""
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        headers = UPGRADE if upgrade else {}
        request = Request(f"http://room{url}", headers=headers, **options)
        self.deliver(Fetch(request, answer.set_result, answer.set_exception))
        return answer

    async def text(self, url: str = "/", **options: Any) -> str:
        return await (await self.fetch(url, **options)).text()

    def connect(self, response: Response) -> HeldSocket:
        """The client of a 101 response is connected."""
        held: HeldSocket | None = getattr(response.web_socket, "held_socket", None)
        assert held is not None
        held.number = next(self._numbers)
        return held

    def hold(self, *tags: str) -> HeldSocket:
        """A hibernating socket that was there before."""
        held = HeldSocket(tags=tags)
        held.number = next(self._numbers)
        self.roll.add(held)
        return held

    def message(self, held: HeldSocket, data: str | bytes) -> None:
        self.deliver(SocketMessage(held, data))

    def close(self, held: HeldSocket, code: int = 1000, reason: str = "", *, was_clean: bool = True) -> None:
        self.deliver(SocketClosed(held, code, reason, was_clean))

    def fail(self, held: HeldSocket, error: Exception) -> None:
        self.deliver(SocketFailed(held, error))

    # -- what goes out -------------------------------------------------------------------------------------------------

    def left(self) -> list[tuple[Any, ...]]:
        """The effects that have left since the last look, without those that give back credit."""
        return [effect for effect in self.all_left() if effect[0] != "finished"]

    def all_left(self) -> list[tuple[Any, ...]]:
        left, self.outlet.left = self.outlet.left, []
        return left

    def durable(self) -> None:
        """Everything that was handed to the log is durable now."""
        for append in self.log.pending():
            if append in self.log.pending():
                append.succeed()

    @property
    def alive(self) -> Activation:
        assert self.activation is not None, f"the activation has ended: {self.ended}"
        return self.activation

    def names(self) -> list[str]:
        """What happened, by name."""
        return [name for name, _ in self.happened]

    def reopen(self) -> None:
        """Close the store and open it again, as a host does that is started again."""
        assert self.activation is None
        self.store.close()
        self.store = HostStore(self.directory, log=self.log, clock=self.clock)

    def close_down(self) -> None:
        """End the object and its storage; nothing may be left over."""
        if self.activation is not None:
            self.activation.stop(RuntimeError("the test is over"))
        self.durable()
        self.store.close()


async def settle() -> None:
    """Let the loop run until what is due now has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


class Scripted(DurableObject):
    """Its handlers are given by the test: `env["/path"]` answers requests, `env["text"]` messages of that text."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = env.setdefault("log", [])
        if "construct" in env:
            env["construct"](self)

    async def fetch(self, request: Request) -> Response:
        result = await self.env[request.path](self)
        return result if isinstance(result, Response) else Response(str(result))

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        self.log.append(f"message {message}")
        if message in self.env:
            await self.env[message](self, ws)

    async def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(f"closed {code} {reason} {was_clean}")
        if "close" in self.env:
            await self.env["close"](self, ws)

    async def web_socket_error(self, ws: WebSocket, error: Exception) -> None:
        self.log.append(f"error {error}")
        if "error" in self.env:
            await self.env["error"](self, ws)


def signal() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


MakeHarness = Callable[..., Harness]


@contextlib.asynccontextmanager
async def harnesses(directory: Path) -> AsyncIterator[MakeHarness]:
    """Makes harnesses, and closes them in the end."""
    made: list[Harness] = []

    def make(cls: type[DurableObject], **options: Any) -> Harness:
        harness = Harness(cls, directory / str(len(made)), **options)
        made.append(harness)
        return harness

    yield make
    for harness in made:
        harness.close_down()
    await settle()  # what was cancelled ends


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_every_loop(test: Callable[[MakeHarness], Coroutine[Any, Any, None]]) -> Callable[[Path, str], None]:
    """Run an async test that takes `live` on asyncio's own loop and on uvloop."""

    async def played(directory: Path) -> None:
        async with harnesses(directory) as live:
            await test(live)

    @pytest.mark.parametrize("loop", LOOPS)
    def every_loop(tmp_path: Path, loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(played(tmp_path))

    every_loop.__name__, every_loop.__doc__ = test.__name__, test.__doc__
    every_loop.__module__ = test.__module__
    return every_loop
