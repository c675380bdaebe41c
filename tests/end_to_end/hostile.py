"""A WebSocket client by hand, which can do everything wrong that a client can do wrong."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from urllib.parse import urlencode

from .running import PATIENCE, Roost

TEXT, BINARY, CLOSE = 1, 2, 8
RECEIVE_BUFFER_BYTES = 4096
"""Small, so that a client which does not read is soon felt at the other end."""


class Hostile:
    """One TCP connection to a roost. Nothing is read unless asked for."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self._loop.sock_sendall(self._socket, data), PATIENCE)

    async def send_frame(self, opcode: int, payload: bytes) -> None:
        await self.send(frame(opcode, payload))

    async def upgrade(self, path: str, **query: str) -> None:
        """Become a WebSocket; returns once the answer is there."""
        await self.send(upgrade_request(path, **query))
        head = b""
        while b"\r\n\r\n" not in head:
            head += await self.read(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    async def read(self, most: int = 65_536) -> bytes:
        """What has come; nothing at the end of the connection."""
        try:
            return await asyncio.wait_for(self._loop.sock_recv(self._socket, most), PATIENCE)
        except ConnectionError:
            return b""

    async def read_to_end(self) -> bytes:
        """Everything until the other side ends the connection."""
        read = bytearray()
        while data := await self.read():
            read += data
        return bytes(read)

    def half_close(self) -> None:
        """Say that nothing more will come, and stay."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Vanish: the other side gets a reset instead of an end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


async def intrude(roost: Roost) -> Hostile:
    """A connection, and nothing sent yet."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    connection.setblocking(False)
    try:
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(connection, ("127.0.0.1", roost.port)), PATIENCE)
    except BaseException:
        connection.close()
        raise
    return Hostile(connection)


def upgrade_request(path: str, **query: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: roost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message, masked with zeros: they leave the payload as it is."""
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        length = b"\xfe" + struct.pack(">H", len(payload))
    else:
        length = b"\xff" + struct.pack(">Q", len(payload))
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def close_code_in(data: bytes) -> int:
    """The code of the Close frame at the end of what was read."""
    at = data.rfind(bytes([0x80 | CLOSE]))
    assert at >= 0, data[-100:]
    return int.from_bytes(data[at + 2 : at + 4], "big")
