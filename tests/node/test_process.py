from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from roost.errors import (
    AppLoadError,
    ConfigurationError,
    DataDirectoryError,
    InvalidArgumentError,
    LinkError,
    ObjectError,
)
from roost.node.channel import ORPHANED, Channel
from roost.node.process import ANOTHERS, converse, failed_from
from roost.supervisor.messages import (
    Answer,
    Ask,
    Drain,
    Failed,
    FromChild,
    Order,
    Ping,
    Pong,
    Serve,
    Serving,
    Stop,
    ToChild,
    decode_from_child,
    encode,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigurationError("no"), "configuration"),
        (DataDirectoryError("no"), "data"),
        (LinkError("no"), "address"),
        (AppLoadError("no"), "app"),
    ],
)
def test_a_failure_is_told_by_who_can_do_something_about_it(error: Any, kind: str) -> None:
    assert failed_from(error) == Failed(kind, "no")


def test_a_failure_of_the_system_names_its_cause() -> None:
    assert failed_from(OSError(errno.EACCES, "Permission denied", "/x")).kind == "address"
    failed = failed_from(ObjectError("no"))
    assert failed.kind == "internal"
    assert failed.raised is not None


def test_an_app_that_raised_is_told_in_one_line_with_what_it_raised() -> None:
    error = AppLoadError("app.py does not import: KeyError: 'x'\nTraceback ...\n")
    error.__cause__ = KeyError("x")
    failed = failed_from(error)
    assert failed.message == "app.py does not import: KeyError: 'x'"
    assert failed.raised is not None
    assert (failed.raised.kind, failed.raised.message) == ("KeyError", "'x'")


class FakeRole:
    """Notes what it is told to do."""

    def __init__(self, *, ends_when_drained: bool = True, error: Exception | None = None) -> None:
        self.did: list[str] = []
        self._ends_when_drained = ends_when_drained
        self._error = error

    async def serve(self) -> None:
        if self._error is not None:
            raise self._error
        self.did.append("serve")

    async def drain(self, seconds: float, **how: Any) -> bool:
        self.did.append(f"drain {seconds:g}")
        return self._ends_when_drained

    async def stop(self, seconds: float) -> None:
        self.did.append(f"stop {seconds:g}")

    def report(self) -> str:
        return "a report"


class Talk:
    """The supervisor's end of a conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, theirs: socket.socket) -> None:
        self._reader = reader
        self.writer = writer
        self.channel = Channel(theirs)

    def say(self, *messages: ToChild) -> None:
        self.writer.write(b"".join(map(encode, messages)))

    async def hear(self) -> FromChild:
        return decode_from_child(await self._reader.readline())


@pytest_asyncio.fixture
async def talk() -> AsyncIterator[Talk]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    yield Talk(reader, writer, theirs)
    writer.close()
    theirs.close()


async def test_a_child_serves_answers_and_ends_when_it_is_drained(talk: Talk) -> None:
    role = FakeRole()
    talk.say(Ask(1), Serve(), Ping(), Ask(2), Drain(3))
    assert await converse(role, talk.channel) == 0
    assert [await talk.hear() for _ in range(4)] == [Answer(1, None), Serving(), Pong(), Answer(2, "a report")]
    assert role.did == ["serve", "drain 3"]


async def test_one_that_stays_when_it_is_drained_ends_when_it_is_stopped(talk: Talk) -> None:
    role = FakeRole(ends_when_drained=False)
    talk.say(Serve(), Drain(3), Stop(2))
    assert await converse(role, talk.channel) == 0
    assert role.did == ["serve", "drain 3", "stop 2"]


class Servant(FakeRole):
    def obey(self, what: str, arguments: dict[str, Any]) -> Any:
        if what == "dance":
            raise InvalidArgumentError("it does not dance")
        return ANOTHERS if arguments.get("id") == "another" else arguments


async def test_orders_are_obeyed_by_whom_they_concern_once_it_serves(talk: Talk) -> None:
    talk.say(Order(1, "x", {}), Serve(), Order(2, "x", {"id": "own"}), Order(3, "x", {"id": "another"}))
    talk.say(Order(4, "dance", {}), Stop(1))
    assert await converse(Servant(), talk.channel) == 0
    assert [await talk.hear() for _ in range(5)] == [
        Answer(1, None),
        Serving(),
        Answer(2, {"value": {"id": "own"}, "error": ""}),
        Answer(3, None),
        Answer(4, {"value": None, "error": "it does not dance"}),
    ]


async def test_a_role_that_takes_no_orders_leaves_them_to_others(talk: Talk) -> None:
    talk.say(Serve(), Order(1, "x", {}), Stop(1))
    assert await converse(FakeRole(), talk.channel) == 0
    assert [await talk.hear() for _ in range(2)] == [Serving(), Answer(1, None)]


@pytest.mark.parametrize("end", [Drain(1), Stop(1)])
async def test_one_that_never_served_just_goes(talk: Talk, end: ToChild) -> None:
    role = FakeRole()
    talk.say(end)
    assert await converse(role, talk.channel) == 0
    assert role.did == []


async def test_one_that_cannot_serve_says_why(talk: Talk) -> None:
    talk.say(Serve())
    assert await converse(FakeRole(error=DataDirectoryError("DIR is in use")), talk.channel) == 1
    assert await talk.hear() == Failed("data", "DIR is in use")


async def test_one_whose_supervisor_goes_stops_in_order(talk: Talk) -> None:
    role = FakeRole()
    talk.say(Serve())
    conversation = asyncio.create_task(converse(role, talk.channel))
    assert await talk.hear() == Serving()
    talk.writer.close()
    assert await conversation == 0
    assert role.did == ["serve", f"stop {ORPHANED.seconds:g}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_one_child_stops_it_in_order(talk: Talk, number: signal.Signals) -> None:
    role = FakeRole()
    talk.say(Serve())
    conversation = asyncio.create_task(converse(role, talk.channel))
    assert await talk.hear() == Serving()
    os.kill(os.getpid(), number)
    assert await conversation == 0
    assert role.did == ["serve", f"stop {ORPHANED.seconds:g}"]
    asyncio.get_running_loop().remove_signal_handler(number)
