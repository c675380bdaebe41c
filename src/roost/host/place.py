"""The place of one object in its host: what is kept of it whether it is awake or asleep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from roost.held_socket import HeldSocket, SocketRoll
from roost.ids import ObjectId
from roost.link.frames import CloseSocket, ObjectRef

if TYPE_CHECKING:
    from roost.events import Outlet
    from roost.host.surroundings import HostSurroundings
    from roost.objects.activation import Activation
    from roost.objects.durable_object import DurableObject

PEER_SHIFT = 32
"""A socket's number is the incarnation of the gateway that holds it, shifted by this, and a counter."""


class Place:
    """An object that is awake, or asleep with sockets; one that is neither has no place."""

    __slots__ = (
        "activation",
        "cls",
        "members",
        "object_id",
        "opening",
        "outlet",
        "parting",
        "requests",
        "requests_size",
        "roll",
        "surroundings",
    )

    outlet: Outlet
    surroundings: HostSurroundings

    def __init__(self, object_id: ObjectId, cls: type[DurableObject]) -> None:
        self.object_id = object_id
        self.cls = cls
        self.activation: Activation | None = None
        self.roll = SocketRoll()
        self.members: dict[int, SocketRoll] = {}
        """By peer, those of the roll that a set reaches there: hibernating, connected, not closed by us. The peer
        counts in the same ones, as it is told."""
        self.opening: dict[HeldSocket, None] = {}
        """Sockets whose grant is on its way to a client. No set reaches them."""
        self.parting: dict[HeldSocket, CloseSocket] = {}
        """Sockets that the peer was asked to close and has not, with what it was asked."""
        self.requests = 0
        """Requests that were delivered and not yet answered, and the bytes of their bodies."""
        self.requests_size = 0

    @property
    def key(self) -> bytes:
        return self.object_id.key

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.object_id.binding, self.object_id.key, self.object_id.name)

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost if the place went."""
        return self.activation is None and not self.roll.sockets and not self.requests and not self.opening

    def join(self, socket: HeldSocket) -> None:
        """The socket is connected: sets reach it from now on."""
        self.opening.pop(socket, None)
        if socket.hibernating:
            self.members.setdefault(socket.number >> PEER_SHIFT, SocketRoll()).add(socket)

    def leave(self, socket: HeldSocket) -> None:
        """Sets do not reach the socket any more."""
        self.opening.pop(socket, None)
        peer = socket.number >> PEER_SHIFT
        members = self.members.get(peer)
        if members is not None:
            members.discard(socket)
            if not members.sockets:
                del self.members[peer]

    def members_count(self, tag: str | None) -> int:
        """How many members have the tag, or how many there are."""
        return sum(members.count(tag) for members in self.members.values())

    def members_tagged(self, tag: str | None) -> Iterator[tuple[int, dict[HeldSocket, None]]]:
        """Each peer with those of its members that have the tag, or all."""
        for peer, members in self.members.items():
            tagged = members.sockets if tag is None else dict.fromkeys(members.tagged(tag))
            if tagged:
                yield peer, tagged

    def __repr__(self) -> str:
        state = "asleep" if self.activation is None else self.activation.state
        return f"<Place {self.object_id!r} {state} {len(self.roll)} sockets>"
