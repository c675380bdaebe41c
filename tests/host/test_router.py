from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import InvalidStateError
from roost.host.router import Reply, Router
from roost.ids import ObjectId
from roost.link.directory import LocalDirectory
from roost.link.frames import ObjectRef
from roost.request import Request

from .parts import SPACE
from .scripted import settle


class Hosts:
    """Keeps what is sent to objects here and there."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.there: list[tuple[int, str]] = []
        self.held: list[Callable[[], None]] | None = None

    def fetch_local(self, object_id: ObjectId, request: Request, reply: Reply) -> None:
        self.here.append(request.path)

    def fetch_remote(self, owner: int, ref: ObjectRef, request: Request, reply: Reply) -> None:
        self.there.append((owner, request.path))

    def leave(self, depart: Callable[[], None]) -> None:
        if self.held is None:
            depart()
        else:
            self.held.append(depart)

    def is_outside(self) -> bool:
        return self.held is None

    def router(self) -> Router:
        return Router(
            number=0,
            directory=LocalDirectory([0, 1]),
            here=self,
            there=self,
            leave=self.leave,
            is_outside=self.is_outside,
        )


def id_on(host: int) -> ObjectId:
    ids = (SPACE.from_name(str(n)) for n in range(100))
    return next(one for one in ids if LocalDirectory([0, 1]).owner(one.key) == host)


async def test_a_call_goes_to_the_owner_of_the_object() -> None:
    hosts = Hosts()
    router = hosts.router()
    router.fetch(id_on(0), Request("http://x/a"))
    router.fetch(id_on(1), Request("http://x/b"))
    assert hosts.here == ["/a"]  # outside of all objects it runs within the call
    assert hosts.there == [(1, "/b")]


async def test_a_call_made_inside_an_object_waits_for_its_output_gate() -> None:
    hosts = Hosts()
    hosts.held = []
    router = hosts.router()
    for n in range(3):
        router.fetch(id_on(0), Request(f"http://x/{n}"))
    await settle()
    assert hosts.here == []
    for depart in hosts.held:
        depart()
    assert hosts.here == []  # not in the middle of the caller's turn
    await settle()
    assert hosts.here == ["/0", "/1", "/2"]


async def test_a_call_from_another_thread_is_refused() -> None:
    router = Hosts().router()

    def call() -> Any:
        return router.fetch(id_on(0), Request("http://x/"))

    with pytest.raises(InvalidStateError, match="not from another thread"):
        await asyncio.to_thread(call)


async def test_a_call_whose_way_cannot_be_found_fails() -> None:
    hosts = Hosts()

    def nowhere(*_: Any) -> None:
        raise ZeroDivisionError("a mistake")

    hosts.fetch_remote = nowhere  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError):
        await hosts.router().fetch(id_on(1), Request("http://x/"))
