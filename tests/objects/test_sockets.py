from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError
from roost.limits import Limits
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .harness import Harness, MakeHarness, Scripted, settle, signal


def accepting(*tags: str) -> Any:
    async def fetch(self: Scripted) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, list(tags))
        server.send("welcome")
        return Response(None, status=101, web_socket=client)

    return fetch


async def inside(live: MakeHarness, step: Any, **options: Any) -> Harness:
    """Run it in an object, with a socket of its own."""

    async def go(self: Scripted, ws: WebSocket) -> None:
        result = step(self, ws)
        if asyncio.iscoroutine(result):
            await result

    room = live(Scripted, env={"go": go}, **options)
    room.message(room.hold("own"), "go")
    failures = [facts["error"] for name, facts in room.happened if name == "object.handler_failed"]
    if failures:
        raise failures[0]
    return room


# -- accepting ---------------------------------------------------------------------------------------------------------


async def test_an_accepted_socket_is_listed_at_once_with_its_tags(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        _client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["a", "b", "a"])
        assert self.ctx.get_web_sockets("b") == [server]
        assert self.ctx.get_web_sockets() == [ws, server]
        assert self.ctx.get_tags(server) == ["a", "b"]

    await inside(live, step)


async def test_what_was_sent_before_the_client_was_connected_is_sent_in_its_order(live: MakeHarness) -> None:
    room = live(Scripted, env={"/": accepting("x")})
    response = await room.fetch(upgrade=True)
    held = room.connect(response)
    assert (held.tags, held.hibernating, room.roll.count("x")) == (("x",), True, 1)
    assert room.left() == [("send", "welcome", [0])]


@pytest.mark.parametrize("tags", ["room", b"room", 5])
async def test_tags_are_a_list_of_text(live: MakeHarness, tags: Any) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match=f"tags must be a list of str, got {type(tags).__name__}"):
            self.ctx.accept_web_socket(WebSocketPair().server, tags)
        with pytest.raises(WrongTypeError, match="a tag must be a str, got int"):
            self.ctx.accept_web_socket(WebSocketPair().server, [1])  # type: ignore[list-item]

    await inside(live, step)


async def test_tags_have_their_limits_in_number_and_in_bytes(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        server = WebSocketPair().server
        with pytest.raises(LimitExceededError, match="may have 10 tags, got 11"):
            self.ctx.accept_web_socket(server, [str(n) for n in range(11)])
        with pytest.raises(LimitExceededError, match=r"may have 256 bytes of UTF-8, 'ä+' has 258"):
            self.ctx.accept_web_socket(server, ["ä" * 129])
        with pytest.raises(InvalidArgumentError, match="lone surrogate"):
            self.ctx.accept_web_socket(server, ["\ud800"])
        self.ctx.accept_web_socket(server, ["ä" * 128] + [str(n % 9) for n in range(50)])
        assert len(server.tags) == 10

    await inside(live, step)


async def test_an_object_has_a_limit_of_sockets(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        self.ctx.accept_web_socket(WebSocketPair().server)
        with pytest.raises(LimitExceededError, match="may have 2 hibernating WebSockets"):
            self.ctx.accept_web_socket(WebSocketPair().server)

    await inside(live, step, limits=Limits(sockets_per_object_max=2))


async def test_only_an_end_of_a_pair_is_accepted(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="takes an end of a WebSocketPair, got WebSocketPair"):
            self.ctx.accept_web_socket(WebSocketPair())  # type: ignore[arg-type]
        with pytest.raises(InvalidStateError, match="comes too late"):
            self.ctx.accept_web_socket(ws)
        server = WebSocketPair().server
        server.add_event_listener("message", print)
        with pytest.raises(InvalidStateError, match="has listeners"):
            self.ctx.accept_web_socket(server)

    await inside(live, step)


async def test_a_socket_of_a_request_that_failed_is_lost_and_told_so(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        Response(None, status=101, web_socket=client)
        raise LookupError("after accepting")

    env: dict[str, Any] = {"/": fetch}
    room = live(Scripted, env=env)
    with pytest.raises(LookupError):
        await room.fetch(upgrade=True)
    await settle()
    assert env["log"] == ["closed 1006 the other end was never given to a client False"]
    assert len(room.roll) == 0


async def test_a_response_with_a_socket_needs_a_request_that_asked_for_one(live: MakeHarness) -> None:
    env: dict[str, Any] = {"/": accepting()}
    room = live(Scripted, env=env)
    with pytest.raises(InvalidStateError, match="the request did not ask for one"):
        await room.fetch()
    await settle()
    assert len(room.roll) == 0


# -- listing -----------------------------------------------------------------------------------------------------------


async def test_sockets_are_listed_in_the_order_of_acceptance_and_compare_by_identity(live: MakeHarness) -> None:
    listed: list[list[WebSocket]] = []

    async def go(self: Scripted, ws: WebSocket) -> None:
        listed.append(self.ctx.get_web_sockets())
        listed.append(self.ctx.get_web_sockets("even"))
        listed.append([ws])

    room = live(Scripted, env={"go": go})
    sockets = [room.hold("even" if n % 2 == 0 else "odd") for n in range(5)]
    room.message(sockets[2], "go")
    everyone, even, (ws,) = listed
    assert [one._held for one in everyone] == sockets
    assert even == everyone[::2]
    assert ws is everyone[2]


async def test_sockets_that_the_object_closed_are_listed_until_the_client_answered(live: MakeHarness) -> None:
    counts: list[tuple[int, int]] = []

    async def close(self: Scripted, ws: WebSocket) -> None:
        counts.append((len(self.ctx.get_web_sockets()), len(self.ctx.get_web_sockets(open_only=True))))
        ws.close(1000)
        counts.append((len(self.ctx.get_web_sockets()), len(self.ctx.get_web_sockets(open_only=True))))

    async def count(self: Scripted, ws: WebSocket) -> None:
        counts.append((len(self.ctx.get_web_sockets()), len(self.ctx.get_web_sockets(open_only=True))))

    room = live(Scripted, env={"bye": close, "count": count})
    one, two = room.hold(), room.hold()
    room.message(one, "bye")
    room.close(one)
    room.message(two, "count")
    assert counts == [(2, 2), (2, 1), (1, 1)]


async def test_a_socket_is_listed_in_the_synchronous_part_of_its_close_handler_and_not_afterwards(
    live: MakeHarness,
) -> None:
    seen: list[Any] = []

    async def closed(self: Scripted, ws: WebSocket) -> None:
        seen.append((ws in self.ctx.get_web_sockets(), ws.ready_state))
        ws.send("ignored")
        await asyncio.sleep(0)
        seen.append((ws in self.ctx.get_web_sockets(), ws.deserialize_attachment(), ws.tags))

    async def attach(self: Scripted, ws: WebSocket) -> None:
        ws.serialize_attachment("mine")

    env: dict[str, Any] = {"close": closed, "attach": attach}
    room = live(Scripted, env=env)
    held = room.hold("t")
    room.message(held, "attach")
    room.left()
    room.close(held, 4000, "bye")
    await settle()
    assert seen == [(True, 3), (False, "mine", ["t"])]
    assert env["log"] == ["message attach", "closed 4000 bye True"]
    assert room.left() == []


async def test_the_end_of_a_socket_is_told_once_and_not_after_an_error(live: MakeHarness) -> None:
    env: dict[str, Any] = {}
    room = live(Scripted, env=env)
    one, two = room.hold(), room.hold()
    room.close(one)
    room.close(one)
    room.fail(two, ConnectionError("bad frame"))
    room.close(two, 1002, "bad frame")
    assert env["log"] == ["closed 1000  True", "error bad frame"]
    assert len(room.roll) == 0


async def test_a_tag_to_search_for_is_text(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="a tag must be a str, got int"):
            self.ctx.get_web_sockets(5)  # type: ignore[arg-type]
        with pytest.raises(WrongTypeError, match="a tag must be a str, got int"):
            self.ctx.broadcast("x", 5)  # type: ignore[arg-type]
        assert self.ctx.get_web_sockets("nobody has this") == []

    await inside(live, step)


# -- broadcast ---------------------------------------------------------------------------------------------------------


async def test_a_broadcast_is_one_effect_whatever_the_size_of_the_room(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        self.ctx.broadcast("all")
        self.ctx.broadcast(b"some", "red", exclude=ws)
        self.ctx.broadcast("others", exclude=self.ctx.get_web_sockets("red"))

    room = live(Scripted, env={"go": go})
    sockets = [room.hold("red") for _ in range(3)]
    room.message(sockets[1], "go")
    assert room.left() == [
        ("broadcast", "all", None, []),
        ("broadcast", b"some", "red", [2]),
        ("broadcast", "others", None, [1, 2, 3]),
    ]
    assert (room.meter.messages_out, room.meter.bytes_out) == (3 + 2, 9 + 8)


async def test_a_broadcast_names_the_sockets_whose_client_is_not_connected_yet(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        self.ctx.broadcast("hello")
        self.ctx.broadcast("red only", "red")

    room = live(Scripted, env={"/": accepting("blue"), "go": go})
    held = room.hold("red")
    response = await room.fetch(upgrade=True)
    room.left()
    room.message(held, "go")
    assert room.left() == [
        ("broadcast", "hello", None, [0]),
        ("send", "hello", [0]),
        ("broadcast", "red only", "red", []),
    ]
    room.connect(response)
    room.message(held, "go")
    assert room.left()[0] == ("broadcast", "hello", None, [])


async def test_a_socket_accepted_after_a_broadcast_is_not_reached_by_it_while_it_is_held(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)
        self.ctx.broadcast("before")
        self.ctx.broadcast("to others", "other tag")

    room = live(Scripted, env={"/": accepting("t"), "go": go})
    held = room.hold()
    room.message(held, "go")
    answer = room.fetch(upgrade=True)
    assert room.left() == []
    room.durable()
    await answer
    assert room.left() == [
        ("broadcast", "before", None, [0]),
        ("broadcast", "to others", "other tag", []),
        ("send", "welcome", [0]),
    ]


async def test_what_cannot_be_broadcast_is_refused(live: MakeHarness) -> None:
    def step(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="a message must be str or bytes, got dict"):
            self.ctx.broadcast({})  # type: ignore[arg-type]
        with pytest.raises(WrongTypeError, match="exclude takes a WebSocket or some of them, got str"):
            self.ctx.broadcast("x", exclude="abc")  # type: ignore[arg-type]

    room = await inside(live, step)
    assert room.left() == []


# -- order of delivery -------------------------------------------------------------------------------------------------


async def test_the_next_message_of_a_socket_begins_after_the_synchronous_part_of_the_one_before(
    live: MakeHarness,
) -> None:
    go = signal()

    async def slow(self: Scripted, ws: WebSocket) -> None:
        await go
        self.log.append("slow ends")

    env: dict[str, Any] = {"slow": slow}
    room = live(Scripted, env=env)
    held = room.hold()
    room.message(held, "slow")
    room.message(held, "fast")
    assert env["log"] == ["message slow", "message fast"]
    assert room.all_left() == [("finished", [1])]
    go.set_result(None)
    await settle()
    assert env["log"][2:] == ["slow ends"]
    assert room.all_left() == [("finished", [1])]


async def test_an_exception_in_a_handler_is_reported_and_the_socket_stays_open(live: MakeHarness) -> None:
    async def fails(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)
        raise LookupError("mine")

    room = live(Scripted, env={"fails": fails, "close": fails, "error": fails})
    held = room.hold()
    room.message(held, "fails")
    room.durable()
    assert room.all_left() == [("finished", [1])]
    assert held.ready_state == 1
    assert room.ended == []
    room.fail(held, ConnectionError("x"))
    failures = [facts["error"] for name, facts in room.happened if name == "object.handler_failed"]
    assert [str(error) for error in failures] == ["mine", "mine"]
    assert room.meter.snapshot()["errors"] == {"LookupError": 2}
    room.durable()


async def test_messages_for_a_class_without_handler_are_dropped_and_finished(live: MakeHarness) -> None:
    from roost.objects.durable_object import DurableObject

    room = live(DurableObject)
    held = room.hold()
    room.message(held, "x")
    room.close(held)
    assert room.all_left() == [("finished", [1])]
    assert len(room.roll) == 0
    assert room.meter.snapshot()["events"] == {"socket_closed": 1}
