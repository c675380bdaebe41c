from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, InvalidStateError, WrongTypeError
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .harness import Harness, MakeHarness, Scripted, settle, signal


def accepting(set_up: Any, *, first: bool = True) -> Any:
    """A fetch that hands out one end and gives the other, accepted, to `set_up`."""

    async def fetch(self: Scripted) -> Response:
        client, server = WebSocketPair()
        if first:
            server.accept()
        set_up(self, server)
        return Response(None, status=101, web_socket=client)

    return fetch


async def active(live: MakeHarness, set_up: Any, **env: Any) -> tuple[Harness, Any]:
    room = live(Scripted, env={"/": accepting(set_up), **env})
    return room, room.connect(await room.fetch(upgrade=True))


async def test_the_active_way_of_the_article_runs(live: MakeHarness) -> None:
    class Room(Scripted):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.sessions: list[WebSocket] = []
            self.board: dict[str, int] = {}

        async def fetch(self, request: Any) -> Response:
            client, server = WebSocketPair()
            server.accept()
            self.sessions.append(server)

            async def on_message(event: Any) -> None:
                self.board[event.data] = 1
                await self.ctx.storage.put("board", self.board)
                for session in self.sessions:
                    if session is not server:
                        session.send(event.data)

            server.add_event_listener("message", on_message)
            server.add_event_listener("close", lambda event: self.sessions.remove(server))
            return Response(None, status=101, web_socket=client)

    room = live(Room, env={})
    one, two, three = [room.connect(await room.fetch(upgrade=True)) for _ in range(3)]
    room.message(one, "line")
    assert room.all_left() == []
    room.durable()
    assert room.all_left() == [("send", "line", [2, 3]), ("finished", [1])]
    room.close(two)
    room.message(three, "dot")
    room.durable()
    assert room.left() == [("send", "dot", [1])]
    assert room.alive.pinned_by() == ["active WebSocket"]


async def test_listeners_get_events_with_the_facts(live: MakeHarness) -> None:
    seen: list[Any] = []

    def set_up(self: Scripted, ws: WebSocket) -> None:
        for kind in ("message", "close", "error"):
            ws.add_event_listener(kind, seen.append)

    room, held = await active(live, set_up)
    room.message(held, "text")
    room.message(held, b"bytes")
    room.close(held, 1001, "away", was_clean=False)
    assert [event.data for event in seen[:2]] == ["text", b"bytes"]
    assert (seen[2].code, seen[2].reason, seen[2].was_clean) == (1001, "away", False)
    assert room.alive.pinned_by() == []


async def test_after_an_error_there_is_no_close(live: MakeHarness) -> None:
    seen: list[Any] = []

    def set_up(self: Scripted, ws: WebSocket) -> None:
        ws.add_event_listener("error", seen.append)
        ws.add_event_listener("close", seen.append)

    room, held = await active(live, set_up)
    room.fail(held, ConnectionError("bad frame"))
    room.close(held, 1002)
    assert [str(event.error) for event in seen] == ["bad frame"]


async def test_listeners_may_be_async_and_one_that_fails_does_not_keep_others_from_the_event(live: MakeHarness) -> None:
    seen: list[str] = []

    def set_up(self: Scripted, ws: WebSocket) -> None:
        async def slow(event: Any) -> None:
            await asyncio.sleep(0)
            seen.append(f"slow {event.data}")
            raise LookupError("slow")

        def fails(event: Any) -> None:
            raise LookupError("fast")

        for listener in (fails, slow, lambda event: seen.append(f"plain {event.data}")):
            ws.add_event_listener("message", listener)
            ws.add_event_listener("message", listener)

    room, held = await active(live, set_up)
    room.message(held, "x")
    assert room.all_left() == []
    await settle()
    assert seen == ["plain x", "slow x"]
    assert room.all_left() == [("finished", [1])]
    assert room.names().count("object.handler_failed") == 2


async def test_a_listener_can_be_removed(live: MakeHarness) -> None:
    seen: list[Any] = []

    def set_up(self: Scripted, ws: WebSocket) -> None:
        ws.add_event_listener("message", seen.append)
        ws.add_event_listener("message", lambda _: ws.remove_event_listener("message", seen.append))

    room, held = await active(live, set_up)
    room.message(held, "one")
    room.message(held, "two")
    assert [event.data for event in seen] == ["one"]


async def test_frames_that_came_before_accept_wait_for_it_in_order(live: MakeHarness) -> None:
    seen: list[str] = []

    def set_up(self: Any, ws: WebSocket) -> None:
        self.ws = ws
        ws.add_event_listener("message", lambda event: seen.append(event.data))

    async def accept(self: Any) -> str:
        self.ws.accept()
        return "accepted"

    room = live(Scripted, env={"/": accepting(set_up, first=False), "/accept": accept})
    held = room.connect(await room.fetch(upgrade=True))
    room.message(held, "one")
    room.message(held, "two")
    assert (seen, room.all_left()) == ([], [])
    assert await room.text("/accept") == "accepted"
    room.message(held, "three")
    await settle()
    assert seen == ["one", "two", "three"]
    assert room.all_left() == [("finished", [1]), ("finished", [1]), ("finished", [1])]


async def test_messages_are_read_with_async_for_until_the_socket_closes(live: MakeHarness) -> None:
    seen: list[Any] = []

    def set_up(self: Any, ws: WebSocket) -> None:
        async def read() -> None:
            async for message in ws:
                seen.append(message)
            seen.append("closed")

        self.reader = asyncio.create_task(read())

    room, held = await active(live, set_up)
    for message in ("one", b"two", "three"):
        room.message(held, message)
    room.close(held)
    await settle()
    assert seen == ["one", b"two", "three", "closed"]
    assert room.all_left() == [("finished", [1, 1, 1])]


async def test_a_message_that_nobody_has_read_is_not_finished(live: MakeHarness) -> None:
    go = signal()
    seen: list[Any] = []

    def set_up(self: Any, ws: WebSocket) -> None:
        async def read() -> None:
            async for message in ws:
                seen.append(message)
                await go

        self.reader = asyncio.create_task(read())

    room, held = await active(live, set_up)
    room.message(held, "one")
    room.message(held, "two")
    await settle()
    assert seen == ["one"]
    assert room.all_left() == [("finished", [1])]
    go.set_result(None)
    await settle()
    assert room.all_left() == [("finished", [1])]


async def test_a_socket_is_read_by_one_and_not_beside_listeners(live: MakeHarness) -> None:
    def set_up(self: Any, ws: WebSocket) -> None:
        async def read() -> None:
            async for _ in ws:
                pass

        self.readers = [asyncio.create_task(read()) for _ in range(2)]
        self.ws = ws

    async def check(self: Any) -> str:
        with pytest.raises(InvalidStateError, match="read by somebody else already"):
            await self.readers[1]
        self.ws.add_event_listener("message", print)
        with pytest.raises(InvalidStateError, match="has message listeners"):
            await anext(self.ws)
        return "checked"

    room, _held = await active(live, set_up, **{"/check": check})
    assert await room.text("/check") == "checked"


async def test_what_cannot_be_a_listener_is_refused(live: MakeHarness) -> None:
    def set_up(self: Any, ws: WebSocket) -> None:
        with pytest.raises(InvalidArgumentError, match="has events open, message, close, error, got 'msg'"):
            ws.add_event_listener("msg", print)
        with pytest.raises(WrongTypeError, match="a listener must be a function, got str"):
            ws.add_event_listener("message", "print")  # type: ignore[arg-type]

    await active(live, set_up)


async def test_hibernating_sockets_have_no_listeners_and_are_not_iterated(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(InvalidStateError, match="so it has no listeners"):
            ws.add_event_listener("message", print)
        with pytest.raises(InvalidStateError, match=r"only one taken with accept\(\)"):
            aiter(ws)

    room = live(Scripted, env={"go": go})
    room.message(room.hold(), "go")
    assert "object.handler_failed" not in room.names()


async def test_what_was_sent_before_the_response_is_sent_first(live: MakeHarness) -> None:
    def set_up(self: Any, ws: WebSocket) -> None:
        ws.send("one")
        ws.send("two")

    room, held = await active(live, set_up)
    assert [effect[:2] for effect in room.left()] == [("send", "one"), ("send", "two")]
    assert held.hibernating is False
    assert held not in room.roll.sockets


async def test_closing_before_the_response_closes_the_client_that_comes(live: MakeHarness) -> None:
    room, _held = await active(live, lambda _, ws: (ws.send("bye"), ws.close(4000, "full")))
    assert room.left() == [("send", "bye", [0]), ("close", 0, 4000, "full")]


async def test_active_sockets_close_with_1012_when_the_object_is_reset_and_hibernating_ones_stay(
    live: MakeHarness,
) -> None:
    async def abort(self: Scripted, ws: WebSocket) -> None:
        self.ctx.abort("enough")

    room, held = await active(live, lambda *_: None, abort=abort)
    hibernating = room.hold()
    room.message(hibernating, "abort")
    assert room.left() == [("close", held.number, 1012, "the object was restarted")]
    assert hibernating.ready_state == 1
    room.close(held, 1012)
    assert hibernating in room.roll.sockets


async def test_both_ends_in_one_object_are_joined_and_what_was_sent_before_arrives(live: MakeHarness) -> None:
    seen: list[str] = []

    def closed(name: str, event: Any) -> None:
        seen.append(f"{name} {event.code} {event.reason}")

    async def fetch(self: Any) -> str:
        one, two = self.pair = WebSocketPair()
        one.accept()
        one.send("early")
        two.accept()
        two.add_event_listener("message", lambda event: seen.append(event.data))
        two.add_event_listener("message", lambda event: two.send(f"echo {event.data}"))
        one.add_event_listener("message", lambda event: seen.append(event.data))
        for end, name in ((one, "one"), (two, "two")):
            end.add_event_listener("close", partial(closed, name))
        one.send("late")
        return "joined"

    async def close(self: Any) -> str:
        self.pair.client.close(4000, "done")
        return "closed"

    room = live(Scripted, env={"/": fetch, "/close": close})
    assert await room.text() == "joined"
    await settle()
    assert seen == ["early", "late", "echo early", "echo late"]
    assert await room.text("/close") == "closed"
    await settle()
    assert seen[4:] == ["two 4000 done", "one 4000 done"]
    assert room.left() == []
    assert room.alive.pinned_by() == []


async def test_a_socket_whose_other_end_was_given_to_nobody_is_lost_and_told_so(live: MakeHarness) -> None:
    seen: list[int] = []

    async def fetch(self: Scripted) -> str:
        _client, server = WebSocketPair()
        server.accept()
        server.add_event_listener("close", lambda event: seen.append(event.code))
        return "no socket"

    room = live(Scripted, env={"/": fetch})
    assert await room.text() == "no socket"
    await settle()
    assert seen == [1006]
    assert room.alive.pinned_by() == []
