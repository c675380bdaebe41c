from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, InvalidStateError, NetworkError
from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.host.network import fetch
from roost.limits import DEFAULTS
from roost.objects.durable_object import DurableObject
from roost.request import Request
from roost.response import Response
from roost.storage.files import ScriptedFiles
from roost.storage.store import HostStore

from .scripted import ScriptedGateway, host_of, settle


class World:
    """A server on the network that answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[bytes] = []
        self.answers: dict[str, bytes] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head + await self._body(reader, head.lower()))
                self.was_asked.set()
                await self.may_answer.wait()
                writer.write(self.answers.get(head.split(b" ")[1].decode(), answer(b"hello")))
                await writer.drain()
        writer.close()

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"chunked" in head:
            return await reader.readuntil(b"0\r\n\r\n")
        if b"content-length: " in head:
            return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return b""


def answer(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    there = World()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await there.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    there.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield there
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await settle()
    await settle()


async def enter(request: Any, env: Any) -> Any:
    return await env.ROOM.get_by_name("x").fetch(request)


def room(handler: Any) -> type[DurableObject]:
    class Room(DurableObject):
        async def fetch(self, request: Any) -> Response:
            result: Response = await handler(self, request)
            return result

    return Room


async def test_an_object_gets_what_the_network_answers(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        reply = await fetch(f"{there.url}/x?a=1", method="PUT", json={"n": 1}, headers={"X-Mine": "yes"})
        return Response.json([reply.status, await reply.text(), reply.headers["X-Theirs"]])

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/x?a=1"] = answer(b"told", "X-Theirs: too", status="201 Created")
        assert (await ScriptedGateway(host).roll().request("/")).text == '[201,"told","too"]'
        assert there.asked[0].startswith(b"PUT /x?a=1 HTTP/1.1\r\n")
        assert b"x-mine: yes\r\n" in there.asked[0].lower()
        assert there.asked[0].endswith(b'{"n":1}')


async def test_a_request_does_not_leave_before_what_was_written_is_durable(tmp_path: Path) -> None:
    files = ScriptedFiles()

    async def ask(self: Any, request: Any) -> Response:
        await self.ctx.storage.put("asked", True)
        return Response(await (await fetch(there.url)).text())

    async with world() as there:
        store = HostStore(tmp_path, files=files)
        host = Host(app_of_classes(room(ask), entrypoint=enter), store)
        await host.start()
        gateway = ScriptedGateway(host).roll()
        files.held.clear()
        stream = gateway.begin("/")
        await until(lambda: bool(files.waiting))
        assert there.connections == 0
        files.held.set()
        assert (await gateway.answer(stream)).text == "hello"
        await host.drain()
        await host.close()
        store.close()


async def test_after_a_failed_write_nothing_is_asked(tmp_path: Path) -> None:
    files = ScriptedFiles()

    async def ask(self: Any, request: Any) -> Response:
        await self.ctx.storage.put("asked", True)
        await fetch(there.url)
        return Response("")

    async with world() as there:
        store = HostStore(tmp_path, files=files)
        host = Host(app_of_classes(room(ask), entrypoint=enter), store)
        await host.start()
        files.refuse_sync = OSError(5, "no")
        assert (await ScriptedGateway(host).roll().request("/")).status == 500
        assert there.connections == 0
        await host.close()
        store.close()


async def test_other_events_come_in_while_an_object_waits_for_the_network(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        return Response("other" if request.path == "/other" else await (await fetch(there.url)).text())

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.may_answer.clear()
        gateway = ScriptedGateway(host).roll()
        slow = gateway.begin("/slow")
        await there.was_asked.wait()
        assert (await gateway.request("/other")).text == "other"
        there.may_answer.set()
        assert (await gateway.answer(slow)).text == "hello"


async def test_an_object_stays_awake_until_the_answer_is_there(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        self.reply = fetch(there.url)
        return Response("asked")

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.may_answer.clear()
        assert (await ScriptedGateway(host).roll().request("/")).text == "asked"
        ((_, activation),) = host.activations.awake()
        await there.was_asked.wait()
        assert activation.pinned_by() == ["outgoing request"]
        there.may_answer.set()
        await until(lambda: not activation.pinned_by())


async def test_no_cookie_is_remembered(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        first = await fetch(there.url)
        await fetch(there.url)
        return Response(first.headers["Set-Cookie"])

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/"] = answer(b"", "Set-Cookie: who=ann")
        assert (await ScriptedGateway(host).roll().request("/")).text == "who=ann"
        assert b"cookie" not in there.asked[1].lower()


async def test_bodies_are_streamed_both_ways_and_chunks_pass_the_gates(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        async def produce() -> AsyncIterator[bytes]:
            for part in (b"one ", b"two ", b"three"):
                await self.ctx.storage.put("part", part)
                yield part

        reply = await fetch(there.url, method="POST", body=produce())
        assert await self.ctx.storage.get("part") == b"three"
        return Response(reply.body)

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        big = bytes(range(128)) * 16384
        there.answers["/"] = answer(big)
        assert (await ScriptedGateway(host).roll().request("/")).body == big
        assert b"one " in there.asked[0]
        assert there.asked[0].index(b"one ") < there.asked[0].index(b"three")


async def test_an_answer_that_nobody_reads_is_let_go_and_not_gathered(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        reply = await fetch(there.url)
        async for _ in reply.stream():
            break
        await reply.body.discard()
        return Response("enough")

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/"] = answer(bytes(8 * DEFAULTS.body_window_bytes))
        assert (await ScriptedGateway(host).roll().request("/")).text == "enough"


async def test_a_compressed_answer_comes_decoded(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        reply = await fetch(there.url)
        assert "Content-Encoding" not in reply.headers
        return Response(await reply.text())

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/"] = answer(gzip.compress(b"much " * 50), "Content-Encoding: gzip")
        assert (await ScriptedGateway(host).roll().request("/")).text == "much " * 50


@pytest.mark.parametrize(
    ("redirect", "expected"), [("follow", "200 there"), ("manual", "302 "), ("error", "NetworkError")]
)
async def test_redirections(tmp_path: Path, redirect: str, expected: str) -> None:
    async def ask(self: Any, request: Any) -> Response:
        try:
            reply = await fetch(f"{there.url}/from", redirect=redirect)
        except NetworkError:
            return Response("NetworkError")
        return Response(f"{reply.status} {await reply.text()}")

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/from"] = answer(b"", "Location: /to", status="302 Found")
        there.answers["/to"] = answer(b"there")
        assert (await ScriptedGateway(host).roll().request("/")).text == expected


async def test_a_server_that_is_not_there_is_a_named_error_that_may_be_tried_again(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        with pytest.raises(NetworkError, match=r"GET http://127.0.0.1:1/ failed: .+") as caught:
            await fetch("http://127.0.0.1:1/")
        return Response(str(caught.value.retryable))

    async with host_of(tmp_path, room(ask), entrypoint=enter) as host:
        assert (await ScriptedGateway(host).roll().request("/")).text == "True"


async def test_an_answer_that_breaks_off_raises_where_it_is_read(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        reply = await fetch(there.url)
        with pytest.raises(NetworkError) as caught:
            await reply.bytes()
        return Response(str(caught.value.retryable))

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.answers["/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n"
        assert (await ScriptedGateway(host).roll().request("/")).text == "False"


async def test_a_cancelled_request_is_given_up(tmp_path: Path) -> None:
    async def ask(self: Any, request: Any) -> Response:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetch(there.url)
        return Response("gave up")

    async with world() as there, host_of(tmp_path, room(ask), entrypoint=enter) as host:
        there.may_answer.clear()
        assert (await ScriptedGateway(host).roll().request("/")).text == "gave up"


async def test_a_host_that_closes_ends_what_is_under_way(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def ask(request: Any, env: Any) -> Response:
        asked.append(fetch(there.url))
        return Response("asked")

    async with world() as there:
        there.may_answer.clear()
        async with host_of(tmp_path, entrypoint=ask) as host:
            await ScriptedGateway(host).roll().request("/")
            await there.was_asked.wait()
        with pytest.raises(NetworkError, match="the host stopped"):
            await asked[0]


async def test_an_entrypoint_asks_the_network_too_and_passes_on_what_it_got(tmp_path: Path) -> None:
    async def ask(request: Request, env: Any) -> Response:
        return await fetch(Request(f"{there.url}/up", request))

    async with world() as there, host_of(tmp_path, entrypoint=ask) as host:
        reply = (
            await ScriptedGateway(host)
            .roll()
            .request("/", method="POST", body=b"mine", headers=[("Host", "mine.example"), ("Connection", "keep-alive")])
        )
        assert (reply.status, reply.text) == (200, "hello")
        assert there.asked[0].startswith(b"POST /up")
        assert b"mine.example" not in there.asked[0]
        assert there.asked[0].endswith(b"mine")


async def test_what_cannot_be_asked_is_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidStateError, match="in an object or an entrypoint"):
        fetch("http://127.0.0.1/")
    async with host_of(tmp_path, entrypoint=enter):
        with pytest.raises(InvalidArgumentError, match="absolute URL"):
            fetch("ftp://127.0.0.1/")


def test_importing_fetch_makes_no_entrypoint_of_it() -> None:
    from types import ModuleType

    from roost.host.app import app_of_module

    module = ModuleType("mine")
    vars(module).update(fetch=fetch, Room=room(None))
    module.Room.__module__ = "mine"
    assert app_of_module(module).entrypoint is None
