"""A socket that can be parked, its client's end, and a record of what its protocol was told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.gateway.fake_clock import settle, until

from roost.gateway.parking import Parking
from roost.gateway.parking_poll import PollSet, make_poll_set
from roost.gateway.parking_transport import ParkedTransport


class Recorder(asyncio.BufferedProtocol):
    """The protocol of one socket, asleep and awake."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = b""
        self.transport: asyncio.Transport
        self.keeps_open = False
        self.on_data: Callable[[], None] = lambda: None
        self._buffer = bytearray(1 << 16)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_protocol(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost {type(exc).__name__}" if exc else "lost")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self._buffer[:nbytes]
        self.on_data()

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.told.append("behind")

    def resume_writing(self) -> None:
        self.told.append("caught up")


class Socket:
    """One connection."""

    def __init__(self, parking: Parking, client: socket.socket) -> None:
        self.parking = parking
        self.client = client
        self.recorder = Recorder()

    @property
    def told(self) -> list[str]:
        return self.recorder.told

    @property
    def transport(self) -> asyncio.Transport:
        """The one it has now."""
        return self.recorder.transport

    @property
    def parked(self) -> ParkedTransport:
        assert isinstance(self.recorder.transport, ParkedTransport), "it is awake"
        return self.recorder.transport

    @property
    def is_awake(self) -> bool:
        return not isinstance(self.recorder.transport, ParkedTransport)

    def park(self) -> None:
        self.transport.pause_reading()
        self.transport.set_write_buffer_limits(high=0)
        parked = self.parking.park(self.transport, self.recorder)
        assert parked is not None
        self.recorder.transport = parked
        self.told.clear()

    async def read(self, size: int) -> bytes:
        """So many bytes, at the client's end."""
        data = b""
        while len(data) < size:
            try:
                data += self.client.recv(size - len(data))
            except BlockingIOError:
                await asyncio.sleep(0)
        return data

    def reset(self) -> None:
        """The client goes with a RST."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def fill(self) -> bytes:
        """Write until the kernel takes no more and something waits; all that was written."""
        written = b""
        while not self.transport.get_write_buffer_size():
            piece = bytes([len(written) % 251]) * 100_000
            self.transport.write(piece)
            written += piece
        return written


@asynccontextmanager
async def sockets(
    number: int = 1, make: Callable[[], PollSet] = make_poll_set, *, parked: bool = True, tcp: bool = False
) -> AsyncIterator[list[Socket]]:
    """So many of them, all parked by one Parking; closed at the end. Fails when a callback of the loop raised."""
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    parking = Parking(loop, make)
    made = []
    for _ in range(number):
        own, client = _tcp_pair() if tcp else socket.socketpair()
        own.setblocking(False)
        client.setblocking(False)
        one = Socket(parking, client)
        await loop.connect_accepted_socket(lambda one=one: one.recorder, own)  # type: ignore[misc]
        if parked:
            one.park()
        made.append(one)
    await settle()
    yield made
    for one in made:
        one.transport.abort()
        one.client.close()
    await until(lambda: all(one.told[-1:] and one.told[-1].startswith("lost") for one in made))
    await parking.close()
    assert parking.count == 0
    assert failures == [], f"a callback of the loop failed: {failures}"


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return server.accept()[0], client
