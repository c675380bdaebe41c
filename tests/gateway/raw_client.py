"""A client that sends what the test says, byte for byte, and reads what comes back."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import zlib
from typing import Any

import h11

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def handshake(
    path: str = "/", *, without: tuple[str, ...] = (), method: str = "GET", version: str = "1.1", **headers: str
) -> bytes:
    """The bytes of an opening handshake; keyword arguments replace or add headers, `_` standing for `-`."""
    lines = {
        "host": "test",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": KEY,
    }
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    kept = [f"{name}: {value}" for name, value in lines.items() if name not in without]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *kept, "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A client's frame."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit, size = 0x80 if masked else 0, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    mask = zlib.crc32(payload, opcode).to_bytes(4, "big")  # always the same, so that names of tests made of frames are
    repeated = (mask * (size // 4 + 1))[:size]
    masked_payload = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
    return head + mask + masked_payload


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


_PROPOSAL = [("host", "test"), ("upgrade", "websocket"), ("connection", "upgrade")]
"""What h11 believes was asked, so that it reads a 101 too."""


class Answer:
    """A response as h11, which is not ours, has read it."""

    def __init__(self, response: h11.Response | h11.InformationalResponse, body: bytes) -> None:
        self.status = response.status_code
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
        self.body = body

    @property
    def error(self) -> str:
        """The name in the body of a refusal."""
        found: str = json.loads(self.body)["error"]["name"]
        return found


class RawClient:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._read_ahead = b""

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=1 << 26))

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "GET") -> Answer:
        """The next response, whole."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=_PROPOSAL))
        parser.send(h11.EndOfMessage())
        head: h11.Response | h11.InformationalResponse | None = None
        body = b""
        if self._read_ahead:
            parser.receive_data(self._read_ahead)
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await asyncio.wait_for(self.reader.read(1 << 16), 10)
                parser.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                self._read_ahead = parser.trailing_data[0]
                return Answer(event, b"")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None, "h11 gives the head first"
                self._read_ahead = parser.trailing_data[0]
                return Answer(head, body)
            else:
                raise AssertionError(f"the connection ended before a whole answer: {event}")

    async def read(self, size: int) -> bytes:
        while len(self._read_ahead) < size:
            data = await asyncio.wait_for(self.reader.read(1 << 16), 10)
            if not data:
                raise AssertionError(f"the connection ended after {self._read_ahead!r}")
            self._read_ahead += data
        taken, self._read_ahead = self._read_ahead[:size], self._read_ahead[size:]
        return taken

    async def until(self, end: bytes) -> bytes:
        """Everything up to these bytes."""
        while end not in self._read_ahead:
            self._read_ahead = await self.read(len(self._read_ahead) + 1) + self._read_ahead
        return await self.read(self._read_ahead.index(end) + len(end))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: its opcode and payload."""
        first, second = await self.read(2)
        assert first & 0xF0 == 0x80, "servers here send whole messages without extensions"
        assert not second & 0x80, "a server does not mask"
        size = second
        if size == 126:
            size = int.from_bytes(await self.read(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.read(8), "big")
        return first & 0x0F, await self.read(size)

    async def closed_with(self) -> tuple[int | None, bytes]:
        """The code and reason of the Close frame, which must be next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, f"a Close frame was expected, not opcode {opcode} with {payload!r}"
        return (int.from_bytes(payload[:2], "big"), payload[2:]) if payload else (None, b"")

    async def ended(self) -> None:
        """The connection must end now, nothing coming before."""
        try:
            rest = self._read_ahead + await asyncio.wait_for(self.reader.read(-1), 10)
        except ConnectionError:
            rest = b""
        assert rest == b"", f"the connection should have ended, but first came {rest[:200]!r}"
