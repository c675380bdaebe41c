"""Whether a client is still there whose bytes are not read now: the kernel knows, where it is asked.

While reading is paused nothing tells that a connection was ended or reset, and no Pong is seen. What the kernel knows
of the TCP connection is enough: who has closed or reset it is gone, and so is who has acknowledged nothing since a
Ping.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable

ESTABLISHED = 1
_STATE = struct.Struct("=B")
_UNACKED = struct.Struct("=24xI")
_LAST_ACK_MS = struct.Struct("=56xI")
_INFO_BYTES = 60
"""Of `struct tcp_info` in linux/tcp.h, up to the time since the last acknowledgement."""

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)


def is_there(transport: asyncio.BaseTransport, silent_seconds: float | None) -> bool:
    """Whether it has neither closed nor reset the connection, nor been silent since a Ping of so long ago, if any.

    True where the system does not tell: then writing to it fails in the end.
    """
    option = _TCP_INFO
    if option is None:
        return True
    info = _ask(transport, lambda own: own.getsockopt(socket.IPPROTO_TCP, option, _INFO_BYTES))
    return info is None or shows_life(info, silent_seconds)


def has_spoken(transport: asyncio.BaseTransport) -> bool:
    """Whether something that it sent is with the kernel and was not read yet: then it is not the client who is late."""
    return bool(_ask(transport, lambda own: own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)))


def _ask(transport: asyncio.BaseTransport, question: Callable[[socket.socket], bytes]) -> bytes | None:
    """What the kernel says of the connection. None where it says nothing: it is no TCP connection, or was reset, or has
    nothing to be read."""
    known = transport.get_extra_info("socket")
    if known is None or known.fileno() < 0:
        return None
    try:
        with socket.socket(fileno=os.dup(known.fileno())) as own:  # uvloop's stand-in for a socket has neither call
            return question(own)
    except OSError:
        return None


def shows_life(info: bytes, silent_seconds: float | None) -> bool:
    """The same, of what the kernel told."""
    if len(info) < _INFO_BYTES:
        return True
    if _STATE.unpack_from(info)[0] != ESTABLISHED:
        return False
    if silent_seconds is None or not _UNACKED.unpack_from(info)[0]:
        return True
    return bool(_LAST_ACK_MS.unpack_from(info)[0] < silent_seconds * 1000)
