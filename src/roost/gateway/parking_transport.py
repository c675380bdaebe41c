"""The transport of a socket that is parked: a descriptor, and nothing else while nothing happens."""

#  (1) To its protocol it is an asyncio transport like any other. It keeps nothing that waits to be written: what the
#      kernel does not take at once wakes it, and so does whoever calls `wake`.
#  (2) Waking makes a transport of the loop's own for the same descriptor. The protocol hears `connection_made` with it,
#      and forgets this one. Bytes leave in the order of the writes before, during and after. None is read twice or left
#      out: what was not read is with the kernel, and from the start of waking until `connection_made` nothing is read.
#  (3) What ends while it wakes ends at once for the protocol, and the new transport ends unseen.
#  (4) The protocol hears `connection_lost` once and never from within a call of its own, unless its successor tells it.

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from roost.gateway.parking import Parking


class Sleeper(Protocol):
    """The protocol of a parked socket: asyncio's BufferedProtocol. It is the transport's owner too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is awake: this transport takes the place of the parked one. It is for the callee to set its protocol."""

    def connection_lost(self, exc: Exception | None) -> None: ...

    def get_buffer(self, sizehint: int) -> Any: ...

    def buffer_updated(self, nbytes: int) -> None: ...

    def eof_received(self) -> bool | None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class _Waking(asyncio.Protocol):
    """The loop's transport is being made, and this is its protocol until it is."""

    def __init__(self, parked: ParkedTransport) -> None:
        self.rest: list[bytes] = []
        """What the kernel did not take, and all that was written behind it."""
        self.ends = False
        """Whether the write side ends behind that."""
        self._parked = parked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        if self._parked.is_closing():
            made.abort()
        else:
            self._parked.hand_over(made, self)


class ParkedTransport(asyncio.Transport):
    """See above. Made by Parking, for a descriptor that is its own from then on."""

    __slots__ = ("_descriptor", "_parking", "_protocol", "_reading", "_waking")

    def __init__(self, descriptor: int, parking: Parking, protocol: Sleeper) -> None:
        self._descriptor = descriptor
        """-1 when it has ended, or its successor has it."""
        self._parking = parking
        self._protocol = protocol
        self._reading = False
        self._waking: _Waking | None = None

    # -- reading -------------------------------------------------------------------------------------------------------

    def resume_reading(self) -> None:
        if not self._reading and self._descriptor >= 0:
            self._reading = True
            if self._waking is None:
                self._parking.watch(self._descriptor, self)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            if self._waking is None:
                self._parking.unwatch(self._descriptor)

    def is_reading(self) -> bool:
        return self._reading

    def read(self) -> None:
        """Read once; called when there is something. What one read leaves is told again."""
        try:
            size = os.readv(self._descriptor, (self._protocol.get_buffer(-1),))
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            self._tell(size)
        except Exception as error:  # noqa: BLE001 - of whatever kind: one socket's trouble is not another's
            message = "the protocol of a parked socket failed"
            self._parking.loop.call_exception_handler({"message": message, "exception": error, "transport": self})
            self._lose(error)

    def _tell(self, size: int) -> None:
        if size:
            self._protocol.buffer_updated(size)
        elif self._protocol.eof_received():
            self.pause_reading()  # the end would be told again and again
        else:
            self._lose(None)

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._descriptor < 0:
            return
        if self._waking is not None and self._waking.rest:
            self._waking.rest.append(bytes(data))
            return
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self._keep(bytes(memoryview(data)[sent:]))

    def _keep(self, rest: bytes) -> None:
        self.wake()
        if self._waking is not None:
            self._waking.rest.append(rest)
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._waking.rest)) if self._waking is not None else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0, "a parked socket is behind as soon as anything waits, and so is its successor"

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Raises OSError when the client has reset the connection."""
        if self._waking is not None:
            self._waking.ends = True
        elif self._descriptor >= 0:
            own = socket.socket(fileno=self._descriptor)
            try:
                own.shutdown(socket.SHUT_WR)
            finally:
                own.detach()

    # -- waking --------------------------------------------------------------------------------------------------------

    @property
    def is_waking(self) -> bool:
        return self._waking is not None

    def wake(self) -> None:
        """Begin to make a transport of the loop's."""
        if self._waking is not None or self._descriptor < 0:
            return
        try:
            own = socket.socket(fileno=self._descriptor)
        except OSError as error:  # of a connection that was reset, on some systems
            self._lose(error)
            return
        if self._reading:
            self._parking.unwatch(self._descriptor)
        self._waking = _Waking(self)
        self._parking.make_transport(self, own, self._waking)

    def hand_over(self, transport: asyncio.Transport, waking: _Waking) -> None:
        """The loop's transport is there."""
        self._end()
        self._waking = None  # each knows the other: so that both go now, and not with the garbage collector
        protocol = self._protocol
        transport.set_write_buffer_limits(high=0)
        protocol.connection_made(transport)
        for piece in waking.rest:
            transport.write(piece)
        if waking.ends:
            _end_writing(transport)
        if waking.rest and not transport.get_write_buffer_size():
            protocol.resume_writing()

    def not_made(self, error: Exception) -> None:
        """The loop made no transport; the descriptor is closed."""
        self._lose(error)

    # -- the end -------------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._descriptor < 0

    def close(self) -> None:
        """End it, at once unless something waits to be written."""
        if self._waking is not None and self._waking.rest:
            self._waking.ends = True
        else:
            self.abort()

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._descriptor < 0:
            return
        descriptor = self._end()
        if self._waking is None:
            os.close(descriptor)
        self._waking = None
        self._parking.loop.call_soon(self._protocol.connection_lost, error)
        del self._protocol  # each knows the other: so that both go then, and not with the garbage collector

    def _end(self) -> int:
        self.pause_reading()
        descriptor, self._descriptor = self._descriptor, -1
        self._parking.left(self)
        return descriptor

    # -- who it belongs to ---------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(Sleeper, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.BaseProtocol, self._protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        return self._descriptor


def _end_writing(transport: asyncio.Transport) -> None:
    try:
        transport.write_eof()
    except OSError:
        transport.abort()  # the client has reset the connection
