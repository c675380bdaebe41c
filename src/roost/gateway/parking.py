"""Sockets sleep as their objects do: one that is silent keeps its descriptor, and gives its transport back."""

# A transport of the loop costs some 10 KiB, a parked socket a few hundred bytes (docs/design/decisions/parking.md).
#
#  (1) Parking takes a transport that reads nothing at that moment and has nothing left to write. Its descriptor is
#      duplicated, so that the connection outlives it, and it is aborted under a protocol that hears nothing.
#  (2) What arrives meanwhile is with the kernel, which says so as soon as the duplicate is watched.
#  (3) All parked sockets are one set in the kernel, and the loop watches the set.
#  (4) Each turn of the loop reads at most READY_MAX parked sockets, each once, and parks at most PARKED_PER_TURN: while
#      one is parked it has two descriptors, and whatever sleeps at the same moment shall not stop the loop.
#  (5) What the transports leave of the heap is given back to the system when no more are about to be parked.

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from roost.gateway.parking_poll import PollSet, make_poll_set
from roost.gateway.parking_transport import ParkedTransport, Sleeper
from roost.heap import give_back

PARKED_PER_TURN = 32
GIVEN_BACK_AFTER = 100
"""Sockets parked, for which it is worth to look through the heap: that takes milliseconds."""
GIVEN_BACK_SECONDS = 2.0
"""Later, so that a crowd that falls silent costs it once, and no more often than this."""


class _Nobody(asyncio.Protocol):
    """Stands in for the protocol of a transport that nobody listens to."""


NOBODY = _Nobody()


class Parking:
    """All parked sockets of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make_poll_set: Callable[[], PollSet] = make_poll_set) -> None:
        self.loop = loop
        self.count = 0
        """How many are parked, with those that wake at the moment."""
        self.parked_ever = 0
        self._given_back_at = 0
        """What `parked_ever` was then."""
        self._timer: asyncio.TimerHandle | None = None
        self._make_poll_set = make_poll_set
        self._poll_set: PollSet | None = None
        """Made when it is first needed."""
        self._watched: dict[int, ParkedTransport] = {}
        self._waking: set[asyncio.Task[None]] = set()
        self._queue: deque[Callable[[], None]] = deque()

    # -- parking -------------------------------------------------------------------------------------------------------

    def soon(self, park: Callable[[], None]) -> None:
        """Call it when it is its turn. It is to see whether its socket is still silent, and to call `park`."""
        if not self._queue:
            self.loop.call_soon(self._call_some)
        self._queue.append(park)

    def _call_some(self) -> None:
        for _ in range(min(PARKED_PER_TURN, len(self._queue))):
            self._queue.popleft()()
        if self._queue:
            self.loop.call_soon(self._call_some)
        elif self._timer is None and self.parked_ever - self._given_back_at >= GIVEN_BACK_AFTER:
            self._timer = self.loop.call_later(GIVEN_BACK_SECONDS, self._give_back)

    def _give_back(self) -> None:
        self._given_back_at, self._timer = self.parked_ever, None
        give_back()

    def park(self, transport: asyncio.Transport, protocol: Sleeper) -> ParkedTransport | None:
        """The transport's parked successor, which reads. None when this process may have no more descriptors now."""
        assert not transport.get_write_buffer_size(), "what waits to be written would be lost"
        try:
            descriptor = os.dup(transport.get_extra_info("socket").fileno())
        except OSError:
            return None
        transport.set_protocol(NOBODY)
        transport.abort()
        self.count += 1
        self.parked_ever += 1
        parked = ParkedTransport(descriptor, self, protocol)
        parked.resume_reading()
        return parked

    # -- what parked transports ask ------------------------------------------------------------------------------------

    def watch(self, descriptor: int, parked: ParkedTransport) -> None:
        if self._poll_set is None:
            self._poll_set = self._make_poll_set()
            self.loop.add_reader(self._poll_set.fileno(), self._read)
        self._poll_set.add(descriptor)
        self._watched[descriptor] = parked

    def unwatch(self, descriptor: int) -> None:
        assert self._poll_set is not None, "what is watched was added"
        del self._watched[descriptor]
        self._poll_set.remove(descriptor)

    def make_transport(self, parked: ParkedTransport, own: socket.socket, protocol: asyncio.Protocol) -> None:
        task = self.loop.create_task(self._make_transport(parked, own, protocol))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _make_transport(self, parked: ParkedTransport, own: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: protocol, own)
        except OSError as error:
            own.close()
            parked.not_made(error)

    def left(self, _: ParkedTransport) -> None:
        """It has ended, or is awake."""
        self.count -= 1

    def _read(self) -> None:
        assert self._poll_set is not None, "it is the poll set that can be read"
        for descriptor in self._poll_set.ready():
            parked = self._watched.get(descriptor)
            if parked is not None:  # else one before it in this turn has ended it
                parked.read()

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Watch nothing any more. What is parked ends."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        for parked in list(self._watched.values()):
            parked.abort()
        while self._waking:
            await asyncio.wait(self._waking)
        if self._poll_set is not None:
            self.loop.remove_reader(self._poll_set.fileno())
            self._poll_set.close()
            self._poll_set = None
