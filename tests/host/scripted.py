"""A gateway that does what a test says: frames in, frames out. And hosts to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar

from roost.host.app import App, app_of_classes
from roost.host.host import Host
from roost.limits import DEFAULTS, Limits
from roost.link import frames
from roost.link.frames import VERSION, Frame, Hello, RolledSocket, SocketGrant
from roost.link.memory import MemoryConnection, memory_pair
from roost.storage.store import HostStore

F = TypeVar("F")

_incarnations = itertools.count(1_000)


async def settle(turns: int = 20) -> None:
    """Let the loop turn until what is under way in memory has arrived."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Answered:
    """A response as it came over the link."""

    def __init__(self, start: frames.ResponseStart, body: bytes) -> None:
        self.status = start.status
        self.headers = {name.lower(): value for name, value in start.headers}
        self.grant = start.socket
        self.body = body
        self.text = body.decode()


class ScriptedGateway:
    """The peer's end of a link to a host."""

    def __init__(self, host: Host, number: int = 0, *, incarnation: int = 0, role: str = "gateway") -> None:
        self.incarnation = incarnation or next(_incarnations)
        self.frames: list[Frame] = []
        self.received = 0
        """How many frames have come, without the Hello."""
        self.agrees = True
        """Answers Drain by itself."""
        self.lost: list[BaseException | None] = []
        self.arrived = asyncio.Event()
        self._streams = itertools.count(1)
        self._sockets = itertools.count(1)
        peer, owner = memory_pair(Hello(VERSION, role, number, self.incarnation), host.hello, host.limits)
        self.connection: MemoryConnection = peer
        peer.start(self._on_frames, self._on_lost)
        self.session = host.accept(owner)

    def _on_frames(self, batch: list[Frame]) -> None:
        self.frames.extend(batch)
        self.received += sum(not isinstance(frame, Hello) for frame in batch)
        if self.agrees and any(isinstance(frame, frames.Drain) for frame in batch):
            self.send(frames.Drained())
        self.arrived.set()

    def _on_lost(self, error: BaseException | None) -> None:
        self.lost.append(error)
        self.arrived.set()

    # -- frames ------------------------------------------------------------------------------------------------------

    def send(self, *sent: Frame) -> None:
        for frame in sent:
            self.connection.send(frame)

    def roll(self, *sockets: RolledSocket, received: tuple[int, int] | None = None) -> ScriptedGateway:
        if sockets:
            self.send(frames.Roll(list(sockets)))
        self.send(frames.RollEnd(received))
        return self

    async def expect(self, kind: type[F], **facts: Any) -> F:
        """The next frame of that kind with those facts, which is taken; everything before it stays."""
        async with asyncio.timeout(5):
            while True:
                for at, frame in enumerate(self.frames):
                    if isinstance(frame, kind) and all(getattr(frame, k) == v for k, v in facts.items()):
                        del self.frames[at]
                        return frame
                self.arrived.clear()
                await self.arrived.wait()

    def take(self, kind: type[F]) -> list[F]:
        """The frames of that kind that have come."""
        taken: list[F] = [frame for frame in self.frames if isinstance(frame, kind)]
        self.frames = [frame for frame in self.frames if not isinstance(frame, kind)]
        return taken

    # -- requests ----------------------------------------------------------------------------------------------------

    def begin(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        more: bool = False,
        upgrade: bool = False,
    ) -> int:
        """Send the start of a request to the entrypoint; its stream."""
        stream = next(self._streams)
        lines = list(headers) + ([("Upgrade", "websocket")] if upgrade else [])
        self.send(
            frames.RequestStart(stream, None, method, f"http://test{url}", lines, body, more, upgrade, "1.2.3.4:5")
        )
        return stream

    async def answer(self, stream: int) -> Answered:
        """The whole response."""
        start = await self.expect(frames.ResponseStart, stream=stream)
        body, more = start.body, start.more
        while more:
            chunk = await self.expect(frames.BodyChunk, stream=stream)
            body, more = body + chunk.data, chunk.more
            self.send(frames.BodyCredit(stream, len(chunk.data)))
        return Answered(start, body)

    async def request(self, url: str, **options: Any) -> Answered:
        return await self.answer(self.begin(url, **options))

    # -- sockets -----------------------------------------------------------------------------------------------------

    async def granted(self, url: str) -> SocketGrant:
        answered = await self.request(url, upgrade=True)
        assert answered.status == 101, answered.text
        assert answered.grant is not None
        return answered.grant

    def open(self, grant: SocketGrant, protocol: str = "") -> int:
        number = self.incarnation << 32 | next(self._sockets)
        self.send(frames.SocketOpened(grant.grant, number, protocol))
        return number

    async def connect(self, url: str) -> int:
        """A client with a WebSocket; its number."""
        return self.open(await self.granted(url))

    async def say(self, number: int, data: str | bytes) -> list[frames.Send]:
        """Send a message as that client, wait until it was handled, and give what was sent meanwhile."""
        self.send(frames.SocketMessage(number, data))
        await self.expect(frames.Finished)
        return self.take(frames.Send)


@contextlib.asynccontextmanager
async def host_of(
    data: Path,
    *classes: Any,
    entrypoint: Any = None,
    app: App | None = None,
    limits: Limits = DEFAULTS,
    number: int = 0,
    crash: bool = False,
    **options: Any,
) -> AsyncIterator[Host]:
    """A host with real storage. `crash` leaves it without a word at the end."""
    store = HostStore(data, number, limits=limits)
    host = Host(app or app_of_classes(*classes, entrypoint=entrypoint), store, number=number, limits=limits, **options)
    await host.start()
    try:
        yield host
    finally:
        if not crash:
            await host.drain()
        await host.close()
        await settle()
        store.close()
        await settle()
