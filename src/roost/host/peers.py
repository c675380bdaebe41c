"""Links from this host to the other hosts of the machine, for calls to objects that live there."""

# This host is the peer here: it asks, and may hold client ends of sockets, as a gateway does.
#
#  (1) Calls reach their owner in the order made. Those made while it is away wait, up to `host_wait_seconds_max`.
#  (2) A call that was sent and not answered when its owner went away fails with HostLostError: it may have been
#      applied. One that may be repeated (see `remote_call`) goes to the successor instead, before all that wait.
#  (3) After `Drain` nothing is sent to that owner any more; calls wait for its successor.
#  (4) An answer that nobody waits for any more is told to the owner, and dropped.

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from roost.clock import Clock, Timer
from roost.errors import HostLostError, RoostError, UnavailableError
from roost.host.remote_call import RemoteCall
from roost.host.router import Reply
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.frames import Frame, ObjectRef, SocketGrant
from roost.observer import Observer
from roost.request import Request
from roost.response import ClientEnd

RECONNECT_SECONDS = 0.01
RECONNECT_SECONDS_MAX = 0.2

Connect: TypeAlias = Callable[[int], Awaitable[Connection]]


class Ends(Protocol):
    """The client ends of sockets that this host holds itself."""

    def end_of(self, grant: SocketGrant) -> ClientEnd:
        """The end, as it goes into the response that carried its grant."""

    def rolled(self, owner: int) -> list[frames.RolledSocket]:
        """Those whose other end is an object of that host, to be told to it when it has come back."""

    def owner_is(self, owner: int, incarnation: int) -> None:
        """The link to the owner is there, and this is who it is."""

    def take(self, frame: Frame) -> None:
        """What the owner does to the sockets."""

    def owner_lost(self, owner: int, *, goodbye: bool) -> None:
        """The link to the owner is gone; with `goodbye` it had finished everything."""


class OwnerLink:
    """The link to one other host, made at the first call and again whenever it is needed."""

    def __init__(
        self, owner: int, *, connect: Connect, ends: Ends, clock: Clock, limits: Limits, observer: Observer
    ) -> None:
        self.limits = limits
        self.calls: dict[int, RemoteCall] = {}
        self._owner = owner
        self._connect = connect
        self._ends = ends
        self._clock = clock
        self._observer = observer
        self._streams = itertools.count(1)
        self._connection: Connection | None = None
        self._draining = False
        self._good_bye = False
        self._closed = False
        self._received: tuple[int, int] | None = None
        """Incarnation of the owner, and how many frames of it have come, without any Hello."""
        self._waiting: deque[tuple[float, RemoteCall]] = deque()
        self._patience: Timer | None = None
        """Until the call that has waited longest has waited too long."""
        self._trouble: Exception | None = None
        """Why the owner could not be reached when it was last tried."""
        self._connecting: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # -- calls -------------------------------------------------------------------------------------------------------

    def fetch(self, ref: ObjectRef, request: Request, reply: Reply) -> None:
        """Send the request, or keep it until the owner is there."""
        call = RemoteCall(self, ref, request, reply)
        if self.available and not self._waiting:
            self._start(call)
        else:
            self._waiting.append((self._clock.monotonic(), call))
            self._be_patient()
            self.reach()

    def _be_patient(self) -> None:
        if self._patience is None:
            self._patience = self._clock.call_later(self.limits.host_wait_seconds_max, self._lose_patience)

    def _start(self, call: RemoteCall) -> None:
        if call.over:
            return
        stream = next(self._streams)
        self.calls[stream] = call
        try:
            call.start(stream)
        except RoostError as error:  # the request cannot be sent, for instance because its headers are too large
            call.fail(error)

    @property
    def incarnation(self) -> int | None:
        """Of the owner, as long as the link to it is there."""
        other = self._connection.other if self._connection is not None else None
        return other.incarnation if other is not None else None

    @property
    def available(self) -> bool:
        return self._connection is not None and not self._draining

    def send(self, frame: Frame) -> None:
        """Send a frame if the link is there; all that it could belong to is over otherwise."""
        if self._connection is not None:
            self._connection.send(frame)

    async def ready(self) -> None:
        await self._writable.wait()

    # -- the link ----------------------------------------------------------------------------------------------------

    def reach(self) -> None:
        """See to it that there is a link, or will be."""
        if self._connection is None and self._connecting is None and not self._closed:
            self._connecting = asyncio.ensure_future(self._reach())

    async def _reach(self) -> None:
        pause = RECONNECT_SECONDS
        while self._connection is None and not self._closed:
            try:
                connection = await self._connect(self._owner)
            except Exception as error:  # noqa: BLE001 - whatever keeps it away, the calls that wait are told of it
                self._trouble = error
                self._observer.notify("host.unreachable", owner=self._owner, error=error)
                if not self._wanted:
                    break
                await self._pause(pause)
                pause = min(pause * 2, RECONNECT_SECONDS_MAX)
            else:
                self._connected(connection)
        self._connecting = None

    async def _pause(self, seconds: float) -> None:
        passed = asyncio.Event()
        timer = self._clock.call_later(seconds, passed.set)
        try:
            await passed.wait()
        finally:
            timer.cancel()

    @property
    def _wanted(self) -> bool:
        """Whether anything needs the link."""
        return bool(self._waiting) or bool(self._ends.rolled(self._owner))

    def _lose_patience(self) -> None:
        """Fail what has waited too long."""
        self._patience = None
        limit = self._clock.monotonic() - self.limits.host_wait_seconds_max
        while self._waiting and self._waiting[0][0] <= limit:
            _, call = self._waiting.popleft()
            error = UnavailableError(f"host {self._owner}, which owns {call.what}, is away")
            error.__cause__ = self._trouble
            call.fail(error)
        if self._waiting:
            left = self._waiting[0][0] - limit
            self._patience = self._clock.call_later(left, self._lose_patience)

    def _connected(self, connection: Connection) -> None:
        self._connection = connection
        self._draining = self._good_bye = False
        self._writable.set()
        connection.start(self._on_frames, self._on_lost, self._on_writable)
        rolled = self._ends.rolled(self._owner)
        if rolled:
            connection.send(frames.Roll(rolled))
        connection.send(frames.RollEnd(self._received))
        while self._waiting and self.available:
            self._start(self._waiting.popleft()[1])

    def _on_frames(self, batch: list[Frame]) -> None:
        for frame in batch:
            take = _TAKERS.get(type(frame))
            if take is not None:
                take(self, frame)
            else:
                self._ends.take(frame)
        assert self._received is not None, "the first frame is a Hello"
        self._received = (self._received[0], self._received[1] + len(batch))

    def _response_start(self, frame: frames.ResponseStart) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            call.started(frame, self._ends)
        elif frame.socket is not None:
            self.send(frames.GrantDropped(frame.socket.grant))

    def _chunk(self, frame: frames.BodyChunk) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            call.chunk(frame)

    def _credit(self, frame: frames.BodyCredit) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            call.credit(frame.size)

    def _reset(self, frame: frames.StreamReset) -> None:
        call = self.calls.get(frame.stream)
        if call is not None:
            call.reset(frame.reason)

    def _drain(self, _: frames.Drain) -> None:
        self._draining = True
        self.send(frames.Drained())

    def _goodbye(self, _: frames.Goodbye) -> None:
        self._good_bye = True

    def _hello(self, frame: frames.Hello) -> None:
        self._ends.owner_is(self._owner, frame.incarnation)
        before = self._received
        count = before[1] if before is not None and before[0] == frame.incarnation else 0
        self._received = (frame.incarnation, count - 1)  # without this one, which is counted with its batch

    def _on_writable(self, writable: bool) -> None:
        if writable:
            self._writable.set()
        else:
            self._writable.clear()

    def _on_lost(self, error: BaseException | None) -> None:
        self._connection = None
        self._writable.set()
        lost = HostLostError(f"host {self._owner} went away before it answered")
        lost.__cause__ = error
        again = [call for call in self.calls.values() if not self._closed and call.repeat()]
        for call in list(self.calls.values()):
            if call not in again:
                call.fail(lost)
        self.calls.clear()
        if again:
            self._waiting.extendleft((self._clock.monotonic(), call) for call in reversed(again))
            self._be_patient()
        self._ends.owner_lost(self._owner, goodbye=self._good_bye)
        if self._wanted:
            self.reach()

    def close(self) -> None:
        """End the link; what is under way fails."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._patience is not None:
            self._patience.cancel()
        while self._waiting:
            self._waiting.popleft()[1].fail(UnavailableError("this host is stopping"))
        if self._connection is not None:
            self._connection.close()


_TAKERS: dict[type, Callable[[OwnerLink, Any], None]] = {
    frames.Hello: OwnerLink._hello,
    frames.ResponseStart: OwnerLink._response_start,
    frames.BodyChunk: OwnerLink._chunk,
    frames.BodyCredit: OwnerLink._credit,
    frames.StreamReset: OwnerLink._reset,
    frames.Drain: OwnerLink._drain,
    frames.Goodbye: OwnerLink._goodbye,
}


class OwnerLinks:
    """All of them, by the number of the owner."""

    def __init__(self, *, connect: Connect, ends: Ends, clock: Clock, limits: Limits, observer: Observer) -> None:
        self._links: dict[int, OwnerLink] = {}
        self._make = functools.partial(
            OwnerLink, connect=connect, ends=ends, clock=clock, limits=limits, observer=observer
        )

    def link(self, owner: int) -> OwnerLink:
        link = self._links.get(owner)
        if link is None:
            link = self._links[owner] = self._make(owner)
        return link

    def fetch_remote(self, owner: int, ref: ObjectRef, request: Request, reply: Reply) -> None:
        self.link(owner).fetch(ref, request, reply)

    def close(self) -> None:
        for link in self._links.values():
            link.close()
