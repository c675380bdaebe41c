"""What comes in to an object and what goes out of it: the structs between `host` and `objects`.

An event is delivered to an activation, which handles it in one or more turns. What the turns do to the world are
effects; the activation hands them out, in order, once every write made before them is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from roost.held_socket import HeldSocket
from roost.request import Request
from roost.response import Response

# -- events ------------------------------------------------------------------------------------------------------------


class Fetch(msgspec.Struct, eq=False):
    """A request for the object's `fetch`. Exactly one of the two calls is made, through the output gate."""

    request: Request
    reply: Callable[[Response], None]
    fail: Callable[[BaseException], None]
    size: int = 0


class SocketMessage(msgspec.Struct, eq=False):
    """A whole message of one client. `Finished` names the socket again once it was handled."""

    socket: HeldSocket
    data: str | bytes

    @property
    def size(self) -> int:
        return len(self.data)


class SocketClosed(msgspec.Struct, eq=False):
    """The connection is closed or lost. The gateway has answered a Close frame already."""

    socket: HeldSocket
    code: int
    reason: str
    was_clean: bool
    size: int = 0


class SocketFailed(msgspec.Struct, eq=False):
    """The connection failed other than by being closed or lost, for instance by a protocol error of the client."""

    socket: HeldSocket
    error: Exception
    size: int = 0


class Ring(msgspec.Struct, eq=False):
    """Something that the object had asked to be woken for may be due: its alarms that are due run, one after the other.

    `over` is called once: with True when nothing is due any more, and what became of all that was is durable; with
    False when the life ended before, so that the object must be rung again.
    """

    over: Callable[[bool], None] | None
    size: int = 0
    again: str | None = None
    """An alarm that was given up, by its name, and is to be set again before the others run."""

    def end(self, done: bool) -> None:
        """Call `over`, unless it was called."""
        over, self.over = self.over, None
        if over is not None:
            over(done)


SocketEvent: TypeAlias = SocketMessage | SocketClosed | SocketFailed
Event: TypeAlias = Fetch | Ring | SocketEvent


# -- effects -----------------------------------------------------------------------------------------------------------


class Send(msgspec.Struct, eq=False):
    """One message to some sockets: a run of `send` calls with the same message is folded into one of these."""

    data: str | bytes
    sockets: list[HeldSocket]


class SendToTagged(msgspec.Struct, eq=False):
    """One message to all hibernating sockets of the object that are open, or to those with a tag, but for some."""

    data: str | bytes
    tag: str | None
    excluded: list[HeldSocket]


class Close(msgspec.Struct, eq=False):
    """The server's half of the closing handshake. `code` None is an empty Close frame."""

    socket: HeldSocket
    code: int | None
    reason: str


class Attach(msgspec.Struct, eq=False):
    """The socket's attachment changed to what `socket.attachment` was at the call."""

    socket: HeldSocket
    attachment: bytes | None


class AutoRespond(msgspec.Struct, eq=False):
    """The object's automatic response changed; None ends it."""

    pair: tuple[str, str] | None


class Finished(msgspec.Struct, eq=False):
    """Messages that were handled to the end, and whose effects have left: one entry a message."""

    sockets: list[HeldSocket]


class Depart(msgspec.Struct, eq=False):
    """Anything else that leaves the object: a reply, a chunk of a stream, a call of a stub. `depart` must not raise."""

    depart: Callable[[], None]


Effect: TypeAlias = Send | SendToTagged | Close | Attach | AutoRespond | Finished | Depart


class Outlet(Protocol):
    """Where an activation's effects go. What arrives here has passed the output gate and leaves at once, in order."""

    def emit(self, effects: Sequence[Effect]) -> None: ...
