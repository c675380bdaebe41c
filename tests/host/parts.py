"""Parts that several tests of the host share: peers that keep what they are sent, places, a clock moved by hand."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

from roost.clock import Timer
from roost.events import Effect, Event
from roost.held_socket import HeldSocket
from roost.host.emitter import Emitter, Peer
from roost.host.place import PEER_SHIFT, Place
from roost.ids import IdSpace, ObjectId
from roost.link.frames import Frame
from roost.objects.durable_object import DurableObject

GATEWAY = 7
OTHER_GATEWAY = 9
SPACE = IdSpace("ROOM", "ROOM")


class Room(DurableObject):
    """Handles nothing but requests."""

    async def fetch(self, request: Any) -> Any: ...


class Listener(Room):
    """Wants to hear of the end of its sockets."""

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None: ...

    def web_socket_error(self, ws: Any, error: Exception) -> None: ...


class KeepingPeer:
    """A peer that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.done: list[int] = []

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    def post(self, frame: Frame, size: int) -> None:
        self.send(frame)

    def finished(self, number: int) -> None:
        self.done.append(number)

    def leave_sockets(self) -> None:
        raise AssertionError("it has no link")


class _Call:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class HandClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self._now = 1_000.0
        self._calls: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self._now

    def now_ms(self) -> int:
        return int(self._now * 1000)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        call = _Call(callback)
        heapq.heappush(self._calls, (self._now + seconds, next(self._order), call))
        return call

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything that is due in it happen in its order."""
        end = self._now + seconds
        while self._calls and self._calls[0][0] <= end:
            due, _, call = heapq.heappop(self._calls)
            self._now = max(self._now, due)
            if call.callback is not None:
                call.callback()
        self._now = end

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once, as on a machine that slept: what was due in it happens at the end of it."""
        self._now += seconds
        self.advance(0.0)


class RecordingOutlet:
    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def emit(self, effects: Any) -> None:
        self.effects.extend(effects)


def object_id(name: str = "x") -> ObjectId:
    return SPACE.from_name(name)


def place_of(
    peers: dict[int, Peer], *, cls: type[DurableObject] = Room, waiting_bytes_max: int = 1_000
) -> tuple[Place, list[HeldSocket]]:
    """A place with its emitter, and the list of sockets for which too much waited."""
    overflown: list[HeldSocket] = []
    place = Place(object_id(), cls)
    place.outlet = Emitter(
        place, peers, waiting_bytes_max=waiting_bytes_max, overflow=lambda _, socket: overflown.append(socket)
    )
    return place, overflown


def socket_at(
    place: Place, count: int, *, peer: int = GATEWAY, tags: tuple[str, ...] = (), hibernating: bool = True
) -> HeldSocket:
    """A socket of the place that is connected at the peer, the count-th there."""
    socket = HeldSocket(tags=tags, hibernating=hibernating)
    socket.number = peer << PEER_SHIFT | count
    place.roll.add(socket)
    place.join(socket)
    return socket


Delivered = list[tuple[Place, Event]]
