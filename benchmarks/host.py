"""What does a message cost in a host, from the frame that brings it to the frames that it causes?

    python benchmarks/host.py [messages]

A scripted gateway feeds a host over the memory link, in batches of 50, in one process. `echo` answers each message;
`broadcast` sends each to a room of 100 by a loop of `send`; `handler` is the same handler called without any host, link
or gate; `link` carries the frames of `echo` without a host. Without a store that is written to: see `storage.py`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.link import frames
from roost.link.frames import VERSION, Frame, Hello
from roost.link.memory import MemoryConnection, memory_pair
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response
from roost.storage.store import HostStore

BATCH = 50
GATEWAY = 9


class Echo(DurableObject):
    """Answers each message."""

    async def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


class Room(Echo):
    """Sends each message to everyone else."""

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        for other in self.ctx.get_web_sockets():
            if other is not ws:
                other.send(message)


async def enter(request: Any, env: Any) -> Any:
    return await env[request.query["class"]].get_by_name("x").fetch(request)


class Gateway:
    """Feeds messages and counts what is finished."""

    def __init__(self, host: Host) -> None:
        peer, owner = memory_pair(Hello(VERSION, "gateway", 0, GATEWAY), host.hello)
        self.connection: MemoryConnection = peer
        self.left = 0
        self.grants: list[int] = []
        self.turn = asyncio.Event()
        peer.start(self._took, lambda error: None)
        host.accept(owner)
        peer.send(frames.RollEnd())

    def _took(self, batch: list[Frame]) -> None:
        for frame in batch:
            if type(frame) is frames.Finished:
                self.left -= len(frame.sockets)
            elif isinstance(frame, frames.ResponseStart):
                assert frame.socket is not None
                self.grants.append(frame.socket.grant)
        self.turn.set()

    async def connect(self, binding: str, count: int) -> list[int]:
        for stream in range(1, count + 1):
            url = f"http://x/?class={binding}"
            upgrade = [("Upgrade", "websocket")]
            self.connection.send(frames.RequestStart(stream, None, "GET", url, upgrade, b"", False, True, ""))
        while len(self.grants) < count:
            self.turn.clear()
            await self.turn.wait()
        numbers = [GATEWAY << 32 | n for n in range(1, count + 1)]
        for grant, number in zip(self.grants, numbers, strict=True):
            self.connection.send(frames.SocketOpened(grant, number, ""))
        return numbers

    async def feed(self, numbers: list[int], messages: int) -> None:
        """Send so many messages, a batch at a time, each when the last is finished."""
        for at in range(0, messages, BATCH):
            self.left += BATCH
            for n in range(at, at + BATCH):
                self.connection.send(frames.SocketMessage(numbers[n % len(numbers)], "sixteen letters."))
            while self.left:
                self.turn.clear()
                await self.turn.wait()


async def through_host(cls: type[DurableObject], members: int, messages: int) -> float:
    with tempfile.TemporaryDirectory() as directory:
        store = HostStore(directory)
        host = Host(app_of_classes(cls, entrypoint=enter), store)
        await host.start()
        gateway = Gateway(host)
        numbers = await gateway.connect(cls.__name__.upper(), members)
        await gateway.feed(numbers, messages // 10)
        begin = time.perf_counter()
        await gateway.feed(numbers, messages)
        took = time.perf_counter() - begin
        await host.close()
        store.close()
    return took


async def through_link(messages: int) -> float:
    """The frames of `echo`, with nobody in between."""
    peer, owner = memory_pair(Hello(VERSION, "gateway", 0, GATEWAY), Hello(VERSION, "host", 0, 1))
    turn = asyncio.Event()

    def echo(batch: list[Frame]) -> None:
        finished = []
        for frame in batch:
            if isinstance(frame, frames.SocketMessage):
                owner.send(frames.Send([frame.socket], frame.data))
                finished.append(frame.socket)
        if finished:
            owner.send(frames.Finished(finished))

    def took(batch: list[Frame]) -> None:
        if any(type(frame) is frames.Finished for frame in batch):
            turn.set()

    owner.start(echo, lambda error: None)
    peer.start(took, lambda error: None)
    begin = time.perf_counter()
    for _ in range(0, messages, BATCH):
        for n in range(BATCH):
            peer.send(frames.SocketMessage(GATEWAY << 32 | n, "sixteen letters."))
        turn.clear()
        await turn.wait()
    return time.perf_counter() - begin


async def handler_alone(messages: int) -> float:
    sent: list[Any] = []

    class Socket:
        def send(self, message: Any) -> None:
            sent.append(message)

    echo, socket = Echo.__new__(Echo), Socket()
    begin = time.perf_counter()
    for _ in range(messages):
        try:
            echo.web_socket_message(socket, "sixteen letters.").send(None)
        except StopIteration:
            continue
    return time.perf_counter() - begin


async def measure(name: str, run: Callable[[], Awaitable[float]], messages: int) -> None:
    best = min([await run() for _ in range(3)])
    print(f"{name:<22} {messages / best:>10,.0f} messages/s   {best / messages * 1e6:>7.2f} µs a message")


async def main(messages: int) -> None:
    await measure("handler", lambda: handler_alone(messages), messages)
    await measure("link", lambda: through_link(messages), messages)
    await measure("echo", lambda: through_host(Echo, 100, messages), messages)
    few = max(messages // 20, BATCH)
    await measure("broadcast to 99", lambda: through_host(Room, 100, few), few)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
