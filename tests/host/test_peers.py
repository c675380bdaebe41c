"""Two hosts of one machine: calls and WebSockets between objects that do not live together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roost.errors import (
    HostLostError,
    InvalidArgumentError,
    OutputGateBrokenError,
    RemoteError,
    StorageFullError,
    UnavailableError,
)
from roost.host.host import Host
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.directory import LocalDirectory
from roost.link.memory import MemoryConnection, memory_pair
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .scripted import ScriptedGateway, host_of, settle

DIRECTORY = LocalDirectory([0, 1])
QUICK = Limits(drain_seconds_max=0.1)


class Echo(DurableObject):
    """Answers in several ways."""

    seen: list[str]

    async def fetch(self, request: Any) -> Response:
        self.seen.append(request.path)
        if request.is_upgrade:
            client, server = WebSocketPair()
            if request.path == "/active":
                server.accept()
                server.add_event_listener("message", lambda event: server.send(f"active {event.data}"))
            else:
                self.ctx.accept_web_socket(server, ["t"])
                self.ctx.set_web_socket_auto_response(_pair())
            return Response(None, status=101, web_socket=client, headers={"X-Object": "yes"})
        if request.path == "/key-error":
            raise KeyError("board")
        if request.path == "/invalid":
            raise InvalidArgumentError("not this value")
        if request.path == "/full":
            raise OutputGateBrokenError("a write could not be made durable") from StorageFullError("the disk is full")
        if request.path == "/unread":
            return Response("not interested", status=202)
        if request.path == "/never":
            await asyncio.Event().wait()
        if request.path == "/stream":
            return Response(self.double(request))
        return Response(f"{request.method} {request.path} {await request.text()} {request.client}")

    async def double(self, request: Any) -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            yield chunk * 2

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        if message == "close":
            ws.close(4000, "as you wish")
        elif message == "all":
            self.ctx.broadcast("to all")
        elif message != "silent":
            ws.send(f"echo {message}")

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.seen.append(f"closed {code} {reason}")


class Caller(DurableObject):
    """Holds the client's end of a WebSocket to an Echo, and tells what it hears."""

    heard: list[str]
    socket: Any

    async def fetch(self, request: Any) -> Response:
        name, path = request.query["echo"], request.path
        if path == "/say":
            self.socket.send(request.query["text"])
            return Response("said")
        if path == "/close":
            self.socket.close(4001, "enough")
            return Response("closed")
        stub = self.env.ECHO.get_by_name(name)
        response = await stub.fetch(f"http://echo{path}", headers={"Upgrade": "websocket"})
        self.socket = response.web_socket
        self.socket.add_event_listener("message", lambda event: self.heard.append(event.data))
        self.socket.add_event_listener("close", lambda event: self.heard.append(f"{event.code} {event.reason}"))
        self.socket.accept()
        self.socket.send("first")
        return Response("connected")


def _pair() -> Any:
    from roost.objects.auto_response import WebSocketRequestResponsePair

    return WebSocketRequestResponsePair("ping", "pong")


@pytest.fixture(autouse=True)
def fresh() -> None:
    Echo.seen, Caller.heard = [], []


async def enter(request: Any, env: Any) -> Any:
    name = request.query.get("caller")
    if name is not None:
        return await env.CALLER.get_by_name(name).fetch(request)
    return await env.ECHO.get_by_name(request.query["echo"]).fetch(request)


class Pair:
    """Two hosts that can reach each other, and names of objects that live on each."""

    def __init__(self, directory: Path, limits: Limits = QUICK) -> None:
        self.directory = directory
        self.limits = limits
        self.hosts: dict[int, Host] = {}
        self.links: list[MemoryConnection] = []
        self.asked = 0

    def connect_from(self, number: int) -> Any:
        async def connect(other: int) -> Connection:
            self.asked += 1
            if other not in self.hosts:
                raise ConnectionRefusedError(f"host {other} is away")
            peer, owner = memory_pair(self.hosts[number].hello, self.hosts[other].hello, self.limits)
            self.hosts[other].accept(owner)
            self.links.append(peer)
            return peer

        return connect

    @contextlib.asynccontextmanager
    async def host(self, number: int, **options: Any) -> AsyncIterator[Host]:
        async with host_of(
            self.directory,
            Echo,
            Caller,
            entrypoint=enter,
            number=number,
            directory=DIRECTORY,
            connect=self.connect_from(number),
            limits=self.limits,
            debug=True,
            **options,
        ) as host:
            self.hosts[number] = host
            yield host
            del self.hosts[number]

    def name_on(self, number: int, binding: str = "ECHO") -> str:
        """The name of an object that lives on that host."""
        namespace = getattr(self.hosts[0].env, binding)
        return next(n for n in map(str, range(100)) if DIRECTORY.owner(namespace.id_from_name(n).key) == number)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path)
    async with pair.host(0), pair.host(1):
        yield pair


# -- calls -------------------------------------------------------------------------------------------------------------


async def test_a_call_reaches_an_object_of_the_other_host(pair: Pair) -> None:
    gateway = ScriptedGateway(pair.hosts[0]).roll()
    there = pair.name_on(1)
    answered = await gateway.request(f"/some/path?echo={there}", method="POST", body=b"text")
    assert answered.text == "POST /some/path text 1.2.3.4:5"
    assert pair.hosts[0].activations.places == {}
    assert len(pair.hosts[1].activations.places) == 1


async def test_a_full_disk_of_the_other_host_is_a_full_disk_for_the_client(pair: Pair) -> None:
    gateway = ScriptedGateway(pair.hosts[0]).roll()
    answered = await gateway.request(f"/full?echo={pair.name_on(1)}")
    assert answered.status == 507
    assert "the disk is full" in answered.text
    with pytest.raises(OutputGateBrokenError) as caught:
        await pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1)).fetch("http://x/full")
    assert isinstance(caught.value.__cause__, StorageFullError)


async def test_bodies_stream_through_both_links(pair: Pair) -> None:
    gateway = ScriptedGateway(pair.hosts[0]).roll()
    there = pair.name_on(1)
    stream = gateway.begin(f"/stream?echo={there}", method="POST", body=b"ab", more=True)
    assert (await gateway.expect(frames.BodyChunk)).data == b"abab"
    gateway.send(frames.BodyChunk(stream, b"c" * 100_000, True))
    gateway.send(frames.BodyChunk(stream, b"", False))
    rest = b""
    while (chunk := await gateway.expect(frames.BodyChunk)).more:
        rest += chunk.data
    assert rest == b"c" * 200_000


async def test_an_answer_before_the_end_of_the_request_ends_its_body(pair: Pair) -> None:
    closed: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.append(1)

    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    assert (await stub.fetch("http://x/unread", method="POST", body=endless())).status == 202
    await settle()
    assert closed == [1]
    (session,) = pair.hosts[1].sessions
    assert not session.answers


async def test_a_body_that_breaks_off_fails_the_call(pair: Pair) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("no more ink")

    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    with pytest.raises(ValueError, match="no more ink"):
        await stub.fetch("http://x/", method="POST", body=breaking())


async def test_an_error_crosses_the_link_as_itself_or_by_its_name(pair: Pair) -> None:
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    with pytest.raises(InvalidArgumentError, match="not this value"):
        await stub.fetch("http://x/invalid")
    with pytest.raises(RemoteError, match="KeyError: 'board'") as caught:
        await stub.fetch("http://x/key-error")
    assert caught.value.kind == "KeyError"
    assert "in fetch" in caught.value.remote_traceback


async def test_calls_on_one_stub_arrive_in_the_order_made_also_before_there_is_a_link(pair: Pair) -> None:
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    calls = [stub.fetch(f"http://x/{n}") for n in range(20)]
    await asyncio.gather(*calls)
    calls += [stub.fetch(f"http://x/{n}") for n in range(20, 30)]
    await asyncio.gather(*calls)
    assert Echo.seen == [f"/{n}" for n in range(30)]
    assert pair.asked == 1


async def test_a_call_under_way_fails_when_its_owner_is_lost_and_the_next_one_finds_it_again(pair: Pair) -> None:
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    call = asyncio.ensure_future(stub.fetch("http://x/never", method="POST"))
    await settle()
    pair.links[0].lose()
    with pytest.raises(HostLostError):
        await call
    assert (await stub.fetch("http://x/again")).status == 200
    assert pair.asked == 2


async def test_a_call_that_nobody_waits_for_is_told_to_the_owner(pair: Pair) -> None:
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    call = asyncio.ensure_future(stub.fetch("http://x/never"))
    await settle()
    (session,) = pair.hosts[1].sessions
    assert len(session.answers) == 1
    call.cancel()
    await settle()
    assert not session.answers
    assert not pair.hosts[0].owners.link(1).calls


async def test_calls_wait_for_an_owner_that_is_away_but_not_for_ever(tmp_path: Path) -> None:
    pair = Pair(tmp_path, Limits(host_wait_seconds_max=0.05))
    async with pair.host(0) as host:
        stub = host.env.ECHO.get_by_name(pair.name_on(1))
        with pytest.raises(UnavailableError, match="host 1, which owns ECHO") as caught:
            await stub.fetch("http://x/")
        assert caught.value.retryable


async def test_a_call_does_not_wait_for_ever_for_an_owner_that_drains_for_ever(tmp_path: Path) -> None:
    pair = Pair(tmp_path, Limits(host_wait_seconds_max=0.05, drain_seconds_max=0.2))
    async with pair.host(0) as host, pair.host(1):
        stub = host.env.ECHO.get_by_name(pair.name_on(1))
        never = stub.fetch("http://x/never")
        await settle()
        draining = asyncio.ensure_future(pair.hosts[1].drain())
        await settle()
        with pytest.raises(UnavailableError, match="host 1, which owns ECHO"):
            await stub.fetch("http://x/late")
        with pytest.raises(HostLostError):
            await never
        await draining


async def test_calls_wait_for_the_successor_of_an_owner_that_drains(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.host(0) as host:
        async with pair.host(1):
            stub = host.env.ECHO.get_by_name(pair.name_on(1))
            await stub.fetch("http://x/before")
            draining = asyncio.ensure_future(pair.hosts[1].drain())
            await settle()
            late = stub.fetch("http://x/after")
            await draining
        assert not asyncio.ensure_future(late).done()
        async with pair.host(1):
            assert (await late).status == 200
    assert Echo.seen == ["/before", "/after"]


# -- WebSockets --------------------------------------------------------------------------------------------------------


async def test_a_grant_passes_through_the_entrypoints_host_and_the_socket_goes_to_the_owner(pair: Pair) -> None:
    first, second = (ScriptedGateway(pair.hosts[n], 0, incarnation=500).roll() for n in (0, 1))
    there = pair.name_on(1)
    grant = await first.granted(f"/?echo={there}")
    assert (grant.host, grant.incarnation) == (1, pair.hosts[1].incarnation)
    number = second.open(grant)
    assert (await second.say(number, "hello"))[0] == frames.Send([number], "echo hello")


async def test_a_grant_that_passed_through_is_dropped_with_the_gateway_that_got_it(pair: Pair) -> None:
    first = ScriptedGateway(pair.hosts[0]).roll()
    await first.granted(f"/?echo={pair.name_on(1)}")
    first.connection.lose()
    await settle()
    ScriptedGateway(pair.hosts[0]).roll()  # it was restarted
    await settle()
    assert pair.hosts[1].sockets.grants == {}
    assert "closed 1006 disconnected without sending Close" in Echo.seen


@pytest.mark.parametrize(("caller", "echo"), [(0, 0), (0, 1), (1, 0)])
@pytest.mark.parametrize("path", ["/active", "/hibernating"])
async def test_an_object_can_be_the_client_of_another_objects_socket(
    pair: Pair, caller: int, echo: int, path: str
) -> None:
    gateway = ScriptedGateway(pair.hosts[0]).roll()
    query = f"?caller={pair.name_on(caller, 'CALLER')}&echo={pair.name_on(echo)}"
    assert (await gateway.request(path + query)).text == "connected"
    await gateway.request(f"/say{query}&text=second")
    await settle(40)
    prefix = "active" if path == "/active" else "echo"
    assert Caller.heard == [f"{prefix} first", f"{prefix} second"]
    await gateway.request(f"/close{query}")
    await settle(40)
    assert Caller.heard[2:] == ["4001 enough"]
    assert ("closed 4001 enough" in Echo.seen) is (path != "/active")
    for host in pair.hosts.values():
        assert host.sockets.by_number == {}


@pytest.mark.parametrize("echo", [0, 1])
async def test_an_object_that_is_a_client_gets_broadcasts_automatic_answers_and_the_close(
    pair: Pair, echo: int
) -> None:
    gateway = ScriptedGateway(pair.hosts[0]).roll()
    query = f"?caller={pair.name_on(0, 'CALLER')}&echo={pair.name_on(echo)}"
    await gateway.request("/hibernating" + query)
    for text in ("all", "ping", "close"):
        await gateway.request(f"/say{query}&text={text}")
        await settle(40)
    assert Caller.heard == ["echo first", "to all", "pong", "4000 as you wish"]
    (place,) = [p for p in pair.hosts[echo].activations.places.values() if p.object_id.binding == "ECHO"]
    assert place.surroundings.meter.auto_responses == 1
    assert len(place.roll) == 0


async def test_an_owner_that_comes_back_is_told_of_the_ends_that_other_hosts_hold(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.host(0) as host:
        gateway = ScriptedGateway(host).roll()
        query = f"?caller={pair.name_on(0, 'CALLER')}&echo={pair.name_on(1)}"
        async with pair.host(1):
            await gateway.request("/hibernating" + query)
            await settle(40)
        async with pair.host(1):
            await host.env.ECHO.get_by_name(pair.name_on(1)).fetch("http://x/wake")
            await gateway.request(f"/say{query}&text=again")
            await settle(40)
            assert Caller.heard == ["echo first", "echo again"]


async def test_an_active_end_is_lost_with_its_owner(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    async with pair.host(0) as host:
        gateway = ScriptedGateway(host).roll()
        query = f"?caller={pair.name_on(0, 'CALLER')}&echo={pair.name_on(1)}"
        async with pair.host(1):
            await gateway.request("/active" + query)
            await settle(40)
        await settle(40)
        assert Caller.heard[0] == "active first"
        assert Caller.heard[1].startswith("1012 ")


async def test_an_object_that_does_not_keep_up_loses_the_socket(tmp_path: Path) -> None:
    pair = Pair(tmp_path, Limits(socket_send_bytes_max=100))
    async with pair.host(0) as host:
        gateway = ScriptedGateway(host).roll()
        query = f"?caller={pair.name_on(0, 'CALLER')}&echo={pair.name_on(0)}"
        await gateway.request("/active" + query)
        await gateway.request(f"/say{query}&text={'x' * 101}")
        await settle(40)
        assert Caller.heard[-1] == "1013 the other end does not keep up"
