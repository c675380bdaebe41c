from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import InvalidStateError, ObjectError, WrongTypeError
from roost.objects.durable_object import DurableObject
from roost.objects.handlers import Handlers, as_exception
from roost.request import Request
from roost.response import Response

from .harness import MakeHarness


class Room(DurableObject):
    def __init__(self) -> None: ...

    async def web_socket_message(self, ws: Any, message: Any) -> None: ...


REQUEST = Request("http://x/")


def test_what_a_class_defines_is_found_once_and_what_it_does_not_is_none() -> None:
    handlers = Handlers(Room())
    assert handlers.message is not None
    assert handlers.message_is_async
    assert (handlers.fetch, handlers.close, handlers.error) == (None, None, None)


def test_a_class_without_fetch_says_so() -> None:
    with pytest.raises(ObjectError, match=r"Room has no method fetch\(self, request\)"):
        Handlers(Room()).answer(REQUEST)


@pytest.mark.parametrize(
    ("result", "got"), [(None, "None: is a `return` missing"), ("text", "str: 'text'"), (7, "int: 7")]
)
def test_fetch_must_return_a_response(result: object, got: str) -> None:
    with pytest.raises(WrongTypeError, match=f"Room.fetch must return a roost.Response, it returned {got}"):
        Handlers(Room()).checked(result, REQUEST)


async def test_a_response_that_was_read_cannot_be_returned() -> None:
    response = Response("x")
    await response.text()
    with pytest.raises(InvalidStateError, match=r"read already: clone\(\) it"):
        Handlers(Room()).checked(response, REQUEST)


def test_an_exception_is_passed_on_as_it_is_and_what_would_stop_the_caller_is_wrapped() -> None:
    error = LookupError("mine")
    assert as_exception(error) is error
    for severe in (asyncio.CancelledError("x"), SystemExit(1), StopIteration()):
        wrapped = as_exception(severe)
        assert isinstance(wrapped, ObjectError)
        assert wrapped.__cause__ is severe


async def test_the_call_of_super_is_optional(live: MakeHarness) -> None:
    class Bare(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            self.mine = self.ctx is ctx and self.env is env

        async def fetch(self, request: Request) -> Response:
            return Response(f"{self.mine} {self.env} {self.ctx.id.name}")

    assert await live(Bare, env="env").text() == "True env x"
