"""picows reads the frames of a client that is connected already, and does nothing else.

picows wants to own a connection from the handshake on and to write to it. Here the handshake is over, and writing has
its own order and bounds, so picows is given a transport that goes nowhere and a request that it likes:

 (1) Its handshake response is dropped.
 (2) The only other thing it writes is a Close frame, when the client broke the protocol. It may do so *before* it hands
     over the last good frame of the same read, so whoever is told waits for the end of the read, which is told too.
 (3) What one read brings is bounded. It is handed over to its end even when reading was stopped in the middle, and
     picows doubles its buffer whenever a read has filled it: otherwise a client that is far ahead could have as much
     memory as the kernel holds for it, beyond all flow control.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]  # not in its type hints

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: roost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
READ_BUFFER_BYTES = 4_096
"""To start with; picows doubles it as needed and never gives anything back."""
READ_BYTES_MAX = 64 * 1024
"""Of one read: as much as asyncio's own transports take at once."""


class FrameListener(Protocol):
    """What is told beside the calls of picows' WSListener, which it is too."""

    tail_bytes: int
    """What was read and belongs to no frame that was handed over; `on_ws_frame` sets it to the frame's `tail_size`."""

    passing_bytes: int
    """So many bytes of the frame that comes in need not be seen by `on_read`."""

    breach: tuple[int, str] | None
    """Set when the client broke the protocol: the code and what was wrong."""

    def on_read(self, before: int, data: bytes) -> None:
        """All frames of a read were handed over, and there is a tail, or a breach.

        `before` is what `tail_bytes` was, and `data` what was read.
        """

    def on_passed(self) -> None:
        """Some of the passing bytes have come."""


class _NoSocket:
    """What picows asks for the socket's options and number."""

    def setsockopt(self, *_: Any) -> None:
        pass

    def getsockopt(self, *_: Any) -> int:
        return 0

    def fileno(self) -> int:
        return -1


class _NoLog:
    """picows tells of breaches through its logger too; they are reported by the gateway with the socket's facts."""

    def isEnabledFor(self, _: int) -> bool:  # noqa: N802 - the name in logging
        return False

    def log(self, *_: Any) -> None:
        pass

    debug = info = warning = error = exception = log


_NO_SOCKET = _NoSocket()
_NO_LOG = _NoLog()
_get_buffer, _buffer_updated = WSProtocol.get_buffer, WSProtocol.buffer_updated
_SHORT_FRAME = 0x80 - 6
"""The second byte of a masked frame of 6 to 131 bytes, less its size. Most reads are one such frame."""
_SHORT_FRAME_BYTES_MIN, _SHORT_FRAME_BYTES_MAX = 6, 131


class _Sink:
    """The transport that picows has."""

    __slots__ = ("_handshake_written", "_listener")

    def __init__(self, listener: FrameListener) -> None:
        self._listener = listener
        self._handshake_written = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _NO_SOCKET if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 1  # never empty, so that picows writes through `write` and not to the socket's number

    def write(self, data: bytes) -> None:
        if not self._handshake_written:
            self._handshake_written = True
            return
        frame = bytes(data)
        if self._listener.breach is None:
            self._listener.breach = (int.from_bytes(frame[2:4], "big"), frame[4:].decode(errors="replace"))

    def close(self) -> None:
        pass  # 10 ms after a breach; what happens then is not for picows to say

    abort = close


class _Reader(WSProtocol):  # type: ignore[misc]  # it is not in picows' type hints
    """picows, with bounded reads, and with an account of what it has read and not handed over."""

    __slots__ = ("_buffer",)

    listener: Any
    _buffer: memoryview

    def get_buffer(self, size_hint: int) -> memoryview:
        buffer: memoryview = _get_buffer(self, size_hint)
        self._buffer = buffer = buffer if len(buffer) <= READ_BYTES_MAX else buffer[:READ_BYTES_MAX]
        return buffer

    def buffer_updated(self, size: int) -> None:
        listener = self.listener
        is_short = _SHORT_FRAME_BYTES_MIN <= size <= _SHORT_FRAME_BYTES_MAX
        if is_short and not listener.tail_bytes and self._buffer[1] == size + _SHORT_FRAME:
            _buffer_updated(self, size)
            if listener.breach is not None:
                listener.on_read(0, b"")
            return
        if listener.passing_bytes:
            if size < listener.passing_bytes:
                listener.passing_bytes -= size
                listener.tail_bytes += size
                _buffer_updated(self, size)
                listener.on_passed()
                return
            listener.passing_bytes = 0
        data = bytes(self._buffer[:size])  # picows unmasks in place, and moves its buffer
        before = listener.tail_bytes
        listener.tail_bytes = before + size
        _buffer_updated(self, size)
        if listener.tail_bytes or listener.breach is not None:
            listener.on_read(before, data)


def make_reader(
    listener: FrameListener, message_bytes_max: int, buffer_bytes: int = READ_BUFFER_BYTES
) -> asyncio.BufferedProtocol:
    """A protocol for a client whose handshake is answered; it hands frames to `listener.on_ws_frame`.

    The listener is a WSListener too.
    """
    reader = _Reader(
        None,  # host and port, for clients
        None,  # path, for clients
        False,  # is_client_side
        lambda _request: listener,
        _NO_LOG,
        True,  # disconnect_on_exception: what the listener raises ends as a breach with 1011
        None,  # no handshake timeout
        False,  # no auto-ping
        None,
        None,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # no auto-pong
        message_bytes_max,
        None,
        buffer_bytes,
    )
    reader.connection_made(_Sink(listener))
    _get_buffer(reader, -1)[: len(_REQUEST)] = _REQUEST
    _buffer_updated(reader, len(_REQUEST))
    protocol: asyncio.BufferedProtocol = reader
    return protocol


def feed(reader: asyncio.BufferedProtocol, data: bytes) -> None:
    """Let it read bytes that were received before it was there."""
    left = memoryview(data)
    while left:
        buffer = memoryview(reader.get_buffer(-1))
        size = min(len(buffer), len(left))
        buffer[:size] = left[:size]
        reader.buffer_updated(size)
        left = left[size:]
