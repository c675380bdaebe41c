"""A room that lives through anything but a crash: everybody hears everything, in one order, once."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import VERSION, Frame, Hello, RolledSocket, SocketGrant
from roost.link.memory import MemoryConnection, memory_pair
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response
from roost.storage.store import HostStore

from .parts import HandClock
from .scripted import settle


class Counting(DurableObject):
    """Numbers what it hears, and tells all, each time in another way."""

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx
        self.count = 0
        ctx.block_concurrency_while(self.load)

    async def load(self) -> None:
        self.count = await self.ctx.storage.get("count", 0)

    async def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["all", request.query["tag"]])
        server.send(str(self.count))
        if "wait" in request.query:
            await asyncio.sleep(0)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, way: Any) -> None:
        self.count += 1
        told = str(self.count)
        if "put" in way:
            await self.ctx.storage.put("count", self.count)
        if "loop" in way:
            for one in self.ctx.get_web_sockets():
                one.send(told)
        elif "tags" in way:
            self.ctx.broadcast(told, tag="even")
            self.ctx.broadcast(told, tag="odd")
        elif "self" in way:
            self.ctx.broadcast(told, exclude=ws)
            ws.send(told)
        else:
            self.ctx.broadcast(told, tag="all")
        await self.ctx.storage.put("count", self.count)


async def enter(request: Any, env: Any) -> Any:
    return await env.COUNTING.get_by_name("x").fetch(request)


class Held:
    def __init__(self, grant: SocketGrant) -> None:
        self.grant = grant
        self.heard: list[int] = []
        self.joined = False


class HoldingGateway:
    """Keeps sockets as a gateway does, through any number of hosts."""

    def __init__(self, number: int, choice: random.Random) -> None:
        self.number, self.choice = number, choice
        self.held: dict[int, Held] = {}
        self.unfinished = 0
        self._numbers = itertools.count(1)
        self._streams = itertools.count(1)
        self.connection: MemoryConnection

    def attach(self, host: Host) -> None:
        peer, owner = memory_pair(Hello(VERSION, "gateway", self.number, 50 + self.number), host.hello)
        self.connection = peer
        peer.start(self._took, lambda error: None)
        host.accept(owner)
        told = [
            RolledSocket(number, one.grant.object, one.grant.tags, None, "", None, None)
            for number, one in self.held.items()
        ]
        self.choice.shuffle(told)
        for one in self.held.values():
            one.joined = True
        peer.send(frames.Roll(told))
        peer.send(frames.RollEnd())

    def _took(self, batch: list[Frame]) -> None:
        for frame in batch:
            if isinstance(frame, frames.Send):
                for number in frame.sockets:
                    self._hear(number, frame.data)
            elif isinstance(frame, frames.SendToTagged):
                for number, one in self.held.items():
                    reached = one.joined and (frame.tag is None or frame.tag in one.grant.tags)
                    if reached and number not in frame.excluded:
                        self._hear(number, frame.data)
            elif isinstance(frame, frames.Joined):
                if frame.socket in self.held:
                    self.held[frame.socket].joined = True
            elif isinstance(frame, frames.ResponseStart):
                assert frame.socket is not None, frame
                self._open(frame.socket)
            elif isinstance(frame, frames.Finished):
                self.unfinished -= len(frame.sockets)
            elif isinstance(frame, frames.Drain):
                self.connection.send(frames.Drained())

    def _hear(self, number: int, data: str) -> None:
        if number in self.held:
            self.held[number].heard.append(int(data))

    def _open(self, grant: SocketGrant) -> None:
        if self.choice.random() < 0.2:
            self.connection.send(frames.GrantDropped(grant.grant))
            return
        number = (50 + self.number) << 32 | next(self._numbers)
        self.held[number] = Held(grant)
        self.connection.send(frames.SocketOpened(grant.grant, number, ""))

    # -- what clients do -----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        url = f"http://x/?tag={self.choice.choice(['even', 'odd'])}{self.choice.choice(['', '&wait=1'])}"
        upgrade = [("Upgrade", "websocket")]
        self.connection.send(frames.RequestStart(next(self._streams), None, "GET", url, upgrade, b"", False, True, ""))

    def say(self) -> None:
        if self.held:
            way = self.choice.choice(["loop", "tags", "self", "all"]) + self.choice.choice(["", " put"])
            self.unfinished += 1
            self.connection.send(frames.SocketMessage(self.choice.choice(list(self.held)), way))

    def leave(self) -> None:
        if self.held:
            number = self.choice.choice(list(self.held))
            self.connection.send(frames.SocketClosed(number, 1000, "", True))
            check(self.held.pop(number))


def check(one: Held) -> None:
    first = one.heard[0] if one.heard else 0
    assert one.heard == list(range(first, first + len(one.heard)))


@pytest.mark.parametrize("run", range(12))
async def test_everybody_hears_everything_once_and_in_order(tmp_path: Path, run: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    choice = random.Random(seed)
    clock = HandClock()
    gateways = [HoldingGateway(number, choice) for number in (0, 1)]
    for _ in range(3):  # hosts, one after the other
        limits = Limits(idle_seconds=1, roll_seconds_max=1_000)
        store = HostStore(tmp_path, 0, limits=limits)
        app = app_of_classes(Counting, entrypoint=enter)
        host = Host(app, store, gateways=[0, 1], limits=limits, clock=clock)
        await host.start()
        for gateway in gateways:
            gateway.attach(host)
        for _ in range(60):
            gateway = choice.choice(gateways)
            choice.choices([gateway.connect, gateway.say, gateway.leave], [3, 6, 1])[0]()
            if choice.random() < 0.3:
                await settle(choice.randrange(6))
            if choice.random() < 0.05:
                clock.advance(2)
        await host.drain()
        await host.close()
        await settle()
        store.close()
        assert [gateway.unfinished for gateway in gateways] == [0, 0]
    everyone = [one for gateway in gateways for one in gateway.held.values()]
    for one in everyone:
        check(one)
    assert len({one.heard[-1] for one in everyone}) <= 1
