"""The body of a response that an object produces as it goes."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from roost.body import BodyReader
from roost.objects.object_tasks import ObjectTasks
from roost.objects.turn import ObjectTask


class Producer(Protocol):
    """What a streamed body needs of its object."""

    tasks: ObjectTasks

    def depart(self, leave: Callable[[], None]) -> None:
        """Let something leave through the output gate."""

    def stream_ended(self, body: StreamedBody) -> None:
        """Nothing more is produced: the object need not stay for this."""


class StreamedBody:
    """Chunks that user code produces inside the object, each a turn through both gates, read from outside one at a
    time.

    The object stays in memory until the body is exhausted or let go. When the object ends before, reading raises the
    reason.
    """

    def __init__(self, producer: Producer, chunks: BodyReader) -> None:
        self._producer = producer
        self._chunks = chunks
        self._waiting: asyncio.Future[Any] | None = None
        self._task: ObjectTask | None = None
        self._error: BaseException | None = None

    def __aiter__(self) -> StreamedBody:
        return self

    async def __anext__(self) -> bytes:
        chunk: bytes = await self._inside(self._chunks.__anext__())
        return chunk

    async def aclose(self) -> None:
        """The reader goes away: let the producer clean up, inside the object."""
        if self._error is None:
            self._error = StopAsyncIteration()
            await self._interrupt()
            try:
                await self._run(self._chunks.aclose())
            finally:
                self._producer.stream_ended(self)

    async def _inside(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._error is not None:
            coroutine.close()
            raise self._error
        return await self._run(coroutine)

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._waiting = asyncio.get_running_loop().create_future()
        self._task = self._producer.tasks.start(coroutine, "the body of a response", self._produced)
        self._task.listed = False
        return await self._waiting

    async def _interrupt(self) -> None:
        """A reading that nobody waits for any more must end before its source can be closed."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task.expose()])

    def _produced(self, task: ObjectTask) -> None:
        if task.error is not None:
            self._error = self._error or task.error
            self._producer.stream_ended(self)
        self._producer.depart(functools.partial(_tell, self._waiting, task))

    def fail(self, error: BaseException) -> None:
        """The object is gone."""
        self._error = error
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def _tell(waiting: asyncio.Future[Any] | None, task: ObjectTask) -> None:
    if waiting is None or waiting.done():
        return
    if task.error is None:
        waiting.set_result(task.result_value)
    elif isinstance(task.error, asyncio.CancelledError):
        waiting.cancel()
    else:
        waiting.set_exception(task.error)
