from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from roost.body import Body
from roost.errors import LimitExceededError
from roost.host.streams import CHUNK_BYTES_MAX, INLINE_BYTES_MAX, BodySender, inline_part, receive_body
from roost.link.frames import BodyChunk, BodyCredit, Frame

from .scripted import settle


class KeepingWire:
    """Keeps what is sent; takes more unless the test says no."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.open = asyncio.Event()
        self.open.set()

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    async def ready(self) -> None:
        await self.open.wait()

    def data(self) -> bytes:
        return b"".join(frame.data for frame in self.frames if isinstance(frame, BodyChunk))


async def source(*chunks: bytes, closed: Callable[[], None] = lambda: None) -> AsyncIterator[bytes]:
    try:
        for chunk in chunks:
            yield chunk
    finally:
        closed()


async def test_a_body_is_sent_as_far_as_there_is_credit() -> None:
    wire = KeepingWire()
    sender = BodySender(4, wire, 10)
    running = asyncio.ensure_future(sender.run(Body(source(b"12345678", b"abcdefgh")).stream()))
    await settle()
    assert wire.data() == b"12345678ab"
    sender.credit(3)
    await settle()
    assert wire.data() == b"12345678abcde"
    sender.credit(100)
    await running
    assert wire.data() == b"12345678abcdefgh"
    assert wire.frames[-1] == BodyChunk(4, b"", False)


async def test_a_body_waits_for_a_link_that_does_not_take_more() -> None:
    wire = KeepingWire()
    wire.open.clear()
    running = asyncio.ensure_future(BodySender(1, wire, 100).run(Body(source(b"x")).stream()))
    await settle()
    assert wire.frames == []
    wire.open.set()
    await running
    assert wire.data() == b"x"


async def test_a_large_chunk_is_cut() -> None:
    wire = KeepingWire()
    await BodySender(1, wire, 10 * CHUNK_BYTES_MAX).run(Body(source(b"x" * (CHUNK_BYTES_MAX + 1))).stream())
    assert [len(frame.data) for frame in wire.frames if isinstance(frame, BodyChunk)] == [CHUNK_BYTES_MAX, 1, 0]


async def test_the_source_of_a_body_that_is_not_sent_to_its_end_is_closed() -> None:
    closed: list[int] = []
    wire = KeepingWire()
    chunks = Body(source(b"x" * 20, closed=lambda: closed.append(1))).stream()
    running = asyncio.ensure_future(BodySender(1, wire, 10).run(chunks))
    await settle()
    running.cancel()
    await asyncio.wait([running])
    assert closed == [1]
    assert not any(isinstance(frame, BodyChunk) and not frame.more for frame in wire.frames)


async def test_a_small_whole_body_goes_with_the_head() -> None:
    body = Body(b"small")
    assert inline_part(body) == (b"small", None)
    assert body.used
    first, rest = inline_part(Body(b"x" * (INLINE_BYTES_MAX + 1)))
    assert first == b""
    assert rest is not None
    first, rest = inline_part(Body(source(b"x")))
    assert first == b""
    assert rest is not None


async def test_reading_gives_credit_back() -> None:
    wire = KeepingWire()
    body, feeder = receive_body(3, b"first", more=True, wire=wire, window=10)
    assert feeder is not None
    feeder.feed(b"second")
    feeder.end()
    assert await body.bytes() == b"firstsecond"
    assert wire.frames == [BodyCredit(3, 5), BodyCredit(3, 6)]


async def test_a_whole_body_needs_no_credit() -> None:
    wire = KeepingWire()
    body, feeder = receive_body(3, b"whole", more=False, wire=wire, window=1)
    assert feeder is None
    assert await body.bytes() == b"whole"
    assert wire.frames == []


async def test_a_sender_beyond_its_credit_is_refused() -> None:
    _, feeder = receive_body(3, b"", more=True, wire=KeepingWire(), window=4)
    assert feeder is not None
    with pytest.raises(LimitExceededError):
        feeder.feed(b"12345")
