"""The last moments of a connection: what was written must arrive before it is torn down.

Closing a TCP connection with unread bytes resets it, and the peer may then never see the last response or Close frame.
So the write side ends, what still comes is dropped, and the end of it, or a deadline, closes.
"""

from __future__ import annotations

import asyncio

from roost.gateway.deadlines import Deadlines


class Lingering(asyncio.Protocol):
    """Reads nothing of use until the client has gone."""

    def __init__(self, transport: asyncio.Transport, deadlines: Deadlines) -> None:
        self.deadline_slot = 0
        self._transport = transport
        self._deadlines = deadlines

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, error: Exception | None) -> None:
        self._deadlines.clear(self)

    def on_deadline(self) -> None:
        self._transport.abort()


def linger(transport: asyncio.Transport, deadlines: Deadlines, seconds: float) -> Lingering:
    """End the write side, after all that was written, and wait so long for the client to end its own.

    The former protocol of the transport hears nothing any more.
    """
    lingering = Lingering(transport, deadlines)
    transport.pause_reading()  # a transport looks up how its protocol is fed when reading starts
    transport.set_protocol(lingering)
    deadlines.set(lingering, seconds)
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()  # over TLS the closing alert says the same
    if not transport.is_closing():
        transport.resume_reading()
    return lingering
