"""The sockets of all objects of a host: which object a socket's number means, and which wait for their client."""

# A socket is known here from its grant, or from the roll of its gateway, until the gateway says that it is gone.
#
#  (1) A number means one socket; its upper half is the incarnation of the peer that holds it.
#  (2) An object hears of the end of each of its sockets once: by the gateway, by the loss of the gateway, or because
#      the client of a grant never came. Code 1006 stands for the last two. A loss is what `absences` says is one.
#  (3) An object that does not define `web_socket_close` is not woken to be told.
#  (4) What a peer says of a number or grant that is not known changes nothing: it crossed with the end of the socket.

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from roost.clock import Clock
from roost.events import Effect, Event, SocketClosed, SocketFailed, SocketMessage
from roost.held_socket import CLOSED, HeldSocket
from roost.host.emitter import Peer
from roost.host.place import PEER_SHIFT, Place
from roost.ids import ObjectId
from roost.link import frames
from roost.link.frames import ObjectRef, RolledSocket, SocketGrant

if TYPE_CHECKING:
    from roost.objects.activation import Activation

ABNORMAL = 1006
"""RFC 6455 section 7.4.1: never on the wire; the connection was lost."""
RESTARTED = 1012
"""The server restarts; the client should come again."""

GONE = "disconnected without sending Close"


class Grant(msgspec.Struct, eq=False):
    """A socket that an object accepted and whose client is not connected yet."""

    number: int
    place: Place
    socket: HeldSocket
    since: float
    sent: bool = False


class Objects(Protocol):
    """The objects of the host; see `roost.host.activations`."""

    @property
    def peers(self) -> dict[int, Peer]: ...

    def find(self, ref: ObjectRef) -> Place: ...

    def place(self, object_id: ObjectId) -> Place: ...

    def at(self, key: bytes) -> Place | None: ...

    def deliver(self, place: Place, event: Event) -> None: ...

    def undelivered(self, place: Place, activation: Activation | None, event: Event, error: Exception) -> None: ...

    def release(self, place: Place) -> None: ...


class Sockets:
    """The registry."""

    def __init__(
        self,
        *,
        host: int,
        incarnation: int,
        clock: Clock,
        objects: Objects,
    ) -> None:
        self.by_number: dict[int, tuple[Place, HeldSocket]] = {}
        self.peers = objects.peers
        """By incarnation."""
        self.rolled_peers: set[int] = set()
        """Incarnations whose roll was over in this life of the host: all their sockets have been known here."""
        self.objects = objects
        self.grants: dict[int, Grant] = {}
        self._all_opened: asyncio.Future[None] | None = None
        self._host = host
        self._incarnation = incarnation
        self._clock = clock
        self._grant_numbers = itertools.count(1)

    # -- coming ----------------------------------------------------------------------------------------------------

    def grant(self, place: Place, socket: HeldSocket) -> SocketGrant:
        """Let a client have the other end of a socket that the object accepted; the result goes to its gateway."""
        grant = Grant(next(self._grant_numbers), place, socket, self._clock.monotonic())
        self.grants[grant.number] = grant
        place.opening[socket] = None
        if socket.hibernating and socket not in place.roll.sockets:
            place.roll.add(socket)  # the object was reset while this was on its way out
        return SocketGrant(
            host=self._host,
            grant=grant.number,
            incarnation=self._incarnation,
            object=place.ref,
            tags=socket.tags,
            hibernating=socket.hibernating,
            attachment=socket.attachment,
            auto_response=place.roll.auto_response,
        )

    def sent(self, grant_number: int) -> None:
        """The grant is on its way to a gateway, and its client may be expected."""
        grant = self.grants.get(grant_number)
        if grant is not None:
            grant.sent = True

    def all_opened(self) -> asyncio.Future[None] | None:
        """Done when no client is expected any more; None when that is so now."""
        if not any(grant.sent for grant in self.grants.values()):
            return None
        if self._all_opened is None:
            self._all_opened = asyncio.get_running_loop().create_future()
        return self._all_opened

    def _take_grant(self, number: int) -> Grant | None:
        grant = self.grants.pop(number, None)
        if self._all_opened is not None and not any(grant.sent for grant in self.grants.values()):
            self._all_opened.set_result(None)
            self._all_opened = None
        return grant

    def opened(self, grant_number: int, number: int, protocol: str) -> bool:
        """The client of a grant is connected. What waited for it is sent now, and the peer counts it in. False when
        there is no such grant."""
        grant = self._take_grant(grant_number)
        if grant is None:
            return False
        place, socket = grant.place, grant.socket
        socket.number = number
        socket.protocol = protocol
        self.by_number[number] = (place, socket)
        place.join(socket)
        waiting, socket.waiting = socket.waiting, None
        if waiting:
            place.outlet.emit(cast("list[Effect]", waiting))
        peer = self.peers.get(number >> PEER_SHIFT)
        if peer is not None:
            peer.send(frames.Joined(number))
        return True

    def drop_grant(self, grant_number: int) -> None:
        """The client of a grant will not come: for the object, its socket is lost."""
        grant = self._take_grant(grant_number)
        if grant is not None:
            self._end(grant.place, grant.socket, ABNORMAL, GONE, was_clean=False)

    def drop_old_grants(self, seconds: float) -> None:
        """Drop those whose client did not come for so long: nobody will speak of them any more."""
        limit = self._clock.monotonic() - seconds
        for number in [number for number, grant in self.grants.items() if grant.since <= limit]:
            self.drop_grant(number)

    def roll(self, told: RolledSocket) -> None:
        """A socket that a peer holds: one of before this host started, or, from a peer that is back, one of this life.

        Raises when its object is none of this app.
        """
        known = self.by_number.get(told.socket)
        if known is not None:
            self._agree(*known, told)
        elif told.opening is None or told.opening[0] != self._incarnation:
            self._add(told)
        else:
            self.opened(told.opening[1], told.socket, told.protocol)

    def _agree(self, place: Place, socket: HeldSocket, told: RolledSocket) -> None:
        """What this host did to the socket may have been lost on its way: let the peer have it again."""
        socket.auto_response_ms = told.auto_response_ms
        peer = self.peers[told.socket >> PEER_SHIFT]
        if told.opening is not None:
            peer.send(frames.Joined(told.socket))
        if told.attachment != socket.attachment:
            peer.send(frames.Attach(told.socket, socket.attachment))
        if told.auto_response != place.roll.auto_response:
            peer.send(frames.AutoRespond(place.key, place.roll.auto_response))
        if socket in place.parting:
            peer.send(place.parting[socket])

    def _add(self, told: RolledSocket) -> None:
        place = self.objects.find(told.object)
        socket = HeldSocket(tags=told.tags)
        socket.number = told.socket
        socket.attachment = told.attachment
        socket.protocol = told.protocol
        socket.auto_response_ms = told.auto_response_ms
        place.roll.add(socket)
        place.roll.auto_response = told.auto_response
        self.by_number[told.socket] = (place, socket)
        place.join(socket)

    def message(self, place: Place, socket: HeldSocket, data: str | bytes) -> None:
        """A message of the socket, for its object."""
        if place.activation is None and not socket.hibernating:
            return  # its listeners went with the memory of the object, which has closed it
        self.objects.deliver(place, SocketMessage(socket, data))

    # -- going -----------------------------------------------------------------------------------------------------

    def closed(self, number: int, code: int, reason: str, was_clean: bool) -> None:
        """The peer says that the socket is gone."""
        known = self.by_number.pop(number, None)
        if known is not None:
            self._end(*known, code, reason, was_clean=was_clean)

    def failed(self, number: int, message: str) -> None:
        """The socket failed, and `closed` will follow."""
        known = self.by_number.get(number)
        if known is not None and not _nobody_hears(*known, "web_socket_error"):
            self.objects.deliver(known[0], SocketFailed(known[1], ConnectionError(message)))

    def auto_answered(self, number: int, at_ms: int) -> None:
        """The peer answered for the object, which sleeps on."""
        known = self.by_number.get(number)
        if known is not None:
            known[1].auto_response_ms = at_ms
            known[0].surroundings.meter.auto_responses += 1

    def peer_lost(self, incarnation: int) -> None:
        """A peer is gone, and with it every socket that it held."""
        self.peers.pop(incarnation, None)
        for number in [number for number in self.by_number if number >> PEER_SHIFT == incarnation]:
            self.lost(number)

    def lost(self, number: int) -> None:
        """The peer does not have the socket any more."""
        self.closed(number, ABNORMAL, GONE, was_clean=False)

    def overflow(self, place: Place, socket: HeldSocket) -> None:
        """More waits for a client that is not connected yet than may: its socket ends, as a slow client's would."""
        for number, grant in list(self.grants.items()):
            if grant.socket is socket:
                self._take_grant(number)
        reason = "too much was sent before the client was connected"
        end = functools.partial(self._end, place, socket, 1013, reason, was_clean=False)
        asyncio.get_running_loop().call_soon(end)  # its effects are leaving now, so it cannot be entered

    def _end(self, place: Place, socket: HeldSocket, code: int, reason: str, *, was_clean: bool) -> None:
        place.leave(socket)
        place.parting.pop(socket, None)
        socket.waiting = None
        socket.ready_state = CLOSED
        if _nobody_hears(place, socket, "web_socket_close"):
            place.roll.discard(socket)
            self.objects.release(place)
            return
        self.objects.deliver(place, SocketClosed(socket, code, reason, was_clean))


def _nobody_hears(place: Place, socket: HeldSocket, method: str) -> bool:
    """Whether the object sleeps and has no use for the event: no such method, or its listeners went with its memory."""
    return place.activation is None and (not socket.hibernating or getattr(place.cls, method, None) is None)


def close_unserved(peer: Peer, number: int, reason: str) -> None:
    """Let a peer close a socket that no object of this host has."""
    peer.send(frames.CloseSocket(number, RESTARTED, reason))
