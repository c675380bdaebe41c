"""Where the calls of stubs go: to an object of this host, or over a link to the host that owns it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Protocol, TypeAlias

from roost.errors import InvalidStateError
from roost.ids import ObjectId
from roost.link.directory import Directory
from roost.link.frames import ObjectRef
from roost.request import Request
from roost.response import Response

Reply: TypeAlias = "asyncio.Future[Response]"
Leave: TypeAlias = Callable[[Callable[[], None]], None]
"""Does something that leaves the current object once its output gate lets it; at once where there is no object."""


class Here(Protocol):
    """The objects of this host."""

    def fetch_local(self, object_id: ObjectId, request: Request, reply: Reply) -> None:
        """Give the object the request; `reply` gets what comes of it."""


class There(Protocol):
    """The objects of other hosts."""

    def fetch_remote(self, owner: int, ref: ObjectRef, request: Request, reply: Reply) -> None:
        """Send the request to its owner, after all that was sent there before."""


class Router:
    """The caller behind all stubs of a host."""

    def __init__(
        self,
        *,
        number: int,
        directory: Directory,
        here: Here,
        there: There,
        leave: Leave,
        is_outside: Callable[[], bool],
    ) -> None:
        """`is_outside` says whether no object's code runs: then an object of this host runs within the call."""
        self._number = number
        self._directory = directory
        self._here = here
        self._there = there
        self._leave = leave
        self._is_outside = is_outside

    def fetch(self, object_id: ObjectId, request: Request) -> Reply:
        """Send the request now, or, inside an object, as soon as what it wrote before is durable."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise InvalidStateError("a stub can be called on the event loop only, not from another thread") from error
        reply: Reply = loop.create_future()
        if self._is_outside():
            self._send(None, object_id, request, reply)
        else:
            self._leave(functools.partial(self._send, loop, object_id, request, reply))
        return reply

    def _send(
        self, loop: asyncio.AbstractEventLoop | None, object_id: ObjectId, request: Request, reply: Reply
    ) -> None:
        """With a loop: in a turn of its own, where the caller may be in the middle of a step of another object."""
        try:
            owner = self._directory.owner(object_id.key)
            if owner != self._number:
                ref = ObjectRef(object_id.binding, object_id.key, object_id.name)
                self._there.fetch_remote(owner, ref, request, reply)
                return
        except Exception as error:  # noqa: BLE001 - effects are leaving, and the caller waits for its answer
            if not reply.done():
                reply.set_exception(error)
            return
        if loop is None:
            self._here.fetch_local(object_id, request, reply)
        else:
            loop.call_soon(self._here.fetch_local, object_id, request, reply)
