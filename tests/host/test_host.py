from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roost.errors import ConfigurationError, OverloadedError, UnavailableError
from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import VERSION, Hello, RolledSocket
from roost.link.stream import connect_unix
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response
from roost.storage.store import HostStore

from .parts import HandClock
from .scripted import ScriptedGateway, host_of, settle


class Board(DurableObject):
    """The whiteboard in small: stores what comes and sends it to everyone else."""

    lives = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx, self.env = ctx, env
        self.seen: list[Any] = []
        type(self).lives += 1
        ctx.block_concurrency_while(self.load)

    async def load(self) -> None:
        self.seen = await self.ctx.storage.get("seen") or []

    async def fetch(self, request: Any) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server, ["room"])
            server.send(f"welcome {len(self.ctx.get_web_sockets())}")
            return Response(None, status=101, web_socket=client)
        if request.path == "/boom":
            raise ValueError("the board fell down")
        if request.path == "/nothing":
            return None  # type: ignore[return-value]
        return Response.json(self.seen)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        self.seen.append(message)
        await self.ctx.storage.put("seen", self.seen)
        for other in self.ctx.get_web_sockets("room"):
            if other is not ws:
                other.send(message)

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.ctx.broadcast(f"left {code} {reason} {was_clean}", exclude=ws)


async def fetch(request: Any, env: Any) -> Any:
    return await env.BOARD.get_by_name(request.query.get("room", "x")).fetch(request)


@pytest.fixture(autouse=True)
def fresh_board() -> None:
    Board.lives = 0


async def test_a_request_goes_through_the_entrypoint_to_its_object_and_back(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/?room=a")
        assert (answered.status, answered.text) == (200, "[]")
        assert answered.headers["content-type"] == "application/json"


async def test_a_message_is_stored_sent_to_the_others_and_finished_last(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        a = await gateway.connect("/")
        b = await gateway.connect("/")
        assert await gateway.expect(frames.Send) == frames.Send([a], "welcome 1")
        assert await gateway.expect(frames.Send) == frames.Send([b], "welcome 2")
        gateway.frames.clear()
        gateway.send(frames.SocketMessage(a, "hello"))
        assert await gateway.expect(frames.Finished) == frames.Finished([a])
        assert gateway.frames == [frames.Send([b], "hello")]
        assert (await gateway.request("/")).text == '["hello"]'


async def test_a_broadcast_crosses_the_link_as_one_frame(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        numbers = [await gateway.connect("/") for _ in range(20)]
        await settle()
        gateway.frames.clear()
        gateway.send(frames.SocketMessage(numbers[0], "all"))
        await gateway.expect(frames.Finished)
        (sent,) = gateway.frames
        assert isinstance(sent, frames.SendToTagged)
        assert (sent.excluded, sent.data) == ([numbers[0]], "all")


async def test_what_was_sent_before_the_client_came_comes_first(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        grant = await gateway.granted("/")
        assert grant.hibernating
        assert grant.tags == ("room",)
        b = await gateway.connect("/")
        await gateway.say(b, "early bird")
        a = gateway.open(grant)
        await settle()
        assert gateway.take(frames.Send) == [frames.Send([a], "welcome 1"), frames.Send([a], "early bird")]


async def test_a_client_that_never_comes_is_a_lost_socket(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        stays = await gateway.connect("/")
        grant = await gateway.granted("/")
        gateway.send(frames.GrantDropped(grant.grant))
        left = "left 1006 disconnected without sending Close False"
        assert (await gateway.expect(frames.SendToTagged, data=left)).excluded == []
        assert len(next(iter(host.activations.places.values())).roll) == 1
        assert stays in host.sockets.by_number


async def test_an_entrypoint_that_does_not_pass_the_socket_on_drops_it(tmp_path: Path) -> None:
    async def forgetful(request: Any, env: Any) -> Response:
        await env.BOARD.get_by_name("x").fetch(request)
        return Response("sorry", status=404)

    async with host_of(tmp_path, Board, entrypoint=forgetful) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/", upgrade=True)).status == 404
        await settle()
        assert host.sockets.grants == {}
        (place,) = host.activations.places.values()
        assert len(place.roll) == 0


async def test_an_object_hibernates_and_the_next_message_wakes_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=fetch, clock=clock) as host:
        gateway = ScriptedGateway(host).roll()
        a, b = await gateway.connect("/"), await gateway.connect("/")
        await gateway.say(a, "one")
        clock.advance(9)
        assert [state.state for state in host.view().objects] == ["awake"]
        asleep = host.observer.wait_for("object.hibernated")
        clock.advance(2)
        assert asleep.done()
        assert host.view().objects == []
        assert host.view().classes["BOARD"].sleeping == 1
        assert host.view(sleeping=True).objects[0].sockets == 2
        assert await gateway.say(b, "two") == [frames.Send([a], "two")]
        assert Board.lives == 2
        assert (await gateway.request("/")).text == '["one","two"]'
        assert host.view().classes["BOARD"].meter["wakes"] == 1


async def test_an_object_without_sockets_leaves_nothing_when_it_sleeps(tmp_path: Path) -> None:
    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=fetch, clock=clock) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.request("/")
        clock.advance(12)
        assert host.activations.places == {}
        assert host.view().classes["BOARD"].meter["events"] == {"fetch": 1}


def rolled(number: int, host: Any, **changes: Any) -> RolledSocket:
    object_id = host.env.BOARD.id_from_name("x")
    facts: dict[str, Any] = {
        "socket": number,
        "object": frames.ObjectRef("BOARD", object_id.key, "x"),
        "tags": ("room",),
        "attachment": None,
        "protocol": "",
        "auto_response_ms": None,
        "auto_response": None,
    }
    return RolledSocket(**(facts | changes))


async def test_after_a_crash_the_roll_brings_the_sockets_back_and_storage_the_board(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, crash=True) as host:
        gateway = ScriptedGateway(host).roll()
        a, b = await gateway.connect("/"), await gateway.connect("/")
        await gateway.say(a, "before")
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        again = ScriptedGateway(host, incarnation=gateway.incarnation).roll(rolled(a, host), rolled(b, host))
        assert await again.say(b, "after") == [frames.Send([a], "after")]
        assert (await again.request("/")).text == '["before","after"]'


@pytest.mark.parametrize("drained", [True, False])
async def test_what_comes_when_a_host_has_left_is_for_its_successor(tmp_path: Path, drained: bool) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, crash=True) as host:
        gateway = ScriptedGateway(host).roll()
        number = await gateway.connect("/")
        await settle()
        if drained:
            await host.drain()
        else:
            await host.close()
        late = ScriptedGateway(host, incarnation=gateway.incarnation).roll(rolled(number, host))
        late.send(frames.SocketMessage(number, "late"))
        await settle()
        assert late.frames == [], "not even a Hello, so that the gateway keeps what it has"
        assert len(late.lost) == 1
        assert list(host.activations.awake()) == []
    assert Board.lives == 1


async def test_what_waits_for_the_roll_call_of_a_host_that_ends_wakes_nobody(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, gateways=[0, 1], clock=HandClock(), crash=True) as host:
        gateway = ScriptedGateway(host, 0)
        number = gateway.incarnation << 32 | 1
        gateway.roll(rolled(number, host))
        gateway.send(frames.SocketMessage(number, "too early"))
        await settle()
    assert Board.lives == 0


async def test_a_gateway_that_comes_during_a_drain_is_asked_to_agree_too(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, crash=True) as host:
        first = ScriptedGateway(host, 0)
        first.agrees = False
        first.roll()
        await settle()
        draining = asyncio.ensure_future(host.drain())
        await first.expect(frames.Drain)
        second = ScriptedGateway(host, 1)
        second.agrees = False
        second.roll()
        await second.expect(frames.Drain)
        first.send(frames.Drained())
        await settle()
        assert not draining.done()
        stream = second.begin("/")
        second.send(frames.Drained())
        assert (await second.answer(stream)).text == "[]"
        await draining
        await second.expect(frames.Goodbye)


async def test_a_gateway_that_did_not_agree_in_time_is_not_told_that_nothing_was_lost(tmp_path: Path) -> None:
    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=fetch, clock=clock, crash=True) as host:
        gateway = ScriptedGateway(host)
        gateway.agrees = False
        gateway.roll()
        await settle()
        draining = asyncio.ensure_future(host.drain(5))
        await gateway.expect(frames.Drain)
        clock.advance(6)
        await draining
        await settle()
        assert not gateway.take(frames.Goodbye)
        assert len(gateway.lost) == 1


@pytest.mark.parametrize("drained", [True, False])
async def test_a_host_that_leaves_tells_its_objects_nothing_of_the_sockets_that_stay(
    tmp_path: Path, drained: bool
) -> None:
    class Diary(Board):
        ends = 0

        async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
            Diary.ends += 1

    async def enter(request: Any, env: Any) -> Any:
        return await env.DIARY.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Diary, entrypoint=enter, crash=not drained) as host:
        gateway = ScriptedGateway(host).roll()
        number = await gateway.connect("/")
        await gateway.say(number, "hello")
        if not drained:
            gateway.connection.lose()
    assert Diary.ends == 0
    assert Diary.lives == 1
    with pytest.raises(UnavailableError):
        await host.env.DIARY.get_by_name("x").fetch("http://x/")


async def test_a_response_that_user_code_broke_is_an_error_of_its_request_only(tmp_path: Path) -> None:
    async def enter(request: Any, env: Any) -> Response:
        response = Response("text")
        response.headers = {"X": 1}  # type: ignore[assignment]
        return response

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/")).status == 500
        assert gateway.lost == []


async def test_nothing_is_delivered_before_every_gateway_has_rolled(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, gateways=[0, 1], clock=HandClock()) as host:
        first = ScriptedGateway(host, 0)
        a = first.incarnation << 32 | 1
        first.roll(rolled(a, host))
        first.send(frames.SocketMessage(a, "too early"))
        await settle()
        assert first.frames[1:] == []
        assert Board.lives == 0
        second = ScriptedGateway(host, 1)
        b = second.incarnation << 32 | 1
        second.roll(rolled(b, host))
        assert await second.expect(frames.Send) == frames.Send([b], "too early")
        assert await first.expect(frames.Finished) == frames.Finished([a])


async def test_a_gateway_that_does_not_come_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=fetch, gateways=[0, 1], clock=clock) as host:
        gateway = ScriptedGateway(host, 0).roll()
        stream = gateway.begin("/")
        await settle()
        assert not gateway.take(frames.ResponseStart)
        clock.advance(2.1)
        assert (await gateway.answer(stream)).status == 200


async def test_a_socket_of_a_class_that_is_gone_is_closed(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host)
        number = gateway.incarnation << 32 | 1
        gateway.roll(rolled(number, host, object=frames.ObjectRef("GONE", b"k" * 32, None)))
        closed = await gateway.expect(frames.CloseSocket)
        assert (closed.socket, closed.code) == (number, 1012)


async def test_a_lost_gateway_takes_its_sockets_along_and_the_others_hear_of_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=fetch, clock=clock) as host:
        first, second = ScriptedGateway(host, 0).roll(), ScriptedGateway(host, 1).roll()
        await first.connect("/")
        await first.granted("/")
        await second.connect("/")
        await settle()
        second.frames.clear()
        first.connection.lose()
        await settle()
        clock.advance(1.1)
        left = "left 1006 disconnected without sending Close False"
        assert (await second.expect(frames.SendToTagged, data=left)).data == left
        await second.expect(frames.SendToTagged, data=left)
        (place,) = host.activations.places.values()
        assert len(place.roll) == 1
        assert host.sockets.grants == {}


async def test_a_close_of_the_client_is_told_once(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        a, b = await gateway.connect("/"), await gateway.connect("/")
        await settle()
        gateway.frames.clear()
        gateway.send(frames.SocketClosed(a, 4000, "bye", True), frames.SocketClosed(a, 4000, "bye", True))
        assert (await gateway.expect(frames.SendToTagged)).data == "left 4000 bye True"
        await settle()
        assert gateway.frames == []
        assert list(host.sockets.by_number) == [b]


async def test_a_message_of_a_socket_that_is_not_known_closes_it_and_gives_the_credit_back(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch) as host:
        gateway = ScriptedGateway(host).roll()
        gateway.send(frames.SocketMessage(5, "who am I"))
        assert (await gateway.expect(frames.CloseSocket)).socket == 5
        assert await gateway.expect(frames.Finished) == frames.Finished([5])


async def test_a_host_serves_at_a_unix_socket_until_it_drains(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = HostStore(tmp_path, 0)
    host = Host(app_of_classes(Board, entrypoint=fetch), store)
    await host.start(str(path))
    came: list[Any] = []
    answered, lost = asyncio.Event(), asyncio.Event()

    def took(batch: list[Any]) -> None:
        came.extend(batch)
        for frame in batch:
            if isinstance(frame, frames.ResponseStart):
                answered.set()
            if isinstance(frame, frames.Drain):
                connection.send(frames.Drained())

    connection = await connect_unix(str(path), Hello(VERSION, "gateway", 0, 77))
    connection.start(took, lambda error: lost.set())
    connection.send(frames.RollEnd())
    connection.send(frames.RequestStart(1, None, "GET", "http://x/", [], b"", False, False, ""))
    await answered.wait()
    await host.drain(5)
    await lost.wait()
    assert isinstance(came[-1], frames.Goodbye)
    assert not path.exists()
    await host.close()
    store.close()


async def test_static_files_and_variables_are_in_env(tmp_path: Path) -> None:
    class Files:
        async def fetch(self, request: Any) -> Response:
            return Response(f"file of {request.path}")

    async def enter(request: Any, env: Any) -> Any:
        return Response(env.COLOUR) if request.path == "/colour" else await env.ASSETS.fetch(request)

    async with host_of(tmp_path, Board, entrypoint=enter, assets=Files(), bindings={"COLOUR": "red"}) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/colour")).text == "red"
        assert (await gateway.request("/logo.svg")).text == "file of /logo.svg"


@pytest.mark.parametrize("name", ["BOARD", "ASSETS"])
async def test_a_variable_cannot_have_the_name_of_something_else_in_env(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the variable '{name}'"):
        async with host_of(tmp_path, Board, bindings={name: 1}, assets=object()):
            pass


async def test_a_grant_that_nobody_takes_is_dropped_in_the_end(tmp_path: Path) -> None:
    kept: list[Any] = []

    async def keeping(request: Any, env: Any) -> Response:
        kept.append(await fetch(request, env))
        return Response("kept")

    clock = HandClock()
    async with host_of(tmp_path, Board, entrypoint=keeping, clock=clock) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.request("/", upgrade=True)
        assert len(host.sockets.grants) == 1
        clock.advance(32)
        await settle()
        assert host.sockets.grants == {}
        kept.clear()


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_an_error_of_an_object_reaches_the_entrypoint_as_itself_and_the_client_as_500(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    async def catching(request: Any, env: Any) -> Any:
        try:
            return await fetch(request, env)
        except ValueError as error:
            caught.append(error)
            raise

    async with host_of(tmp_path, Board, entrypoint=catching) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/boom")
        assert (answered.status, answered.text) == (500, "The app failed to answer this request.\n")
        assert [str(error) for error in caught] == ["the board fell down"]
        assert (await gateway.request("/")).status == 200


async def test_in_debug_the_client_sees_the_traceback(tmp_path: Path) -> None:
    async with host_of(tmp_path, Board, entrypoint=fetch, debug=True) as host:
        gateway = ScriptedGateway(host).roll()
        answered = await gateway.request("/boom")
        assert answered.status == 500
        assert "ValueError: the board fell down" in answered.text
        answered = await gateway.request("/nothing")
        assert "Board.fetch must return a roost.Response, it returned None" in answered.text


async def test_a_constructor_that_fails_fails_its_events_and_is_tried_again(tmp_path: Path) -> None:
    class Fickle(DurableObject):
        lives = 0

        def __init__(self, ctx: Any, env: Any) -> None:
            Fickle.lives += 1
            if Fickle.lives == 1:
                raise RuntimeError("not today")

        async def fetch(self, request: Any) -> Response:
            return Response("today")

    async def enter(request: Any, env: Any) -> Any:
        return await env.FICKLE.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Fickle, entrypoint=enter, debug=True) as host:
        gateway = ScriptedGateway(host).roll()
        assert "not today" in (await gateway.request("/")).text
        assert (await gateway.request("/")).text == "today"


async def test_an_object_with_too_many_requests_refuses_those_beyond(tmp_path: Path) -> None:
    hold = asyncio.Event()

    class Busy(DurableObject):
        async def fetch(self, request: Any) -> Response:
            await hold.wait()
            return Response("done")

    async def enter(request: Any, env: Any) -> Any:
        return await env.BUSY.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Busy, entrypoint=enter, limits=Limits(inbox_events_max=2)) as host:
        gateway = ScriptedGateway(host).roll()
        streams = [gateway.begin("/") for _ in range(3)]
        refused = await gateway.answer(streams[2])
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        hold.set()
        assert [(await gateway.answer(stream)).text for stream in streams[:2]] == ["done", "done"]
        assert (await gateway.request("/")).text == "done"


async def test_the_bytes_of_unanswered_requests_are_bounded(tmp_path: Path) -> None:
    hold = asyncio.Event()

    class Busy(DurableObject):
        async def fetch(self, request: Any) -> Response:
            await hold.wait()
            return Response("done")

    async def enter(request: Any, env: Any) -> Any:
        return await env.BUSY.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Busy, entrypoint=enter, limits=Limits(inbox_bytes_max=10), debug=True) as host:
        gateway = ScriptedGateway(host).roll()
        large = gateway.begin("/", method="POST", body=b"x" * 8)
        refused = await gateway.request("/", method="POST", body=b"x" * 8)
        assert refused.status == 503
        assert OverloadedError.__name__ in refused.text
        hold.set()
        assert (await gateway.answer(large)).text == "done"


async def test_the_entrypoint_is_bounded_too(tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def enter(request: Any, env: Any) -> Response:
        await hold.wait()
        return Response("done")

    async with host_of(tmp_path, entrypoint=enter, limits=Limits(entrypoint_requests_max=1)) as host:
        gateway = ScriptedGateway(host).roll()
        first = gateway.begin("/")
        assert (await gateway.request("/")).status == 503
        hold.set()
        assert (await gateway.answer(first)).text == "done"


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_an_entrypoint_that_exits_or_cancels_itself_ends_nothing_but_its_request(
    tmp_path: Path, error: BaseException
) -> None:
    async def enter(request: Any, env: Any) -> Response:
        if request.path == "/end":
            raise error
        return Response("still here")

    async with host_of(tmp_path, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/end")).status == 500
        assert (await gateway.request("/")).text == "still here"
