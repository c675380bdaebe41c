"""Bodies over a link: one side sends as far as it was given credit, the other gives credit as its reader reads."""

# A stream is one request and its response.
#
#  (1) A small whole body travels in the frame that starts the request or response, and needs no credit.
#  (2) Of any other body at most a window is under way; more follows as the reader reads.
#  (3) A body ends with a chunk that says so. One that broke off ends with a reset, and its reader gets an error.
#  (4) When the reader goes away, the source of the body is closed: nothing is produced for nobody.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from roost.body import Body, BodyReader, BodyStream
from roost.link.frames import BodyChunk, BodyCredit, Frame

INLINE_BYTES_MAX = 64 * 1024
"""A whole body up to this size goes with the head. Larger ones would keep the frames behind them waiting."""

CHUNK_BYTES_MAX = 64 * 1024


class Wire(Protocol):
    """A link that frames are sent into."""

    def send(self, frame: Frame) -> None: ...

    async def ready(self) -> None:
        """Wait until the link takes more."""


class BodySender:
    """Sends one body. `run` is a task's work; `credit` lets more of it go."""

    def __init__(self, stream: int, wire: Wire, window: int) -> None:
        self._stream = stream
        self._wire = wire
        self._credit = window
        self._more = asyncio.Event()

    def credit(self, size: int) -> None:
        """The other side has read so much."""
        self._credit += size
        self._more.set()

    async def run(self, chunks: BodyReader) -> None:
        """Send all of it. Raises what its source raises; the source is closed in any case."""
        try:
            async for chunk in chunks:
                await self._send(chunk)
        finally:
            await chunks.aclose()
        self._wire.send(BodyChunk(self._stream, b"", False))

    async def _send(self, chunk: bytes) -> None:
        at = 0
        while at < len(chunk):
            await self._wire.ready()
            while self._credit <= 0:
                self._more.clear()
                await self._more.wait()
            piece = chunk[at : at + min(self._credit, CHUNK_BYTES_MAX)]
            self._credit -= len(piece)
            at += len(piece)
            self._wire.send(BodyChunk(self._stream, piece, True))


def inline_part(body: Body) -> tuple[bytes, BodyReader | None]:
    """What of a body goes with the head, and what follows it. The body counts as read."""
    whole = body.take_buffered(INLINE_BYTES_MAX)
    return (b"", body.stream()) if whole is None else (whole, None)


def receive_body(
    stream: int, first: bytes, *, more: bool, wire: Wire, window: int, on_closed: Callable[[], None] | None = None
) -> tuple[Body, BodyStream | None]:
    """The body that begins with `first`, and, when it is not whole yet, where its chunks are to be fed."""
    if not more:
        return Body(first), None
    source = BodyStream(
        window=window + len(first),
        on_consumed=lambda size: wire.send(BodyCredit(stream, size)),
        on_closed=on_closed,
    )
    source.feed(first)
    return Body(source), source
