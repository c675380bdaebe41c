"""Links over a byte stream of the operating system: Unix sockets, and whatever else asyncio has a transport for."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import stat
from collections.abc import Callable
from typing import cast

from roost.errors import LinkError
from roost.limits import DEFAULTS, Limits
from roost.link.connection import SessionConnection
from roost.link.frames import Hello
from roost.link.session import Side

SOCKET_PATH_BYTES_MAX = 103
"""What a Unix socket's path may have everywhere: 108 on Linux, 104 on macOS, with a NUL behind it."""


class StreamConnection(SessionConnection, asyncio.Protocol):
    """One end of a link over an asyncio transport."""

    def __init__(self, side: Side, hello: Hello, limits: Limits = DEFAULTS, peername: str = "") -> None:
        super().__init__(side, hello, limits)
        self._peername = peername
        self._transport: asyncio.Transport | None = None

    @property
    def peername(self) -> str:
        return self._peername

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's is one without saying so
        self._transport = stream
        stream.set_write_buffer_limits(high=self._limits.link_send_bytes)
        stream.pause_reading()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def eof_received(self) -> None:
        self._received_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # asyncio's cannot be aborted once it is lost
        self._end(exc)

    def pause_writing(self) -> None:
        self._set_writable(False)

    def resume_writing(self) -> None:
        self._set_writable(True)

    def _write(self, data: bytearray) -> int:
        assert self._transport is not None, "the first flush is that of connection_made"
        self._transport.write(data)
        return self._transport.get_write_buffer_size()

    def _finish_writing(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _pause_reading(self) -> None:
        # uvloop begins to read after connection_made whatever was said there, so it is said again here.
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class LinkServer:
    """Accepts links at a Unix socket."""

    def __init__(self, server: asyncio.AbstractServer, path: str, inode: int) -> None:
        self.path = path
        self._server = server
        self._inode = inode

    def close(self) -> None:
        """Accept no more, and remove the socket's file unless a successor has put its own there. Links stay."""
        self._server.close()
        try:
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        except FileNotFoundError:
            return


async def connect_unix(path: str, hello: Hello, limits: Limits = DEFAULTS) -> StreamConnection:
    """The peer's end of a link with the owner that listens at the path.

    Raises OSError when nobody does.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(
        lambda: StreamConnection(Side.PEER, hello, limits, f"unix:{path}"), path
    )
    return connection


async def serve_unix(
    path: str, hello: Hello, on_connection: Callable[[StreamConnection], None], limits: Limits = DEFAULTS
) -> LinkServer:
    """Listen at the path as owner; `on_connection` gets each new link and must `start` it.

    The socket can be used by this user alone. A file that an earlier server left there is replaced. Raises LinkError
    when the path is too long for a socket or is something else than one, OSError when it cannot be made.
    """
    listening = _listening_socket(path)
    inode = os.stat(path).st_ino
    numbers = itertools.count(1)

    def accepted() -> StreamConnection:
        return _Accepted(on_connection, hello, limits, f"unix:{path}#{next(numbers)}")

    server = await asyncio.get_running_loop().create_unix_server(accepted, sock=listening)
    return LinkServer(server, path, inode)


class _Accepted(StreamConnection):
    def __init__(
        self, on_connection: Callable[[StreamConnection], None], hello: Hello, limits: Limits, peername: str
    ) -> None:
        super().__init__(Side.OWNER, hello, limits, peername)
        self._on_connection = on_connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._on_connection(self)


def _listening_socket(path: str) -> socket.socket:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise LinkError(f"the path of a socket may have {SOCKET_PATH_BYTES_MAX} bytes, {path} has more")
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise LinkError(f"cannot listen at {path}: a file that is no socket is there")
        os.unlink(path)
    except FileNotFoundError:
        pass
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        os.chmod(path, 0o600)
    except OSError:
        listening.close()
        raise
    return listening
