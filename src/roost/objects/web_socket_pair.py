"""Two ends of a WebSocket: one for the client, one for the object."""

from __future__ import annotations

from collections.abc import Iterator

from roost.objects.web_socket import WebSocket


class WebSocketPair:
    """`client, server = WebSocketPair()`: return `client` in a Response with status 101, accept `server`."""

    __slots__ = ("client", "server")

    def __init__(self) -> None:
        self.client = WebSocket._new_end()
        self.server = WebSocket._new_end()
        self.client._peer = self.server
        self.server._peer = self.client

    def __iter__(self) -> Iterator[WebSocket]:
        return iter((self.client, self.server))

    def __getitem__(self, index: int) -> WebSocket:
        return (self.client, self.server)[index]

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return f"<WebSocketPair client={self.client!r} server={self.server!r}>"
