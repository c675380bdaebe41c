"""A reset costs nobody a message that no handler had begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from roost.host.host import Host
from roost.limits import Limits
from roost.link import frames
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .parts import HandClock
from .scripted import ScriptedGateway, host_of, settle

LIMITS = Limits(construction_tries_max=3, construction_retry_seconds=0.5)
GIVEN_UP = "the object could not be constructed to hear this message"


class Story:
    """What the object does, and what it heard."""

    def __init__(self) -> None:
        self.broken = False
        self.constructions = 0
        self.heard: list[str] = []
        self.blocked = asyncio.Event()


class Room(DurableObject):
    story: Story

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.story.constructions += 1
        if self.story.broken:
            raise LookupError("no board")

    async def fetch(self, request: Any) -> Response:
        if request.path == "/hello":
            return Response("hello")
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        self.story.heard.append(message)
        if message == "block":
            await self.ctx.block_concurrency_while(self.blocked)

    async def blocked(self) -> None:
        await self.story.blocked.wait()
        self.ctx.abort("enough")

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.story.heard.append(f"closed {code}")


async def enter(request: Any, env: Any) -> Any:
    return await env.ROOM.get_by_name("a").fetch(request)


class Stage:
    """A host with one room, two sockets, and a clock."""

    def __init__(self, host: Host, clock: HandClock, story: Story) -> None:
        self.host, self.clock, self.story = host, clock, story
        self.gateway = ScriptedGateway(host).roll()
        self.reports: list[Any] = []
        host.observer.subscribe("object.messages_lost", lambda _, facts: self.reports.append(facts))

    async def connect(self, count: int) -> list[int]:
        numbers = [await self.gateway.connect("/") for _ in range(count)]
        await settle()
        self.story.constructions = 0
        return numbers

    async def sleep(self) -> None:
        (place,) = self.host.activations.places.values()
        self.host.activations.hibernate(place.key)

    async def send(self, number: int, data: str) -> None:
        self.gateway.send(frames.SocketMessage(number, data))
        await settle()

    def finished(self) -> list[int]:
        return [number for frame in self.gateway.take(frames.Finished) for number in frame.sockets]


@contextlib.asynccontextmanager
async def stage(tmp_path: Path, cls: type[Room] = Room) -> AsyncIterator[Stage]:
    clock, story = HandClock(), Story()
    own = type("Room", (cls,), {"story": story})
    async with host_of(tmp_path, own, entrypoint=enter, clock=clock, limits=LIMITS) as host:
        yield Stage(host, clock, story)
        story.broken = False
        story.blocked.set()
        clock.advance(10)


async def test_what_waits_at_a_reset_is_heard_by_the_next_life_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        one, two = await on.connect(2)
        await on.send(one, "block")
        await on.send(two, "a")
        await on.send(one, "b")
        on.gateway.send(frames.SocketClosed(two, 1000, "", True))
        await settle()
        assert on.story.heard == ["block"]
        on.story.blocked.set()
        await settle()
        assert on.story.heard == ["block", "a", "b", "closed 1000"]
        assert on.finished() == [one, two, one]
        assert on.gateway.take(frames.CloseSocket) == []
        assert on.story.constructions == 1


async def test_what_comes_before_the_next_life_has_begun_is_behind_what_waits(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        one, two = await on.connect(2)
        await on.send(one, "block")
        await on.send(two, "a")
        (place,) = on.host.activations.places.values()
        assert place.activation is not None
        place.activation.abort(RuntimeError("now"))
        on.host.sockets.message(place, on.host.sockets.by_number[one][1], "b")
        await settle()
        assert on.story.heard == ["block", "a", "b"]


async def test_a_constructor_that_fails_is_tried_again_after_a_pause_that_doubles(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        on.story.broken = True
        await on.send(one, "a")
        await on.send(one, "b")
        assert on.story.constructions == 1
        on.clock.advance(0.4)
        assert on.story.constructions == 1
        on.clock.advance(0.2)
        assert on.story.constructions == 2
        on.clock.advance(0.8)
        assert on.story.constructions == 2
        on.story.broken = False
        on.clock.advance(0.2)
        await settle()
        assert on.story.heard == ["a", "b"]
        assert on.finished() == [one, one]
        assert on.reports == []


async def test_a_request_does_not_wait_for_the_pause_to_be_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        on.story.broken = True
        await on.send(one, "a")
        on.story.broken = False
        assert (await on.gateway.request("/hello")).text == "hello"
        assert on.story.heard == ["a"]
        on.clock.advance(10)
        await settle()
        assert on.story.constructions == 2


async def test_what_is_first_in_line_too_often_is_given_up_and_the_others_wait_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        one, two = await on.connect(2)
        await on.sleep()
        on.story.broken = True
        await on.send(one, "a")
        await on.send(two, "b")
        await on.send(one, "c")
        on.clock.advance(0.5)
        on.clock.advance(1.0)
        await settle()
        assert on.gateway.take(frames.CloseSocket) == [frames.CloseSocket(one, 1011, GIVEN_UP)]
        assert on.finished() == [one, one]
        (report,) = on.reports
        assert "2 messages of a WebSocket were given up" in str(report["error"])
        assert "no board" in str(report["error"].__cause__)
        (place,) = on.host.activations.places.values()
        assert place.surroundings.meter.drops == 2
        on.story.broken = False
        on.clock.advance(0.5)
        await settle()
        assert on.story.heard == ["b"]
        assert on.finished() == [two]


async def test_the_end_of_a_socket_that_nobody_can_be_told_is_given_up_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        on.story.broken = True
        on.gateway.send(frames.SocketClosed(one, 1000, "", True))
        await settle()
        for pause in (0.5, 1.0, 10):
            on.clock.advance(pause)
        assert on.story.constructions == 3
        assert on.gateway.take(frames.CloseSocket) == []
        assert on.host.activations.places == {}


async def test_a_drain_waits_for_what_is_left_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        on.story.broken = True
        await on.send(one, "a")
        draining = asyncio.ensure_future(on.host.drain())
        await settle()
        assert not draining.done()
        on.story.broken = False
        on.clock.advance(0.5)
        await draining
        assert on.story.heard == ["a"]
        assert on.finished() == [one]


async def test_a_host_that_stops_closes_the_sockets_of_what_is_left_over_with_1012(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        on.story.broken = True
        await on.send(one, "a")
        draining = asyncio.ensure_future(on.host.drain(seconds=0.1))
        await settle()
        on.clock.advance(0.1)
        await draining
        await settle()
        (close,) = on.gateway.take(frames.CloseSocket)
        assert (close.socket, close.code) == (one, 1012)
        on.clock.advance(10)
        assert on.story.constructions == 1


class Leaving(Room):
    async def pre_shutdown(self, info: Any) -> None:
        self.story.heard.append(info.reason)
        await self.story.blocked.wait()


async def test_what_comes_before_hibernation_is_through_begins_the_next_life(tmp_path: Path) -> None:
    async with stage(tmp_path, cls=Leaving) as on:
        (one,) = await on.connect(1)
        await on.sleep()
        await on.send(one, "a")
        stream = on.gateway.begin("/hello")
        await settle()
        assert on.story.heard == ["inactive"]
        on.story.blocked.set()
        assert (await on.gateway.answer(stream)).text == "hello"
        assert on.story.heard == ["inactive", "a"]
        assert on.story.constructions == 1


async def test_a_drain_lets_the_objects_know_why(tmp_path: Path) -> None:
    async with stage(tmp_path, cls=Leaving) as on:
        await on.connect(1)
        draining = asyncio.ensure_future(on.host.drain(reason="codeUpdated"))
        await settle()
        assert (on.story.heard, draining.done()) == (["codeUpdated"], False)
        on.story.blocked.set()
        await draining
