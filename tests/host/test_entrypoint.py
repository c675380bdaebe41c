from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.env import Env
from roost.errors import InvalidStateError, WrongTypeError
from roost.host.entrypoint import Entrypoint, WorkerEntrypoint
from roost.observer import Observer
from roost.request import Request
from roost.response import Response


def entrypoint(entry: Any, observer: Observer | None = None) -> Entrypoint:
    return Entrypoint(entry, Env({"COLOUR": "red"}), observer or Observer())


async def text_of(entry: Any) -> str:
    return await (await entrypoint(entry)(Request("http://x/path"))).text()


async def test_a_function_is_given_request_and_env() -> None:
    async def fetch(request: Request, env: Any) -> Response:
        return Response(f"{request.path} {env.COLOUR}")

    assert await text_of(fetch) == "/path red"


async def test_a_plain_function_will_do() -> None:
    assert await text_of(lambda request, env: Response("plain")) == "plain"


async def test_a_class_is_made_for_each_request_with_ctx_and_env() -> None:
    made: list[Any] = []

    class Default(WorkerEntrypoint):
        async def fetch(self, request: Request) -> Response:
            made.append(self)
            return Response(f"{request.path} {self.env.COLOUR}")

    assert await text_of(Default) == "/path red"
    assert await text_of(Default) == "/path red"
    assert made[0] is not made[1]


async def test_a_class_may_leave_out_the_call_of_its_base() -> None:
    class Default(WorkerEntrypoint):
        def __init__(self, ctx: Any, env: Any) -> None:
            self.mine = 1

        def fetch(self, request: Request) -> Response:
            return Response(f"{self.mine} {self.env.COLOUR} {self.ctx is not None}")

    assert await text_of(Default) == "1 red True"


async def test_an_app_without_entrypoint_answers_with_how_to_add_one() -> None:
    response = await entrypoint(None)(Request("http://x/"))
    assert response.status == 404
    assert "async def fetch(request, env)" in await response.text()


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "None: is a `return` missing"), ("text", "it returned str: 'text'"), ({"a": 1}, "it returned dict")],
)
async def test_what_is_no_response_is_named(value: object, told: str) -> None:
    with pytest.raises(WrongTypeError, match=r"must return a roost\.Response") as caught:
        await text_of(lambda request, env: value)
    assert told in str(caught.value)


async def test_a_response_that_was_read_already_is_refused() -> None:
    async def fetch(request: Request, env: Any) -> Response:
        response = Response("once")
        await response.text()
        return response

    with pytest.raises(InvalidStateError, match="was read already"):
        await text_of(fetch)


async def test_work_under_wait_until_goes_on_and_its_failure_is_told() -> None:
    observer = Observer()
    done = asyncio.Event()

    class Default(WorkerEntrypoint):
        async def fetch(self, request: Request) -> Response:
            self.ctx.wait_until(self.later())
            return Response("at once")

        async def later(self) -> None:
            await done.wait()
            raise ValueError("too late to tell the client")

    entry = entrypoint(Default, observer)
    failed = observer.wait_for("entrypoint.background_failed")
    assert await (await entry(Request("http://x/"))).text() == "at once"
    assert len(entry.work) == 1
    done.set()
    assert isinstance((await failed)["error"], ValueError)
    assert entry.work == set()


async def test_wait_until_takes_an_awaitable_only() -> None:
    class Default(WorkerEntrypoint):
        async def fetch(self, request: Request) -> Response:
            self.ctx.wait_until(3)  # type: ignore[arg-type]
            return Response()

    with pytest.raises(WrongTypeError, match="got int"):
        await text_of(Default)
