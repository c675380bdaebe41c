"""What an answer makes of a response; that it is sent is shown in `test_server.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from roost.host.answer import Answer
from roost.limits import DEFAULTS
from roost.link import frames
from roost.link.frames import Frame
from roost.observer import Observer
from roost.response import Response


class Session:
    """Keeps what is sent, and answers for a gateway or a host."""

    def __init__(self, role: str = "gateway") -> None:
        self.role = role
        self.limits, self.observer, self.debug = DEFAULTS, Observer(), False
        self.answers: dict[int, Any] = {}
        self.frames: list[Frame] = []
        self.tasks: list[asyncio.Task[None]] = []

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    send_checked = send

    async def ready(self) -> None: ...

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    def granted(self, grant: Any, drop: Callable[[], None]) -> None: ...

    def answer(self, **changes: Any) -> Answer:
        facts: dict[str, Any] = {
            "stream": 1,
            "target": None,
            "method": "GET",
            "url": "http://x/",
            "headers": [],
            "body": b"",
            "more": False,
            "upgrade": False,
            "client": "",
        }
        answer = Answer(self, frames.RequestStart(**(facts | changes)))  # type: ignore[arg-type]
        self.answers[1] = answer
        return answer


async def test_there_is_exactly_one_answer() -> None:
    session = Session()
    answer = session.answer()
    answer.reply(Response("first", status_text="Fine"))
    answer.reply(Response("second"))
    answer.fail(RuntimeError("third"))
    await asyncio.gather(*session.tasks)
    (sent,) = session.frames
    assert isinstance(sent, frames.ResponseStart)
    assert (sent.body, sent.status_text) == (b"first", "Fine")
    assert session.answers == {}


async def test_after_the_client_went_away_nothing_is_sent() -> None:
    session = Session()
    answer = session.answer()
    answer.abandon("gone")
    answer.reply(Response("too late"))
    answer.fail(RuntimeError("too late"))
    await asyncio.gather(*session.tasks)
    assert session.frames == []


@pytest.mark.parametrize("role", ["gateway", "host"])
async def test_a_gateway_gets_a_page_for_an_error_and_a_host_the_error_itself(role: str) -> None:
    session = Session(role)
    session.answer().fail(KeyError("board"))
    (sent,) = session.frames
    if role == "gateway":
        assert isinstance(sent, frames.ResponseStart)
        assert sent.status == 500
    else:
        assert isinstance(sent, frames.StreamReset)
        assert "KeyError" in sent.reason


async def test_the_request_is_as_the_peer_told_it() -> None:
    headers = [("Upgrade", "websocket"), ("X-Two", "1"), ("X-Two", "2")]
    request = Session().answer(headers=headers, upgrade=True, client="1.2.3.4:5", body=b"").request
    assert request.is_upgrade
    assert request.client == "1.2.3.4:5"
    assert request.headers.get_all("x-two") == ["1", "2"]
