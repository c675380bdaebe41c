"""Client ends that objects of this host hold themselves: WebSockets from object to object, with nobody outside."""

# For the other end it must be as if a gateway held it. So this is a peer among peers:
#
#  (1) Where both ends are in this host, each has a number, and what is sent to one arrives at the other, in order, in a
#      later turn of the loop.
#  (2) Where the other end is on another host, it has the number too, and the link between carries the frames.
#  (3) Automatic responses are given on behalf of the other end, which sleeps on.
#  (4) What was sent and not yet finished is bounded; beyond it both ends are closed with 1013, as a slow client's are.
#  (5) An owner that is lost takes its active ends along, and those with something unfinished; the others are told to
#      its successor.

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from roost.clock import Clock
from roost.held_socket import HeldSocket
from roost.host.client_end import GrantedEnd
from roost.host.outside import outside
from roost.host.place import PEER_SHIFT
from roost.host.sockets import ABNORMAL, GONE, RESTARTED, Sockets
from roost.ids import ObjectId
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import Frame, RolledSocket, SocketGrant

NO_CODE = 1005
"""RFC 6455 section 7.4.1: the Close frame had no code."""
SLOW = (1013, "the other end does not keep up")


class Link(Protocol):
    """The link to another host."""

    @property
    def incarnation(self) -> int | None: ...

    def send(self, frame: Frame) -> None: ...


class RemoteEnd(msgspec.Struct, eq=False):
    """What a gateway would know of a socket whose object lives on another host."""

    number: int
    grant: SocketGrant
    attachment: bytes | None
    auto_response: tuple[str, str] | None
    joined: bool = False
    """Whether the owner has counted it in, so that sets reach it."""


class ClientEnds:
    """All of them. `link` gives the link to the host of that number."""

    def __init__(
        self,
        *,
        number: int,
        incarnation: int,
        sockets: Sockets,
        clock: Clock,
        limits: Limits,
        link: Callable[[int], Link],
    ) -> None:
        self._number = number
        self._base = incarnation << PEER_SHIFT
        self._sockets = sockets
        self._clock = clock
        self._limits = limits
        self._link = link
        self._counter = itertools.count(1)
        self._partners: dict[int, int] = {}
        """Of the ends whose other end is in this host too."""
        self._remote: dict[int, RemoteEnd] = {}
        self._unfinished: dict[int, deque[int]] = {}
        """By the number of the end that is to handle them, the sizes of messages that it has not."""
        self._unfinished_size: dict[int, int] = {}
        self._coming: deque[Callable[[], None]] = deque()
        sockets.peers[incarnation] = self

    # -- grants ------------------------------------------------------------------------------------------------------

    def end_of(self, grant: SocketGrant) -> GrantedEnd:
        """The client's end of a socket, wherever its object lives."""
        return GrantedEnd.of(grant, self)

    def sent(self, grant: SocketGrant) -> None:
        """Its client may be expected."""
        if grant.host == self._number:
            self._sockets.sent(grant.grant)

    def drop(self, grant: SocketGrant) -> None:
        """Nobody will be the client."""
        if grant.host == self._number:
            self._sockets.drop_grant(grant.grant)
        elif self._link(grant.host).incarnation == grant.incarnation:
            self._link(grant.host).send(frames.GrantDropped(grant.grant))

    def open(self, grant: SocketGrant, object_id: ObjectId, socket: HeldSocket) -> None:
        """An object of this host is the client."""
        number = self._next_number()
        socket.number = number
        place = self._sockets.objects.place(object_id)
        self._sockets.by_number[number] = (place, socket)
        opened = self._open_here if grant.host == self._number else self._open_there
        if not opened(grant, number):
            self._end(number, ABNORMAL, GONE, was_clean=False)
            return
        waiting, socket.waiting = socket.waiting, None
        if waiting:
            self._later(lambda: place.outlet.emit(waiting))  # type: ignore[arg-type]  # they are effects

    def _open_here(self, grant: SocketGrant, number: int) -> bool:
        other = self._next_number()
        self._partners[number], self._partners[other] = other, number
        if self._sockets.opened(grant.grant, other, ""):
            return True
        del self._partners[number], self._partners[other]
        return False

    def _open_there(self, grant: SocketGrant, number: int) -> bool:
        link = self._link(grant.host)
        if link.incarnation != grant.incarnation:
            return False
        self._remote[number] = RemoteEnd(number, grant, grant.attachment, grant.auto_response)
        link.send(frames.SocketOpened(grant.grant, number, ""))
        return True

    def _next_number(self) -> int:
        return self._base | next(self._counter)

    # -- as the peer of the objects of this host -----------------------------------------------------------------------

    def send(self, frame: Any) -> None:
        """What an object of this host sends to an end, or does with it."""
        if isinstance(frame, frames.Send):
            for number in frame.sockets:
                self._pass_on(number, frame.data)
        elif isinstance(frame, frames.SendToTagged):
            for number in self._members(frame):
                self._pass_on(number, frame.data)
        elif isinstance(frame, frames.CloseSocket):
            self._close(frame)
        # Attachments and automatic responses of objects of this host are read where they are kept.

    def post(self, frame: Any, size: int) -> None:
        self.send(frame)

    def finished(self, number: int) -> None:
        """An object of this host has handled a message of that end."""
        self._finish(number)

    def leave_sockets(self) -> None:
        """There is no link that could break."""

    def _members(self, frame: frames.SendToTagged) -> list[int]:
        place = self._sockets.objects.at(frame.object)
        members = place.members.get(self._base >> PEER_SHIFT) if place is not None else None
        excluded = set(frame.excluded)
        return [s.number for s in members.tagged(frame.tag) if s.number not in excluded] if members else []

    def _pass_on(self, number: int, data: Any) -> None:
        """A message of this end, for the other one."""
        remote = self._remote.get(number)
        if remote is not None:
            self._pass_to_owner(remote, data)
            return
        other = self._partners.get(number)
        if other is not None:
            self._later(lambda: self._arrive(other, number, data))

    def _pass_to_owner(self, end: RemoteEnd, data: Any) -> None:
        link = self._link(end.grant.host)
        if end.auto_response is not None and data == end.auto_response[0]:
            link.send(frames.AutoAnswered(end.number, self._clock.now_ms()))
            answer = end.auto_response[1]
            self._later(lambda: self._deliver(end.number, answer))
        elif self._begin(end.number, data):
            link.send(frames.SocketMessage(end.number, data))
        else:
            self._later(lambda: self._end_both(end.number, *SLOW))

    def _arrive(self, number: int, sender: int, data: Any) -> None:
        known = self._sockets.by_number.get(number)
        if known is None:
            return
        place, socket = known
        pair = place.roll.auto_response if socket.hibernating else None
        if pair is not None and data == pair[0]:
            self._sockets.auto_answered(number, self._clock.now_ms())
            self._deliver(sender, pair[1])
        elif self._begin(number, data):
            self._deliver(number, data)
        else:
            self._end_both(number, *SLOW)

    def _deliver(self, number: int, data: Any) -> None:
        known = self._sockets.by_number.get(number)
        if known is not None:
            self._sockets.message(*known, data)

    def _close(self, frame: frames.CloseSocket) -> None:
        code = NO_CODE if frame.code is None else frame.code
        self._later(lambda: self._end_both(frame.socket, code, frame.reason))

    # -- as the peer of other hosts ------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """What the owner of the other end sends to ends of this host, or does with them."""
        if isinstance(frame, frames.Send):
            for number in frame.sockets:
                self._deliver(number, frame.data)
        elif isinstance(frame, frames.SendToTagged):
            for end in self._tagged(frame):
                self._deliver(end.number, frame.data)
        elif isinstance(frame, frames.CloseSocket):
            self._end_both(frame.socket, NO_CODE if frame.code is None else frame.code, frame.reason)
        elif isinstance(frame, frames.Joined) and frame.socket in self._remote:
            self._remote[frame.socket].joined = True
        elif isinstance(frame, frames.Attach) and frame.socket in self._remote:
            self._remote[frame.socket].attachment = frame.attachment
        elif isinstance(frame, frames.AutoRespond):
            for end in self._remote.values():
                if end.grant.object.key == frame.object:
                    end.auto_response = frame.pair
        elif isinstance(frame, frames.Finished):
            for number in frame.sockets:
                self._finish(number)

    def _tagged(self, frame: frames.SendToTagged) -> list[RemoteEnd]:
        excluded = set(frame.excluded)
        return [
            end
            for end in self._remote.values()
            if end.joined
            and end.grant.object.key == frame.object
            and end.grant.hibernating
            and (frame.tag is None or frame.tag in end.grant.tags)
            and end.number not in excluded
        ]

    def rolled(self, owner: int) -> list[RolledSocket]:
        """Those whose other end is an object of that host, to be told to it when it has come back."""
        return [_rolled(end) for end in self._remote.values() if end.grant.host == owner]

    def owner_is(self, owner: int, incarnation: int) -> None:
        """The link to that host is there; if it is another one than before, its roll has counted all ends in."""
        for end in self._remote.values():
            if end.grant.host == owner and end.grant.incarnation != incarnation:
                end.joined = True

    def owner_lost(self, owner: int, *, goodbye: bool) -> None:
        """The link to the owner is gone; with `goodbye` it had finished everything."""
        for end in list(self._remote.values()):
            if end.grant.host == owner:
                unfinished = self._unfinished.pop(end.number, None)
                self._unfinished_size.pop(end.number, None)
                if not end.grant.hibernating or (unfinished and not goodbye):
                    self._end(end.number, RESTARTED, "the object's host restarted", was_clean=False)

    # -- the end of ends -----------------------------------------------------------------------------------------------

    def _end_both(self, number: int, code: int, reason: str) -> None:
        remote = self._remote.get(number)
        if remote is not None:
            self._link(remote.grant.host).send(frames.SocketClosed(number, code, reason, True))
        other = self._partners.get(number)
        if other is not None:
            self._end(other, code, reason, was_clean=True)
        self._end(number, code, reason, was_clean=True)

    def _end(self, number: int, code: int, reason: str, *, was_clean: bool) -> None:
        self._remote.pop(number, None)
        self._partners.pop(number, None)
        self._unfinished.pop(number, None)
        self._unfinished_size.pop(number, None)
        self._sockets.closed(number, code, reason, was_clean)

    # -- what is under way ---------------------------------------------------------------------------------------------

    def _begin(self, number: int, data: Any) -> bool:
        """Count a message for that end; False when it is one too many."""
        self._unfinished.setdefault(number, deque()).append(len(data))
        size = self._unfinished_size[number] = self._unfinished_size.get(number, 0) + len(data)
        return size <= self._limits.socket_send_bytes_max

    def _finish(self, number: int) -> None:
        sizes = self._unfinished.get(number)
        if sizes:
            self._unfinished_size[number] -= sizes.popleft()

    def _later(self, call: Callable[[], None]) -> None:
        """In a turn of its own, in order: an object's effects are leaving now, and none may be entered."""
        if not self._coming:
            outside(lambda: asyncio.get_running_loop().call_soon(self._come))
        self._coming.append(call)

    def _come(self) -> None:
        coming, self._coming = self._coming, deque()
        for call in coming:
            call()


def _rolled(end: RemoteEnd) -> RolledSocket:
    opening = None if end.joined else (end.grant.incarnation, end.grant.grant)
    grant = end.grant
    return RolledSocket(end.number, grant.object, grant.tags, end.attachment, "", None, end.auto_response, opening)
