"""The WebSockets that this gateway holds: by number, by object, by tag.

(1) A socket has a number that no other has ever had: the gateway's incarnation, then a counter.
(2) A message to a set of sockets is encoded once, and its order is the same at every socket of the set.
(3) A text equal to the object's automatic request is answered here, in order with all else that is sent, and only
    told. Neither happens on a socket that is closing.
(4) The object's set lives as long as one of its hibernating sockets; so does its automatic response.
(5) A message to a set reaches the sockets that the object's host has counted in by then, with `Joined` or by a roll;
    a socket that is open and not counted in is reached by its number alone. All else holds for it too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from roost.clock import Clock
from roost.gateway.cork import Cork
from roost.gateway.flow import Account
from roost.gateway.framing import encode_message
from roost.gateway.shared_batch import Member, SharedBatch
from roost.gateway.socket_owner import SocketOwner
from roost.gateway.websocket import HeldConnection
from roost.link import frames
from roost.link.frames import Message, ObjectRef, RolledSocket, SocketGrant

SERVICE_RESTART = 1012


class ObjectSockets:
    """The hibernating sockets of one object."""

    __slots__ = ("auto_frame", "auto_request", "auto_response", "batch", "by_tag", "count", "key", "open", "ref")

    def __init__(self, key: bytes, cork: Cork) -> None:
        self.key = key
        self.ref: ObjectRef | None = None
        """One for all sockets: what came with the grant of each is as large as the rest of what is known of it."""
        self.batch = SharedBatch(cork)
        self.open: dict[Member, None] = {}
        """The connections that have joined, in that order; those that are closing are not among them."""
        self.by_tag: dict[str, dict[Member, None]] = {}
        self.count = 0
        """With those that have not joined, and those that are closing."""
        self.auto_response: tuple[str, str] | None = None
        self.auto_request: str | None = None
        self.auto_frame = b""

    def set_auto_response(self, pair: tuple[str, str] | None) -> None:
        self.auto_response = pair
        self.auto_request = None if pair is None else pair[0]
        self.auto_frame = b"" if pair is None else encode_message(pair[1])

    def add(self, connection: HeldConnection, tags: tuple[str, ...]) -> None:
        self.batch.joins(connection)
        connection.batch = self.batch
        self.open[connection] = None
        for tag in tags:
            self.by_tag.setdefault(tag, {})[connection] = None

    def discard(self, connection: HeldConnection, tags: tuple[str, ...]) -> None:
        if connection not in self.open:
            return
        self.batch.leaves(connection)
        del self.open[connection]
        for tag in tags:
            tagged = self.by_tag[tag]
            tagged.pop(connection, None)
            if not tagged:
                del self.by_tag[tag]


class ClientSocket(Account):
    """One client's socket: who owns it, what is known of it, and the connection that holds it."""

    __slots__ = (
        "attachment",
        "auto_response_ms",
        "connection",
        "group",
        "hibernating",
        "number",
        "object",
        "opening",
        "owner",
        "protocol",
        "sockets",
        "tags",
    )

    connection: HeldConnection

    def __init__(
        self, number: int, grant: SocketGrant, protocol: str, sockets: HeldSockets, owner: SocketOwner
    ) -> None:
        super().__init__()
        self.number = number
        self.opening: tuple[int, int] | None = (grant.incarnation, grant.grant)
        """Which host made its grant, and the grant; None when the host has counted it in."""
        self.object: ObjectRef = grant.object
        self.tags = grant.tags
        self.hibernating = grant.hibernating
        self.attachment = grant.attachment
        self.protocol = protocol
        self.auto_response_ms: int | None = None
        self.group = sockets.nobody
        self.sockets = sockets
        self.owner = owner

    def rolled(self, incarnation: int) -> RolledSocket:
        """As it is told to a host that is back, which counts it in, unless it is that of before and was about to."""
        if self.opening is not None and self.opening[0] != incarnation:
            self.join()
        return RolledSocket(
            self.number,
            self.object,
            self.tags,
            self.attachment,
            self.protocol,
            self.auto_response_ms,
            self.group.auto_response,
            self.opening,
        )

    def join(self) -> None:
        """Be reached by what is sent to sets."""
        if self.opening is not None:
            self.opening = None
            if self.hibernating and self.connection.is_open:
                self.group.add(self.connection, self.tags)

    def close(self, code: int | None, reason: str = "") -> None:
        """Begin the closing handshake; nothing more is sent on it."""
        self.connection.close(code, reason)  # first: what is due to it leaves before its Close frame
        self.group.discard(self.connection, self.tags)

    # -- what its connection tells -------------------------------------------------------------------------------------

    def on_message(self, data: Message, size: int) -> None:
        group = self.group
        if group.auto_request is not None and data == group.auto_request:
            self.connection.write(group.auto_frame)
            self.auto_response_ms = self.sockets.clock.now_ms()
            self.owner.socket_auto_answered(self)
            return
        self.owner.socket_message(self, data, size)

    def when_finished(self, then: Callable[[], None]) -> None:
        self.owner.when_finished(self, then)

    def on_failed(self, message: str) -> None:
        self.owner.socket_failed(self, message)

    def on_closed(self, code: int, reason: str, was_clean: bool) -> None:
        self.sockets.remove(self)
        self.owner.socket_closed(self, code, reason, was_clean)

    # -- what flow control asks ----------------------------------------------------------------------------------------

    def stop_reading(self) -> None:
        self.connection.pause_reading()

    def start_reading(self) -> None:
        self.connection.resume_reading()


class HeldSockets:
    """All sockets of a gateway."""

    def __init__(self, incarnation: int, clock: Clock, cork: Cork) -> None:
        self.clock = clock
        self.by_number: dict[int, ClientSocket] = {}
        self.nobody = ObjectSockets(b"", cork)
        """The set of an active socket: it takes part in no broadcast and has no automatic response."""
        self._groups: dict[bytes, ObjectSockets] = {}
        self._cork = cork
        self.on_removed: Callable[[], None] = lambda: None
        """Called when a socket is gone."""
        self._numbers = itertools.count((incarnation << 32) + 1)

    def __len__(self) -> int:
        return len(self.by_number)

    def add(self, grant: SocketGrant, protocol: str, owner: SocketOwner) -> ClientSocket:
        """The socket of a grant whose client is here; its `connection` is for the caller to set, at once."""
        socket = ClientSocket(next(self._numbers), grant, protocol, self, owner)
        self.by_number[socket.number] = socket
        if grant.hibernating:
            group = socket.group = self._group(grant)
            group.count += 1
            if group.ref == grant.object:
                socket.object = group.ref
        return socket

    def remove(self, socket: ClientSocket) -> None:
        """Its connection is closed."""
        if self.by_number.pop(socket.number, None) is None:
            return
        self.on_removed()
        group = socket.group
        if group is self.nobody:
            return
        group.discard(socket.connection, socket.tags)
        group.count -= 1
        if not group.count:
            del self._groups[group.key]

    def _group(self, grant: SocketGrant) -> ObjectSockets:
        key = grant.object.key
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = ObjectSockets(key, self._cork)
            group.ref = grant.object
            group.set_auto_response(grant.auto_response)
        return group

    # -- what hosts ask ------------------------------------------------------------------------------------------------

    def send(self, frame: frames.Send) -> None:
        by_number = self.by_number
        if len(frame.sockets) == 1:
            socket = by_number.get(frame.sockets[0])
            if socket is not None and socket.connection.is_open:
                self._cork.send(socket.connection, frame.data)
            return
        found = [by_number[number].connection for number in frame.sockets if number in by_number]
        self._cork.send_all([connection for connection in found if connection.is_open], frame.data)

    def send_to_tagged(self, frame: frames.SendToTagged) -> None:
        group = self._groups.get(frame.object)
        if group is None:
            return
        members = group.open if frame.tag is None else group.by_tag.get(frame.tag)
        if members:
            by_number = self.by_number
            left_out = [by_number[number].connection for number in frame.excluded if number in by_number]
            group.batch.add(members, frame.data, left_out)

    def join(self, frame: frames.Joined) -> None:
        socket = self.by_number.get(frame.socket)
        if socket is not None:
            socket.join()

    def close_socket(self, frame: frames.CloseSocket) -> None:
        socket = self.by_number.get(frame.socket)
        if socket is not None:
            socket.close(frame.code, frame.reason)

    def attach(self, frame: frames.Attach) -> None:
        socket = self.by_number.get(frame.socket)
        if socket is not None:
            socket.attachment = frame.attachment

    def auto_respond(self, frame: frames.AutoRespond) -> None:
        group = self._groups.get(frame.object)
        if group is not None:
            group.set_auto_response(frame.pair)
