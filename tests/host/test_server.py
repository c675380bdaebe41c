"""Sessions with peers, over a real host: what `test_host.py` does not show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roost.errors import ClientGoneError
from roost.limits import Limits
from roost.link import frames
from roost.objects.durable_object import DurableObject
from roost.objects.turn_loop import TURNS_AT_ONCE
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .scripted import ScriptedGateway, host_of, settle


class Slow(DurableObject):
    """Does what it is asked only when the test lets it."""

    go: asyncio.Event
    done: list[str]

    async def fetch(self, request: Any) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            if request.path == "/active":
                server.accept()
                server.add_event_listener("message", lambda event: server.send(event.data))
            else:
                self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        await self.go.wait()
        self.done.append("request")
        await self.ctx.storage.put("done", True)
        return Response("finished")

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        await self.go.wait()
        await self.ctx.storage.put("last", message)
        self.done.append(message)
        ws.send(message)


@pytest.fixture(autouse=True)
def slow() -> None:
    Slow.go, Slow.done = asyncio.Event(), []


async def fetch(request: Any, env: Any) -> Any:
    return await env.SLOW.get_by_name("x").fetch(request)


async def test_finished_is_gathered_and_comes_after_what_it_follows(tmp_path: Path) -> None:
    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        a = await gateway.connect("/active")
        await settle()
        gateway.frames.clear()
        gateway.send(*[frames.SocketMessage(a, str(n)) for n in range(5)])
        await gateway.expect(frames.Finished)
        assert [type(frame) for frame in gateway.frames] == [frames.Send] * 5
        gateway.send(*[frames.SocketMessage(a, str(n)) for n in range(5)])
        assert await gateway.expect(frames.Finished) == frames.Finished([a] * 5)


async def test_messages_that_become_durable_together_are_finished_together(tmp_path: Path) -> None:
    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        a = await gateway.connect("/")
        gateway.send(*[frames.SocketMessage(a, str(n)) for n in range(5)])
        done: list[int] = []
        while len(done) < 5:
            done += (await gateway.expect(frames.Finished)).sockets
        assert [frame.data for frame in gateway.take(frames.Send)] == list("01234")


async def test_a_drain_lets_everything_under_way_end_and_says_goodbye(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        a = await gateway.connect("/")
        gateway.send(frames.SocketMessage(a, "under way"))
        stream = gateway.begin("/")
        await settle()
        draining = asyncio.ensure_future(host.drain())
        await gateway.expect(frames.Drain)
        await settle()
        assert not draining.done()
        Slow.go.set()
        assert (await gateway.answer(stream)).text == "finished"
        assert (await gateway.expect(frames.Send)).data == "under way"
        await gateway.expect(frames.Finished)
        await gateway.expect(frames.Goodbye)
        await draining
        await settle()
        assert gateway.lost == [None]
        assert sorted(Slow.done) == ["request", "under way"]


async def test_what_crossed_with_the_drain_is_still_taken(tmp_path: Path) -> None:
    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        gateway.agrees = False
        a = await gateway.connect("/")
        draining = asyncio.ensure_future(host.drain())
        await gateway.expect(frames.Drain)
        gateway.send(frames.SocketMessage(a, "crossed"), frames.Drained())
        await draining
        assert Slow.done == ["crossed"]
        assert [type(frame) for frame in gateway.frames[-3:]] == [frames.Send, frames.Finished, frames.Goodbye]


async def test_a_drain_waits_for_the_clients_that_are_on_their_way(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        grant = await gateway.granted("/")
        draining = asyncio.ensure_future(host.drain())
        await gateway.expect(frames.Drain)
        await settle()
        assert not draining.done()
        gateway.open(grant)
        await draining


async def test_a_drain_delivers_nothing_before_the_roll_call_is_over(tmp_path: Path) -> None:
    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch, gateways=[0, 1]) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/")
        draining = asyncio.ensure_future(host.drain())
        await settle()
        assert Slow.done == []
        ScriptedGateway(host, 1).roll()
        assert (await gateway.answer(stream)).text == "finished"
        await draining


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch, limits=Limits(drain_seconds_max=0.01)) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/")
        await settle()
        await host.drain()
        assert (await gateway.answer(stream)).status == 503
        await gateway.expect(frames.Goodbye)


async def test_a_drained_host_closes_active_sockets_with_1012_and_keeps_the_others(tmp_path: Path) -> None:
    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        active = await gateway.connect("/active")
        await gateway.connect("/")
        await host.drain()
        await gateway.expect(frames.Goodbye)
        assert [(one.socket, one.code) for one in gateway.take(frames.CloseSocket)] == [(active, 1012)]


async def test_a_peer_that_comes_while_the_host_drains_is_told_so(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        first = ScriptedGateway(host).roll()
        stream = first.begin("/")
        await settle()
        draining = asyncio.ensure_future(host.drain())
        await settle()
        late = ScriptedGateway(host, 1)
        await late.expect(frames.Drain)
        Slow.go.set()
        await first.answer(stream)
        await draining


async def test_a_client_that_leaves_ends_the_waiting_but_not_the_work_of_the_object(tmp_path: Path) -> None:
    left: list[str] = []

    async def enter(request: Any, env: Any) -> Any:
        try:
            return await fetch(request, env)
        except asyncio.CancelledError:
            left.append("cancelled")
            raise

    async with host_of(tmp_path, Slow, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/")
        await settle()
        gateway.send(frames.StreamReset(stream, "the client left"))
        await settle()
        assert left == ["cancelled"]
        Slow.go.set()
        await settle()
        assert Slow.done == ["request"]
        assert gateway.take(frames.ResponseStart) == []
        assert not gateway.session.answers


async def chunks_of(request: Any) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk.upper()


async def test_bodies_stream_both_ways_with_credit(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        return Response(chunks_of(request))

    async with host_of(tmp_path, entrypoint=enter, limits=Limits(body_window_bytes=8)) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/", method="POST", body=b"abc", more=True)
        assert (await gateway.expect(frames.ResponseStart)).more
        assert (await gateway.expect(frames.BodyChunk)).data == b"ABC"
        assert (await gateway.expect(frames.BodyCredit)).size == 3
        gateway.send(frames.BodyChunk(stream, b"defgh", True))
        assert (await gateway.expect(frames.BodyChunk)).data == b"DEFGH"
        gateway.send(frames.BodyChunk(stream, b"i", True))
        await settle()
        assert gateway.take(frames.BodyChunk) == []  # the window is used up
        gateway.send(frames.BodyCredit(stream, 100), frames.BodyChunk(stream, b"", False))
        assert (await gateway.expect(frames.BodyChunk)).data == b"I"
        assert await gateway.expect(frames.BodyChunk) == frames.BodyChunk(stream, b"", False)
        assert not gateway.session.answers


async def test_a_large_body_is_cut_into_chunks_and_waits_for_credit(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        return Response(b"x" * 300_000)

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/")
        await gateway.expect(frames.ResponseStart)
        await settle(40)
        sent = gateway.take(frames.BodyChunk)
        assert sum(len(chunk.data) for chunk in sent) == host.limits.body_window_bytes
        gateway.send(frames.BodyCredit(stream, 100_000))
        last = await gateway.expect(frames.BodyChunk, more=False)
        assert last.data == b""
        assert sum(len(chunk.data) for chunk in gateway.take(frames.BodyChunk)) == 300_000 - 262_144


async def test_a_client_that_leaves_breaks_off_the_body_of_its_request(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    class Reader(DurableObject):
        async def fetch(self, request: Any) -> Response:
            try:
                await request.bytes()
            except Exception as error:
                caught.append(error)
                raise
            return Response("read")

    async def enter(request: Any, env: Any) -> Any:
        return await env.READER.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Reader, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/", method="POST", body=b"half", more=True)
        await settle()
        gateway.send(frames.StreamReset(stream, "the client left"))
        await settle()
        assert [type(error) for error in caught] == [ClientGoneError]


async def test_the_body_of_a_request_can_be_read_after_its_answer_and_ends_with_the_request(tmp_path: Path) -> None:
    read: list[Any] = []

    class Later(DurableObject):
        async def fetch(self, request: Any) -> Response:
            self.ctx.wait_until(self.read(request))
            return Response("accepted", status=202)

        async def read(self, request: Any) -> None:
            try:
                read.append(await request.bytes())
            except ClientGoneError as error:
                read.append(type(error))

    async def enter(request: Any, env: Any) -> Any:
        return await env.LATER.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Later, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        for last in (frames.BodyChunk(1, b" rest", False), frames.StreamReset(2, "the client left")):
            stream = gateway.begin("/", method="POST", body=b"first", more=True)
            assert (await gateway.answer(stream)).status == 202
            gateway.send(last)
            await settle()
            assert not gateway.session.answers
        assert read == [b"first rest", ClientGoneError]


async def test_a_client_that_leaves_lets_go_of_the_body_that_it_was_sent(tmp_path: Path) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "tick"
                await asyncio.sleep(0)
        finally:
            closed.append("closed")

    async def enter(request: Any, env: Any) -> Response:
        return Response(endless())

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        stream = gateway.begin("/")
        await gateway.expect(frames.BodyChunk)
        gateway.send(frames.StreamReset(stream, "the client left"))
        await settle()
        assert closed == ["closed"]
        assert not gateway.session.tasks


async def test_a_body_that_breaks_off_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[str]:
        yield "half"
        raise ValueError("no more ink")

    async def enter(request: Any, env: Any) -> Response:
        return Response(breaking())

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        gateway.begin("/")
        assert (await gateway.expect(frames.BodyChunk)).data == b"half"
        assert (await gateway.expect(frames.StreamReset)).reason == "the body broke off"
        assert gateway.take(frames.BodyChunk) == []


async def test_a_streamed_body_of_an_object_passes_both_gates(tmp_path: Path) -> None:
    class Ticker(DurableObject):
        async def fetch(self, request: Any) -> Response:
            return Response(self.ticks())

        async def ticks(self) -> AsyncIterator[str]:
            for n in range(3):
                await self.ctx.storage.put("n", n)
                yield str(n)

    async def enter(request: Any, env: Any) -> Any:
        return await env.TICKER.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Ticker, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/")).text == "012"


async def test_head_gets_the_length_and_not_the_body(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        return Response("hello")

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/", method="HEAD")
        assert (answered.status, answered.body, answered.headers["content-length"]) == (200, b"", "5")


async def test_a_websocket_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Any:
        return await env.SLOW.get_by_name("x").fetch("http://x/", headers={"Upgrade": "websocket"})

    async with host_of(tmp_path, Slow, entrypoint=enter, debug=True) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/")
        assert answered.status == 500
        assert "the request did not ask for one" in answered.text


async def test_a_websocket_of_the_entrypoint_itself_is_refused(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        client, _ = WebSocketPair()
        return Response(None, status=101, web_socket=client)

    async with host_of(tmp_path, entrypoint=enter, debug=True) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/", upgrade=True)
        assert answered.status == 500


async def test_a_response_that_is_too_large_for_a_frame_is_an_error_and_costs_nothing_else(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        return Response("", headers={"X-Large": "x" * (host.limits.link_frame_bytes_max + 1)})

    async with host_of(tmp_path, entrypoint=enter, limits=Limits(link_frame_bytes_max=100_000)) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/")).status == 500
        assert gateway.lost == []


async def test_a_gateway_that_comes_again_before_its_loss_was_noticed_starts_afresh(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        first = ScriptedGateway(host, incarnation=77).roll()
        await first.connect("/")
        second = ScriptedGateway(host, incarnation=77).roll()
        await settle()
        assert host.sockets.by_number == {}
        first.connection.lose()
        await settle()
        assert host.sockets.peers[77] is second.session


async def test_a_message_for_an_active_socket_whose_object_was_reset_wakes_nobody(tmp_path: Path) -> None:
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        active = await gateway.connect("/active")
        await settle()
        (place,) = host.activations.places.values()
        assert place.activation is not None
        place.activation.stop(RuntimeError("enough"))
        gateway.send(frames.SocketMessage(active, "too late"))
        assert await gateway.expect(frames.Finished) == frames.Finished([active])
        assert (await gateway.expect(frames.CloseSocket)).code == 1012
        gateway.send(frames.SocketClosed(active, 1012, "", True))
        await settle()
        assert host.activations.places == {}


@pytest.mark.parametrize("what", ["request", "call"])
async def test_a_request_that_roost_fails_to_take_is_answered_and_the_link_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a mistake")

    Slow.go.set()
    async with host_of(tmp_path, Slow, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        with monkeypatch.context() as patch:
            if what == "request":
                patch.setattr("roost.host.server.Answer", fail)
                stream = gateway.begin("/")
                assert (await gateway.expect(frames.StreamReset)).stream == stream
            else:
                patch.setattr(host.calls, "enter", fail)
                assert (await gateway.request("/")).status == 500
        assert (await gateway.request("/")).text == "finished"
        assert gateway.lost == []


class Noted(DurableObject):
    """Notes what it handles, in the order in which the whole host does."""

    handled: list[str]

    async def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        self.handled.append(message)


async def test_a_socket_that_floods_its_object_does_not_starve_other_objects(tmp_path: Path) -> None:
    """Counted, not timed: all of it comes in one batch, and the other's message last of all."""

    async def entry(request: Any, env: Any) -> Any:
        return await env.NOTED.get_by_name(request.path).fetch(request)

    Noted.handled = []
    async with host_of(tmp_path, Noted, entrypoint=entry) as host:
        gateway = ScriptedGateway(host).roll()
        loud, quiet = await gateway.connect("/loud"), await gateway.connect("/quiet")
        flood = [frames.SocketMessage(loud, "loud") for _ in range(20 * TURNS_AT_ONCE)]
        gateway.send(*flood, frames.SocketMessage(quiet, "quiet"))
        finished: list[int] = []
        while len(finished) <= len(flood):
            finished += (await gateway.expect(frames.Finished)).sockets
        assert Noted.handled.index("quiet") <= TURNS_AT_ONCE
        assert finished.index(quiet) <= 2 * TURNS_AT_ONCE


class Watched(Noted):
    """Keeps the task in which each message is handled, and what is current when the loop comes by."""

    tasks: list[Any]
    later: list[Any]

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        self.tasks.append(asyncio.current_task())
        asyncio.get_running_loop().call_soon(lambda: self.later.append(asyncio.current_task()))
        ws.send(message)
        if message == "fails":
            raise ValueError("mine")


async def test_each_message_of_a_batch_has_a_task_of_its_own_which_is_gone_when_what_it_sent_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def entry(request: Any, env: Any) -> Any:
        return await env.WATCHED.get_by_name("x").fetch(request)

    Watched.tasks, Watched.later = [], []
    leaving: list[Any] = []
    async with host_of(tmp_path, Watched, entrypoint=entry) as host:
        gateway = ScriptedGateway(host).roll()
        a, b = await gateway.connect("/"), await gateway.connect("/")
        await gateway.say(a, "first")
        Watched.tasks.clear()
        post = gateway.session.post

        def watched(frame: Any, size: int) -> None:
            leaving.append(asyncio.current_task())
            post(frame, size)

        monkeypatch.setattr(gateway.session, "post", watched)
        gateway.send(*[frames.SocketMessage(n, text) for n, text in ((a, "1"), (b, "2"), (a, "fails"), (b, "4"))])
        finished: list[int] = []
        while len(finished) < 4:
            finished += (await gateway.expect(frames.Finished)).sockets
        assert sorted(finished) == sorted([a, b, a, b])
        assert len(set(map(id, Watched.tasks))) == 4
        assert leaving == [None] * 4
        assert Watched.later == [None] * 5
