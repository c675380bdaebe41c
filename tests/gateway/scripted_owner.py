"""A host's end of a link whose every answer is written by the test, and a gateway that is linked with it in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from roost.clock import Clock, SystemClock
from roost.errors import LinkError
from roost.gateway.host_links import HostLinks
from roost.gateway.server import Gateway
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.frames import VERSION, Frame, Hello, ObjectRef, SocketGrant
from roost.link.memory import MemoryConnection, memory_pair
from roost.observer import Observer

F = TypeVar("F")
KEY = b"k" * 32


class Owner:
    """One host: what came over the link, in order, and whatever the test sends back."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.incarnation = 1
        self.received: list[Frame] = []
        self.answer: Callable[[Frame], None] = lambda frame: None
        """Called with each frame: for owners that answer by themselves."""
        self.end: MemoryConnection | None = None
        self.gateway_end: MemoryConnection | None = None
        self.reachable = True
        self._waiting: list[tuple[type, asyncio.Future[Any]]] = []
        self._grants = itertools.count(1)

    async def connect(self, hello: Hello, limits: Limits) -> Connection:
        if not self.reachable:
            raise LinkError("the host is away")
        own = Hello(VERSION, "host", self.number, self.incarnation)
        self.gateway_end, self.end = memory_pair(hello, own, limits)
        self.end.start(self._on_frames, self._on_lost)
        return self.gateway_end

    def _on_frames(self, received: list[Frame]) -> None:
        for frame in received:
            self.received.append(frame)
            self.answer(frame)
            self._wake()

    def _on_lost(self, error: BaseException | None) -> None:
        self.end = None

    def _wake(self) -> None:
        for entry in list(self._waiting):
            kind, future = entry
            found = next((frame for frame in self.received if isinstance(frame, kind)), None)
            if found is not None:
                self._waiting.remove(entry)
                if not future.done():
                    self.received.remove(found)
                    future.set_result(found)

    async def take(self, kind: type[F]) -> F:
        """The next frame of that kind; it is taken out of `received`."""
        future: asyncio.Future[F] = asyncio.get_running_loop().create_future()
        self._waiting.append((kind, future))
        self._wake()
        return await asyncio.wait_for(future, 10)

    def has(self, kind: type) -> bool:
        return any(isinstance(frame, kind) for frame in self.received)

    def send(self, *sent: Frame) -> None:
        assert self.end is not None, "the link is gone"
        for frame in sent:
            self.end.send(frame)

    def respond(
        self,
        request: frames.RequestStart,
        status: int = 200,
        body: bytes = b"",
        headers: list[tuple[str, str]] | None = None,
        *,
        more: bool = False,
        grant: SocketGrant | None = None,
    ) -> None:
        self.send(frames.ResponseStart(request.stream, status, headers or [], body, more, grant))

    def grant(
        self,
        *,
        key: bytes = KEY,
        tags: tuple[str, ...] = (),
        hibernating: bool = True,
        attachment: bytes | None = None,
        auto_response: tuple[str, str] | None = None,
    ) -> SocketGrant:
        reference = ObjectRef("ROOM", key, "room")
        return SocketGrant(
            self.number, next(self._grants), self.incarnation, reference, tags, hibernating, attachment, auto_response
        )

    async def accept(self, *, protocol: str = "", join: bool = True, **grant: Any) -> int:
        """Answer the next request with 101, and count its socket in; the number of the socket."""
        request = await self.take(frames.RequestStart)
        headers = [("Sec-WebSocket-Protocol", protocol)] if protocol else []
        self.respond(request, 101, headers=headers, grant=self.grant(**grant))
        number = (await self.take(frames.SocketOpened)).socket
        if join:
            self.send(frames.Joined(number))
        return number

    # -- what happens to hosts -----------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Die as by kill -9; the next one has another incarnation and is not there before `reachable` is set."""
        self.reachable = False
        self.incarnation += 1
        assert self.end is not None, "the link is gone"
        self.end.lose()

    def leave(self) -> None:
        """Say goodbye and go, everything being finished."""
        self.reachable = False
        self.incarnation += 1
        self.send(frames.Goodbye())
        assert self.end is not None, "the link is gone"
        self.end.close()


class Served:
    """A running gateway, its owners and where it listens."""

    def __init__(self, gateway: Gateway, owners: list[Owner], address: tuple[str, int], observer: Observer) -> None:
        self.gateway = gateway
        self.owners = owners
        self.owner = owners[0]
        self.host, self.port = address
        self.observer = observer

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self.port}"


@asynccontextmanager
async def serving(
    limits: Limits | None = None,
    *,
    owners: int = 1,
    clock: Clock | None = None,
    linked: bool = True,
    tls: Any = None,
    assets: Any = None,
    **options: Any,
) -> AsyncIterator[Served]:
    """A gateway on a free port, linked with scripted owners unless `linked` is false.

    Fails at the end when anything raised where only the loop could see it.
    """
    limits, clock, observer = limits or Limits(close_seconds_max=0.5), clock or SystemClock(), Observer()
    hosts = [Owner(number) for number in range(owners)]
    if not linked:
        for host in hosts:
            host.reachable = False

    async def connect(number: int, hello: Hello) -> Connection:
        return await hosts[number].connect(hello, limits)

    links = HostLinks(range(owners), connect, limits=limits, clock=clock, observer=observer)
    gateway = Gateway(limits, clock, observer, assets, links, **options)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    address = await gateway.start(tls=tls)
    try:
        if linked:
            for host in hosts:
                await host.take(frames.RollEnd)
                host.received.clear()
        yield Served(gateway, hosts, address, observer)
    finally:
        await gateway.stop()
    assert failures == [], f"a callback of the loop failed: {failures}"
