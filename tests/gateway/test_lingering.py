from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.gateway.fake_clock import FakeClock, settle, until

from roost.gateway.deadlines import Deadlines
from roost.gateway.lingering import Lingerers


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server's transport, whose protocol fails when it hears anything, and the client's streams."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Former(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport)  # type: ignore[arg-type]

        def data_received(self, data: bytes) -> None:
            raise AssertionError("the former protocol hears nothing any more")

    server = await loop.create_server(Former, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        yield await accepted, reader, writer
    finally:
        writer.transport.abort()
        (await accepted).abort()
        server.close()
        await settle()


async def test_what_was_written_arrives_though_the_client_still_sends() -> None:
    lingerers = Lingerers(Deadlines(FakeClock()), 5)
    async with connected() as (transport, reader, writer):
        transport.write(b"last words")
        lingerers.take(transport)
        writer.write(b"x" * 3_000_000)
        assert await reader.read() == b"last words"
        assert len(lingerers) == 1
        writer.close()
        await until(lambda: not lingerers)


async def test_a_client_that_stays_is_dropped_at_the_deadline() -> None:
    clock = FakeClock()
    lingerers = Lingerers(Deadlines(clock), 5)
    told: list[int] = []
    lingerers.on_removed = lambda: told.append(len(lingerers))
    async with connected() as (transport, reader, _):
        lingerers.take(transport)
        assert await reader.read() == b""
        clock.advance(4)
        await settle()
        assert len(lingerers) == 1
        clock.advance(2)
        await settle()
        assert told == [0]


async def test_all_can_be_dropped_at_once() -> None:
    lingerers = Lingerers(Deadlines(FakeClock()), 5)
    async with connected() as (transport, _, __):
        lingerers.take(transport)
        lingerers.abort()
        await settle()
        assert len(lingerers) == 0


async def test_a_transport_that_is_closing_already_is_left_alone() -> None:
    lingerers = Lingerers(Deadlines(FakeClock()), 5)
    async with connected() as (transport, _, __):
        transport.abort()
        lingerers.take(transport)
        assert len(lingerers) == 0


async def test_a_client_that_has_reset_the_connection_is_let_go() -> None:
    lingerers = Lingerers(Deadlines(FakeClock()), 5)
    async with connected() as (transport, _, writer):
        transport.pause_reading()  # so that the reset is not noticed before
        plain = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await settle()
        plain.close()
        lingerers.take(transport)
        await until(lambda: not lingerers)
