"""The user's front function: what a request meets before any object."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from roost.env import Env
from roost.errors import InvalidStateError, WrongTypeError
from roost.observer import Observer
from roost.request import Request
from roost.response import Response

NO_ENTRYPOINT = """\
This app has no entrypoint, so nothing is served here yet.

Add to its module:

    async def fetch(request, env):
        return await env.MY_ROOM.get_by_name("lobby").fetch(request)
"""


class EntrypointContext:
    """`self.ctx` of an entrypoint: what it may ask of roost beside answering."""

    def __init__(self, work: set[asyncio.Task[Any]], observer: Observer) -> None:
        self._work = work
        self._observer = observer

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Let some work go on after the response; a failure of it is logged. A drain of the host waits for it."""
        if not inspect.isawaitable(awaitable):
            raise WrongTypeError(f"wait_until takes an awaitable, got {type(awaitable).__name__}")
        task = asyncio.ensure_future(_awaited(awaitable))
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.report("entrypoint.background_failed", "work under wait_until failed", error)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class WorkerEntrypoint:
    """Base of an entrypoint written as a class, which has `self.ctx` and `self.env`:

        class Default(WorkerEntrypoint):
            async def fetch(self, request): ...

    It is made anew for each request.
    """

    def __init__(self, ctx: EntrypointContext, env: Env) -> None:
        self.ctx = ctx
        self.env = env


class Entrypoint:
    """The app's entrypoint, whichever way it was written, ready to be called."""

    def __init__(self, entry: Any, env: Env, observer: Observer) -> None:
        self._entry = entry
        self._env = env
        self.work: set[asyncio.Task[Any]] = set()
        """What goes on under `wait_until`."""
        self._context = EntrypointContext(self.work, observer)
        self._observer = observer

    async def __call__(self, request: Request) -> Response:
        """The app's response. Raises what the app raises, and WrongTypeError when it returns anything else."""
        if self._entry is None:
            return Response(NO_ENTRYPOINT, status=404)
        result = self._call(request)
        if inspect.isawaitable(result):
            result = await result
        return checked_response(result, self.name)

    def _call(self, request: Request) -> Any:
        if not isinstance(self._entry, type):
            return self._entry(request, self._env)
        cls: Any = self._entry
        entry = cls.__new__(cls)
        entry.ctx, entry.env = self._context, self._env  # so that a class may leave out super().__init__
        entry.__init__(self._context, self._env)
        return entry.fetch(request)

    @property
    def name(self) -> str:
        name = getattr(self._entry, "__qualname__", type(self._entry).__qualname__)
        return f"{name}.fetch" if isinstance(self._entry, type) else str(name)


def checked_response(result: object, where: str) -> Response:
    """The result, if it is a response that can be sent."""
    if not isinstance(result, Response):
        got = "None: is a `return` missing?" if result is None else f"{type(result).__name__}: {result!r:.80}"
        raise WrongTypeError(f"{where} must return a roost.Response, it returned {got}")
    if result.body_used:
        raise InvalidStateError(f"{where} returned a response whose body was read already; clone() it before reading")
    return result
