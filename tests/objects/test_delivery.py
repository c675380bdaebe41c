from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import ObjectError, WrongTypeError
from roost.events import Fetch, SocketClosed, SocketMessage
from roost.held_socket import CLOSED, OPEN, HeldSocket
from roost.objects.delivery import note_arrival
from roost.objects.durable_object import DurableObject
from roost.request import Request
from roost.response import Response

from .harness import MakeHarness, Scripted, settle, signal


async def test_a_request_gets_exactly_one_answer(live: MakeHarness) -> None:
    answers: list[Any] = []

    async def fetch(self: Scripted) -> str:
        return "one"

    async def fails(self: Scripted) -> str:
        raise LookupError("two")

    room = live(Scripted, env={"/": fetch, "/fails": fails})
    for path in ("/", "/fails"):
        room.deliver(Fetch(Request(f"http://x{path}"), answers.append, answers.append))
    await settle()
    assert [type(answer) for answer in answers] == [Response, LookupError]
    assert room.meter.snapshot()["errors"] == {"LookupError": 1}


async def test_what_fetch_must_not_return_fails_the_request_and_nothing_else(live: MakeHarness) -> None:
    class Odd(DurableObject):
        async def fetch(self, request: Request) -> Any:
            return None if request.path == "/none" else Response("fine")

    room = live(Odd)
    with pytest.raises(WrongTypeError, match=r"Odd.fetch must return a roost.Response, it returned None"):
        await room.fetch("/none")
    assert await room.text() == "fine"
    assert room.woken == 1


async def test_a_class_without_fetch_answers_with_an_error_that_says_so(live: MakeHarness) -> None:
    with pytest.raises(ObjectError, match="has no method fetch"):
        await live(DurableObject).fetch()


async def test_finished_follows_a_message_once_its_handler_and_its_writes_are_through(live: MakeHarness) -> None:
    go = signal()

    async def slow(self: Scripted, ws: Any) -> None:
        await go
        await self.ctx.storage.put("a", 1)

    room = live(Scripted, env={"slow": slow})
    room.message(room.hold(), "slow")
    go.set_result(None)
    await settle()
    assert room.all_left() == []
    room.durable()
    assert room.all_left() == [("finished", [1])]


async def test_a_request_whose_handler_goes_on_is_not_answered_early(live: MakeHarness) -> None:
    go = signal()

    async def slow(self: Scripted) -> str:
        await asyncio.shield(go)
        return "slow"

    room = live(Scripted, env={"/": slow})
    answer = room.fetch()
    await settle()
    assert not answer.done()
    go.set_result(None)
    assert await (await answer).text() == "slow"


def test_the_end_of_a_socket_is_known_on_arrival_whatever_waits_before_it() -> None:
    held = HeldSocket()
    note_arrival(SocketMessage(held, "x"))
    assert held.ready_state == OPEN
    note_arrival(SocketClosed(held, 1000, "", True))
    assert held.ready_state == CLOSED
