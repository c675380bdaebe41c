from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, InvalidStateError
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .harness import MakeHarness, Scripted


def test_a_pair_unpacks_and_has_names() -> None:
    pair = WebSocketPair()
    client, server = pair
    assert (client, server) == (pair.client, pair.server) == (pair[0], pair[1])
    assert len(pair) == 2
    assert client is not server
    assert repr(pair).startswith("<WebSocketPair client=<WebSocket open, was not accepted yet>")


async def inside(live: MakeHarness, step: Any) -> None:
    """Run it in an object."""

    async def fetch(self: Scripted) -> str:
        step(self)
        return "done"

    assert await live(Scripted, env={"/": fetch}).text() == "done"


async def test_an_end_that_was_taken_cannot_go_into_a_response(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        with pytest.raises(
            InvalidStateError, match=r"was accepted with ctx.accept_web_socket\(\), so it cannot go into"
        ):
            Response(None, status=101, web_socket=server)
        Response(None, status=101, web_socket=client)
        with pytest.raises(InvalidStateError, match="went to the client in a Response, so it cannot go into"):
            Response(None, status=101, web_socket=client)
        _other, active = WebSocketPair()
        active.accept()
        with pytest.raises(InvalidStateError, match=r"was accepted with accept\(\), so it cannot go into"):
            Response(None, status=101, web_socket=active)

    await inside(live, step)


async def test_both_ends_cannot_go_into_responses(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        client, server = WebSocketPair()
        Response(None, status=101, web_socket=client)
        with pytest.raises(InvalidStateError, match="the other end of this WebSocketPair went into a Response already"):
            Response(None, status=101, web_socket=server)

    await inside(live, step)


async def test_the_end_that_went_to_the_client_is_not_used_here(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        client, _server = WebSocketPair()
        Response(None, status=101, web_socket=client)
        uses: list[Callable[[], None]] = [client.close, client.accept, lambda: client.send("x")]
        uses.append(lambda: self.ctx.accept_web_socket(client))
        for use in uses:
            with pytest.raises(InvalidStateError, match="went to the client in a Response"):
                use()

    await inside(live, step)


async def test_a_socket_of_the_object_is_no_end_of_a_pair(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        with pytest.raises(InvalidStateError, match="is no end of a WebSocketPair"):
            Response(None, status=101, web_socket=ws)

    room = live(Scripted, env={"go": go})
    room.message(room.hold(), "go")
    assert "object.handler_failed" not in room.names()


async def test_accept_web_socket_must_come_before_the_other_end_is_used(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        client, server = WebSocketPair()
        Response(None, status=101, web_socket=client)
        with pytest.raises(InvalidStateError, match="accept_web_socket must come before the other end is used"):
            self.ctx.accept_web_socket(server)

    await inside(live, step)


async def test_an_end_is_accepted_one_way_only(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        _client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        with pytest.raises(InvalidStateError, match=r"so accept\(\) comes too late"):
            server.accept()
        with pytest.raises(InvalidStateError, match="so accept_web_socket comes too late"):
            self.ctx.accept_web_socket(server)
        client, server = WebSocketPair()
        server.accept()
        server.accept()
        with pytest.raises(InvalidStateError, match="so accept_web_socket comes too late"):
            self.ctx.accept_web_socket(server)
        with pytest.raises(InvalidStateError, match="accept_web_socket must come before"):
            self.ctx.accept_web_socket(client)

    await inside(live, step)


async def test_the_other_end_of_a_hibernating_socket_belongs_into_a_response(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        with pytest.raises(InvalidStateError, match="this one goes into a Response"):
            client.accept()

    await inside(live, step)


async def test_half_open_is_refused_by_name(live: MakeHarness) -> None:
    def step(self: Scripted) -> None:
        with pytest.raises(InvalidArgumentError, match="allow_half_open is not to be had"):
            WebSocketPair().server.accept(allow_half_open=True)

    await inside(live, step)


def test_a_pair_is_accepted_inside_an_object_only() -> None:
    with pytest.raises(InvalidStateError, match="a WebSocket is kept by an object"):
        WebSocketPair().server.accept()
    with pytest.raises(InvalidStateError, match="a WebSocket is kept by an object"):
        Response(None, status=101, web_socket=WebSocketPair().client)
