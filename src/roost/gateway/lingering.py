"""The last moments of a connection: what was written must arrive before it is torn down.

Closing a TCP connection with unread bytes resets it, and the peer may then never see the last response or Close frame.
So the write side ends, what still comes is dropped, and the end of it, or a deadline, closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from roost.gateway.deadlines import Deadlines

_DROPPED = bytearray(64 * 1024)
"""Where it is read to; nobody looks at it."""


class Lingerers:
    """All connections of a gateway that are in their last moments."""

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.on_removed: Callable[[], None] = lambda: None
        """Called when one has gone."""
        self._deadlines = deadlines
        self._seconds = seconds
        self._connections: set[_Lingering] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def take(self, transport: asyncio.Transport) -> None:
        """End the write side, after all that was written, and wait for the client to end its own.

        The former protocol of the transport hears nothing any more.
        """
        if transport.is_closing():
            return
        lingering = _Lingering(transport, self)
        transport.pause_reading()  # a transport looks up how its protocol is fed when reading starts
        transport.set_protocol(lingering)
        self._connections.add(lingering)
        self._deadlines.set(lingering, self._seconds)
        try:
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()  # over TLS the closing alert says the same
        except OSError:
            transport.abort()  # the client has reset the connection, and nobody was told yet
        if not transport.is_closing():
            transport.resume_reading()

    def abort(self) -> None:
        """Wait for none of them."""
        for lingering in list(self._connections):
            lingering.on_deadline()

    def remove(self, lingering: _Lingering) -> None:
        self._deadlines.clear(lingering)
        self._connections.discard(lingering)
        self.on_removed()


class _Lingering(asyncio.BufferedProtocol):
    """Reads nothing of use until the client has gone. Also the Sleeper of a transport that is parked."""

    def __init__(self, transport: asyncio.Transport, all_of_them: Lingerers) -> None:
        self.deadline_slot = 0
        self._transport = transport
        self._all = all_of_them

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Something had to wait for the client, and the transport was woken for it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._transport.set_protocol(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        return _DROPPED

    def buffer_updated(self, nbytes: int) -> None:
        pass

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)

    def on_deadline(self) -> None:
        self._transport.abort()
