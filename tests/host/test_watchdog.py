from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from roost.host.watchdog import Watchdog, objects_in
from roost.objects.durable_object import DurableObject
from roost.observer import Observer
from roost.response import Response

from .scripted import ScriptedGateway, host_of


class HandTime:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Reported(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.set()


def test_a_loop_that_turns_is_not_reported() -> None:
    time = HandTime()
    dog = Watchdog(seconds_max=1, observer=Observer(), monotonic=time)
    time.now = 0.9
    assert dog.look(None) is None
    dog.beat()
    time.now = 1.8
    assert dog.look(None) is None


def test_a_blockage_is_reported_once_and_again_when_it_is_twice_as_long(caplog: pytest.LogCaptureFixture) -> None:
    time = HandTime()
    dog = Watchdog(seconds_max=1, observer=Observer(), monotonic=time)
    reported = []
    for time.now in (1.0, 1.5, 1.9, 2.0, 3.0, 4.0):
        reported.append(dog.look(sys._getframe()) is not None)
    assert reported == [True, False, False, True, False, True]
    assert "test_a_blockage_is_reported_once" in caplog.text  # the stack


async def test_the_object_whose_handler_blocks_is_named(tmp_path: Path) -> None:
    frames: list[Any] = []

    class Room(DurableObject):
        async def fetch(self, request: Any) -> Response:
            frames.append(list(objects_in(sys._getframe())))
            return Response()

    async def enter(request: Any, env: Any) -> Any:
        return await env.ROOM.get_by_name("lobby").fetch(request)

    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        await ScriptedGateway(host).roll().request("/")
    (named,) = frames
    assert "ROOM 'lobby'" in named[0]


async def test_a_blocked_loop_is_seen_from_the_thread() -> None:
    observer = Observer()
    dog = Watchdog(seconds_max=0.02, observer=observer)
    reported = Reported()
    logging.getLogger("roost.loop").addHandler(reported)
    told = observer.wait_for("loop.blocked")
    dog.start()
    assert reported.seen.wait(5)  # blocks the loop, which is the point
    logging.getLogger("roost.loop").removeHandler(reported)
    facts = await asyncio.wait_for(told, 5)
    assert facts["object"] is None
    assert "reported.seen.wait(5)" in facts["stack"]
    dog.stop()
