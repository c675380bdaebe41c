"""The frames of the link: one protocol for gateway and host, and for host and host.

The side that asks is the *peer*: a gateway, or a host that calls an object of another host. The side that answers is
the *owner*, always a host. A batch of frames is one MessagePack array behind its length; a batch is written once per
loop turn.

(1) Frames of one direction arrive in the order in which they were written; a batch arrives whole or not at all.
(2) The first frame of each side is `Hello`; a version that is not ours ends the link.
(3) A peer sends `Roll` frames for all sockets that the owner's objects have with it, then `RollEnd`, before anything
    else.
(4) `Finished` names a socket once for every `SocketMessage` of it, after all that the message caused.
(5) After `Drain` the peer sends nothing but one `Drained`; the owner then sends what is left and `Goodbye`.
(6) The owner answers each `SocketOpened` with what it had for the socket until then, and with `Joined`. A frame that
    names a set of sockets means those that have joined, and no other: grants travel by other ways than sets do, so a
    socket can be open before a set frame that was made before it was even accepted.
(7) A roll joins all the sockets that it tells, except one told with a grant that the owner still knows: that is opened
    by it, as by `SocketOpened`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

VERSION = 1

Message: TypeAlias = Any
"""`str` for a text message, `bytes` for a binary one: MessagePack tells them apart, msgspec has no type for the two."""


class _Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class ObjectRef(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The address of an object."""

    binding: str
    key: bytes
    name: str | None


class SocketGrant(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A WebSocket that an object has accepted and that waits for its client."""

    host: int
    """The number of the owning host."""
    grant: int
    """Chosen by the owning host, unique in its life."""
    incarnation: int
    """Of the owning host; another one has forgotten the grant."""
    object: ObjectRef
    tags: tuple[str, ...]
    hibernating: bool
    attachment: bytes | None
    auto_response: tuple[str, str] | None


class RolledSocket(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A socket that a gateway holds, told to a host that has come back."""

    socket: int
    object: ObjectRef
    tags: tuple[str, ...]
    attachment: bytes | None
    protocol: str
    auto_response_ms: int | None
    auto_response: tuple[str, str] | None
    opening: tuple[int, int] | None = None
    """The incarnation of the owner that made its grant, and the grant, while that owner has not said `Joined`."""


# -- both ways ---------------------------------------------------------------------------------------------------------


class Hello(_Frame, frozen=True, tag=1):
    version: int
    role: str
    """`gateway` or `host`."""
    number: int
    incarnation: int
    """Random, new at each start; the upper half of the socket numbers that a gateway gives out."""


class BodyChunk(_Frame, frozen=True, tag=2):
    """A part of a request's body (from the peer) or of a response's (from the owner)."""

    stream: int
    data: bytes
    more: bool


class BodyCredit(_Frame, frozen=True, tag=3):
    """So many more bytes of the other side's body may be sent; both begin with `limits.body_window_bytes`."""

    stream: int
    size: int


class StreamReset(_Frame, frozen=True, tag=4):
    """The stream ends here, unfinished. From the peer: the client went away. From the owner: the answer broke off."""

    stream: int
    reason: str


# -- from the peer -----------------------------------------------------------------------------------------------------


class Roll(_Frame, frozen=True, tag=10):
    sockets: list[RolledSocket]


class RollEnd(_Frame, frozen=True, tag=11):
    received: tuple[int, int] | None = None
    """The incarnation of the owner that the peer was linked with last, and how many frames of it have come in all,
    without any Hello. So an owner that is still the same learns whether anything was lost with a link."""


class RequestStart(_Frame, frozen=True, tag=12):
    """A request for the entrypoint (`target` None) or for an object's `fetch`."""

    stream: int
    """Chosen by the peer, unique in the life of the link."""
    target: ObjectRef | None
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    more: bool
    """The body goes on in `BodyChunk` frames."""
    upgrade: bool
    """A well-formed WebSocket handshake (RFC 6455 section 4.2.1): a 101 may answer it."""
    client: str
    """Address of the client, `host:port`, empty where there is none."""


class SocketOpened(_Frame, frozen=True, tag=13):
    """The client of a grant is connected, and its socket has this number."""

    grant: int
    socket: int
    protocol: str


class GrantDropped(_Frame, frozen=True, tag=14):
    """The client of a grant will never be connected."""

    grant: int


class SocketMessage(_Frame, frozen=True, tag=15):
    socket: int
    data: Message


class SocketClosed(_Frame, frozen=True, tag=16):
    """The socket is gone from the gateway. Code 1006 and not clean when the client vanished."""

    socket: int
    code: int
    reason: str
    was_clean: bool


class SocketFailed(_Frame, frozen=True, tag=17):
    """A failure other than a loss; `SocketClosed` follows."""

    socket: int
    message: str


class AutoAnswered(_Frame, frozen=True, tag=18):
    """The gateway answered a message of the socket by itself. It wakes nobody."""

    socket: int
    at_ms: int


class Drained(_Frame, frozen=True, tag=19):
    pass


# -- from the owner ----------------------------------------------------------------------------------------------------


class ResponseStart(_Frame, frozen=True, tag=30):
    stream: int
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    more: bool
    socket: SocketGrant | None
    """With status 101."""
    status_text: str = ""


class Send(_Frame, frozen=True, tag=31):
    """One message to some sockets of the peer."""

    sockets: list[int]
    data: Message


class SendToTagged(_Frame, frozen=True, tag=32):
    """One message to every hibernating socket of the object with the peer, or those with the tag, but for some."""

    object: bytes
    """The key."""
    tag: str | None
    excluded: list[int]
    data: Message


class CloseSocket(_Frame, frozen=True, tag=33):
    """Send Close. Without a code the frame is empty. The answer is `SocketClosed`."""

    socket: int
    code: int | None
    reason: str


class Attach(_Frame, frozen=True, tag=34):
    socket: int
    attachment: bytes | None


class AutoRespond(_Frame, frozen=True, tag=35):
    object: bytes
    """The key."""
    pair: tuple[str, str] | None


class Finished(_Frame, frozen=True, tag=36):
    sockets: list[int]


class Joined(_Frame, frozen=True, tag=39):
    """The answer to `SocketOpened`: from here on, sets reach the socket."""

    socket: int


class Drain(_Frame, frozen=True, tag=37):
    pass


class Goodbye(_Frame, frozen=True, tag=38):
    """Nothing was lost: the owner has finished all that it was given."""


FromPeer: TypeAlias = (
    Hello | BodyChunk | BodyCredit | StreamReset | Roll | RollEnd | RequestStart | SocketOpened | GrantDropped
    | SocketMessage | SocketClosed | SocketFailed | AutoAnswered | Drained
)  # fmt: skip
FromOwner: TypeAlias = (
    Hello | BodyChunk | BodyCredit | StreamReset | ResponseStart | Send | SendToTagged | CloseSocket | Attach
    | AutoRespond | Finished | Joined | Drain | Goodbye
)  # fmt: skip
Frame: TypeAlias = FromPeer | FromOwner
