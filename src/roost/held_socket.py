"""What is known of one client's WebSocket apart from the connection itself: the part that outlives hosts and sleep.

The gateway keeps it beside the connection; the host keeps its own copy, which every activation of the object reads.
Both sides change theirs only by what comes over the link, so that a new host can be told everything by the gateways.
"""

from __future__ import annotations

from collections.abc import Iterator

CONNECTING, OPEN, CLOSING, CLOSED = range(4)
"""Ready states, with the numbers of the browser's `WebSocket.readyState` (WHATWG WebSockets, section 3.1)."""


class HeldSocket:
    """One WebSocket of an object, as host and object see it."""

    __slots__ = (
        "attachment",
        "auto_response_ms",
        "hibernating",
        "number",
        "protocol",
        "ready_state",
        "tags",
        "waiting",
    )

    def __init__(self, *, tags: tuple[str, ...] = (), hibernating: bool = True) -> None:
        self.number = 0
        """Given by the gateway that holds the connection, unique in the system; 0 until the client is connected."""
        self.tags = tags
        self.hibernating = hibernating
        """Taken with `accept_web_socket`; otherwise with `accept`, and it ends with the activation."""
        self.attachment: bytes | None = None
        """Encoded by the codec."""
        self.auto_response_ms: int | None = None
        """When the gateway last answered for the object, in milliseconds since the epoch."""
        self.protocol = ""
        self.ready_state = OPEN
        self.waiting: list[object] | None = None
        """Effects made before the client was connected; the host's alone."""

    def __repr__(self) -> str:
        return f"<HeldSocket {self.number:#x} {self.tags}>"


class SocketRoll:
    """The sockets of one object, in the order of their acceptance. Kept by the host, read by the activation."""

    __slots__ = ("_by_tag", "auto_response", "sockets")

    def __init__(self) -> None:
        self.sockets: dict[HeldSocket, None] = {}
        self._by_tag: dict[str, dict[HeldSocket, None]] = {}
        self.auto_response: tuple[str, str] | None = None
        """The request and response that the gateways answer with by themselves."""

    def add(self, socket: HeldSocket) -> None:
        self.sockets[socket] = None
        for tag in socket.tags:
            self._by_tag.setdefault(tag, {})[socket] = None

    def discard(self, socket: HeldSocket) -> None:
        self.sockets.pop(socket, None)
        for tag in socket.tags:
            tagged = self._by_tag.get(tag)
            if tagged is not None:
                tagged.pop(socket, None)
                if not tagged:
                    del self._by_tag[tag]

    def tagged(self, tag: str | None) -> Iterator[HeldSocket]:
        """The sockets with that tag, or all; oldest first."""
        return iter(self.sockets if tag is None else self._by_tag.get(tag, {}))

    def count(self, tag: str | None) -> int:
        return len(self.sockets if tag is None else self._by_tag.get(tag, {}))

    def __len__(self) -> int:
        return len(self.sockets)
