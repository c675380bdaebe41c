"""The link of this gateway to one host, through all lives of that host.

(1) AWAY -> UP (linked, every socket told) -> LEAVING (the host drains) -> AWAY. In UP everything is sent at once.
(2) Else what sockets tell is held, in order, each bounded by flow control, and sent once the host is back: after the
    roll, so that the host knows every socket that it hears of, also one that has closed meanwhile.
(3) A host lost without Goodbye takes with it what it had not finished: sockets with such messages close with 1012.
    Active sockets close with 1012 however it went. All others notice nothing.
(4) While it leaves, only what was begun goes on: bodies, credit, sockets of grants it has made.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import Any, Protocol, cast

from roost.errors import LinkError
from roost.gateway.flow import Ledger
from roost.gateway.held_sockets import SERVICE_RESTART, ClientSocket, HeldSockets
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import POST_BYTES_MAX, Connection
from roost.link.frames import Frame, Message, SocketGrant
from roost.observer import Observer

_log = logging.getLogger("roost.gateway")

ROLL_SOCKETS_MAX = 500
"""In one frame, so that a host with many sockets can begin with the first."""


class State(enum.Enum):
    AWAY = "away"
    UP = "up"
    LEAVING = "leaving"


_UP = State.UP  # looked up for every message otherwise, which an enum makes dear


class Stream(Protocol):
    """One request under way on a link; the calls carry what the host says of it."""

    def on_response_start(self, frame: frames.ResponseStart) -> None: ...

    def on_body_chunk(self, frame: frames.BodyChunk) -> None: ...

    def on_body_credit(self, size: int) -> None: ...

    def on_reset(self, reason: str) -> None: ...

    def on_link_lost(self) -> None: ...

    def on_link_writable(self) -> None: ...


class Events(Protocol):
    """Whoever keeps all links."""

    def link_is_up(self, link: HostLink) -> None: ...

    def grant_refused(self, grant: SocketGrant) -> None: ...


class HostLink:
    """One host, as the gateway sees it. Also the SocketOwner of that host's sockets."""

    def __init__(self, number: int, sockets: HeldSockets, limits: Limits, observer: Observer, events: Events) -> None:
        self.number = number
        self.state = State.AWAY
        self.incarnation = 0
        """Of the host linked last."""
        self._received = 0
        """How many frames that host has sent, over all links with it, without any Hello."""
        self._sockets = sockets
        self._events = events
        self._observer = observer
        self._ledger = Ledger(limits)
        self._connection: Connection | None = None
        self._owned: dict[ClientSocket, None] = {}
        """Sockets that the host must be told of, closed ones until it has heard so."""
        self._departed: dict[int, ClientSocket] = {}
        """Closed sockets with messages that the host has not finished."""
        self._held: list[Frame] = []
        self._answered: dict[ClientSocket, None] = {}
        """Sockets with automatic answers of this turn that are still to be told."""
        self._finishing: dict[ClientSocket, Callable[[], None]] = {}
        """What is to be called when the host has finished everything of a socket."""
        self._streams: dict[int, Stream] = {}
        self._next_stream = 1
        self._said_goodbye = False
        self._on_lost: Callable[[], None] = lambda: None
        self._handlers: dict[type, Callable[[Any], None]] = {
            frames.Send: sockets.send,
            frames.SendToTagged: sockets.send_to_tagged,
            frames.Joined: sockets.join,
            frames.Finished: self._on_finished,
            frames.ResponseStart: self._on_response_start,
            frames.BodyChunk: self._on_body_chunk,
            frames.BodyCredit: self._on_body_credit,
            frames.StreamReset: self._on_stream_reset,
            frames.CloseSocket: sockets.close_socket,
            frames.Attach: sockets.attach,
            frames.AutoRespond: sockets.auto_respond,
            frames.Hello: self._on_hello,
            frames.Drain: self._on_drain,
            frames.Goodbye: self._on_goodbye,
        }

    # -- the link itself -----------------------------------------------------------------------------------------------

    def attach(self, connection: Connection, on_lost: Callable[[], None]) -> None:
        """A new connection to the host; `on_lost` is called when it is gone."""
        assert self._connection is None, "the connection before it must be lost first"
        self._connection = connection
        self._on_lost = on_lost
        self._said_goodbye = False
        connection.start(self._on_frames, self._lost, self._on_writable)

    def close(self) -> None:
        """Send what waits, and close, for a gateway that has no clients left."""
        self._said_goodbye = True
        if self._connection is not None:
            self._connection.close()

    @property
    def is_up(self) -> bool:
        return self.state is State.UP

    def has_made(self, grant: SocketGrant) -> bool:
        """Whether the host that made the grant is still there."""
        return self.state is not State.AWAY and grant.incarnation == self.incarnation

    def _on_frames(self, received: list[Frame]) -> None:
        handlers = self._handlers
        for frame in received:
            handlers[type(frame)](frame)
        self._received += len(received)

    def _on_hello(self, hello: frames.Hello) -> None:
        assert self._connection is not None, "frames come from a connection"
        if hello.number != self.number:
            message = f"host {hello.number} answered where host {self.number} was expected"
            _log.error("%s", message)
            self._observer.notify("link.refused", host=self.number, reason=message)
            raise LinkError(message)
        if self.incarnation != hello.incarnation:
            self.incarnation, self._received = hello.incarnation, 0
        self._tell_roll(self._connection)
        self._received -= 1  # a Hello does not count, and this one is counted with its batch
        self._send_held(self._connection)
        self.state = State.UP
        self._ledger.choke(not self._connection.writable)
        self._ledger.host_is_away(False)
        self._observer.notify("link.up", host=self.number, incarnation=hello.incarnation)
        self._events.link_is_up(self)

    def _tell_roll(self, connection: Connection) -> None:
        rolled = [socket.rolled(self.incarnation) for socket in self._owned if socket.hibernating]
        for start in range(0, len(rolled), ROLL_SOCKETS_MAX):
            connection.send(frames.Roll(rolled[start : start + ROLL_SOCKETS_MAX]))
        connection.send(frames.RollEnd((self.incarnation, self._received)))

    def _send_held(self, connection: Connection) -> None:
        held, self._held = self._held, []
        for frame in held:
            connection.send(frame)
        for socket in [*self._owned, *self._departed.values()]:
            socket.held = 0
        told = {frame.socket for frame in held if isinstance(frame, frames.SocketClosed)}
        self._owned = {socket: None for socket in self._owned if socket.number not in told}

    def _on_drain(self, _: frames.Drain) -> None:
        assert self._connection is not None, "frames come from a connection"
        self.state = State.LEAVING
        self._ledger.host_is_away(True)
        self._connection.send(frames.Drained())
        self._observer.notify("link.draining", host=self.number)

    def _on_goodbye(self, _: frames.Goodbye) -> None:
        self._said_goodbye = True

    def _on_writable(self, writable: bool) -> None:
        self._ledger.choke(not writable)
        if writable:
            for stream in list(self._streams.values()):
                stream.on_link_writable()

    def _lost(self, error: BaseException | None) -> None:
        """The link is gone; `_said_goodbye` tells whether anything went with it."""
        was, self.state, self._connection = self.state, State.AWAY, None
        if was is not State.AWAY:
            self._ledger.host_is_away(True)
            self._lose_sockets()
            streams, self._streams = self._streams, {}
            for stream in streams.values():
                stream.on_link_lost()
            if not self._said_goodbye:
                _log.warning("host %d was lost: %s", self.number, error or "it closed the link")
            self._observer.notify("link.lost", host=self.number, clean=self._said_goodbye, error=error)
        self._on_lost()

    def _lose_sockets(self) -> None:
        for socket in self._departed.values():
            self._ledger.forget_handed_over(socket)
        ended: list[ClientSocket] = []
        for socket in list(self._owned):
            socket.group.batch.forget()
            unfinished = socket.handed_over > 0
            self._ledger.forget_handed_over(socket)
            if not socket.hibernating:
                del self._owned[socket]  # nobody is left to be told of it
                ended.append(socket)
            elif unfinished and not self._said_goodbye:
                ended.append(socket)
        dropped = {socket.number for socket in ended}
        self._held = [frame for frame in self._held if not _is_message_of(frame, dropped)]
        for socket in ended:
            self._ledger.forget_held(socket)  # what came after a message that may be lost is out of its order
            socket.close(SERVICE_RESTART, "service restart")
        self._departed = {number: socket for number, socket in self._departed.items() if socket.costs}
        for socket in [socket for socket in self._finishing if not socket.costs]:
            self._finishing.pop(socket)()

    # -- sockets -------------------------------------------------------------------------------------------------------

    def open_socket(self, grant: SocketGrant, protocol: str) -> ClientSocket:
        """The client of a grant is here; its owner is told, before anything else of it."""
        assert self._connection is not None, "the caller has asked `has_made`"
        socket = self._sockets.add(grant, protocol, self)
        self._owned[socket] = None
        self._connection.send(frames.SocketOpened(grant.grant, socket.number, protocol))
        return socket

    def drop_grant(self, grant: SocketGrant) -> None:
        """The client of a grant will never be here."""
        if self._connection is not None and self.has_made(grant):
            self._connection.send(frames.GrantDropped(grant.grant))

    def socket_message(self, socket: ClientSocket, data: Message, size: int) -> None:
        frame = frames.SocketMessage(socket.number, data)
        if self._answered:
            self._tell_answered()
        if self.state is _UP:
            connection = cast(Connection, self._connection)  # there is one while UP
            if size <= POST_BYTES_MAX:
                connection.post(frame, size)
            else:
                connection.send(frame)
            socket.group.batch.unfinished += 1
        elif socket not in self._owned:
            return  # an active socket whose host is gone; its Close frame is on the way
        else:
            socket.held += 1
            self._held.append(frame)
        self._ledger.take(socket, size)

    def socket_auto_answered(self, socket: ClientSocket) -> None:
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._tell_answered)
        self._answered[socket] = None

    def _tell_answered(self) -> None:
        """Of each socket once a turn at most, however often its client asked."""
        answered, self._answered = self._answered, {}
        if self.state is State.UP:  # else the roll will tell
            for socket in answered:
                self.send(frames.AutoAnswered(socket.number, socket.auto_response_ms or 0))

    def when_finished(self, socket: ClientSocket, then: Callable[[], None]) -> None:
        if socket.costs:
            self._finishing[socket] = then
        else:
            then()

    def socket_failed(self, socket: ClientSocket, message: str) -> None:
        if socket in self._owned:
            self._tell(frames.SocketFailed(socket.number, message))

    def socket_closed(self, socket: ClientSocket, code: int, reason: str, was_clean: bool) -> None:
        self._ledger.close(socket)
        self._finishing.pop(socket, None)
        if socket not in self._owned:
            return
        if self._answered:
            self._tell_answered()
        if socket.costs:
            self._departed[socket.number] = socket
        self._tell(frames.SocketClosed(socket.number, code, reason, was_clean))
        if self.state is State.UP:
            del self._owned[socket]
        self._observer.notify("socket.closed", socket=socket.number, code=code, was_clean=was_clean)

    def _tell(self, frame: Frame) -> None:
        if self.state is State.UP:
            assert self._connection is not None, "there is one while UP"
            self._connection.send(frame)
        else:
            self._held.append(frame)

    def _on_finished(self, frame: frames.Finished) -> None:
        by_number = self._sockets.by_number
        give = self._ledger.give
        for number in frame.sockets:
            socket = by_number.get(number) or self._departed.get(number)
            if socket is None:
                continue
            give(socket)
            socket.group.batch.finished()
            if self._departed and not socket.costs:
                self._departed.pop(number, None)
            if self._finishing and not socket.costs and socket in self._finishing:
                self._finishing.pop(socket)()

    # -- requests ------------------------------------------------------------------------------------------------------

    def open_stream(self, stream: Stream) -> int:
        number = self._next_stream
        self._next_stream += 1
        self._streams[number] = stream
        return number

    def end_stream(self, number: int) -> None:
        """Nothing more is wanted of it."""
        self._streams.pop(number, None)

    def send(self, frame: Frame) -> None:
        """A frame of a stream; dropped when the link is gone, as the stream is told."""
        if self._connection is not None:
            self._connection.send(frame)

    @property
    def writable(self) -> bool:
        return self._connection is not None and self._connection.writable

    def _on_response_start(self, frame: frames.ResponseStart) -> None:
        stream = self._streams.get(frame.stream)
        if stream is not None:
            stream.on_response_start(frame)
        elif frame.socket is not None:
            self._events.grant_refused(frame.socket)  # its client has gone

    def _on_body_chunk(self, frame: frames.BodyChunk) -> None:
        stream = self._streams.get(frame.stream)
        if stream is not None:
            stream.on_body_chunk(frame)

    def _on_body_credit(self, frame: frames.BodyCredit) -> None:
        stream = self._streams.get(frame.stream)
        if stream is not None:
            stream.on_body_credit(frame.size)

    def _on_stream_reset(self, frame: frames.StreamReset) -> None:
        stream = self._streams.pop(frame.stream, None)
        if stream is not None:
            stream.on_reset(frame.reason)


def _is_message_of(frame: Frame, numbers: set[int]) -> bool:
    return isinstance(frame, frames.SocketMessage) and frame.socket in numbers
