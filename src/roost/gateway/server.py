"""The gateway: the process's listening socket, and all clients that came through it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import resource
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from roost.assets import Assets
from roost.clock import Clock
from roost.errors import ConfigurationError
from roost.gateway.connection import ClientConnection
from roost.gateway.deadlines import Deadlines
from roost.gateway.descriptors import Descriptors
from roost.gateway.host_links import HostLinks
from roost.gateway.http1 import RequestHead
from roost.gateway.responses import DateLine
from roost.gateway.shared import Shared
from roost.gateway.static import StaticFiles
from roost.limits import Limits
from roost.observer import Observer

BACKLOG = 4_096
GOING_AWAY = 1001


class Gateway:
    """Speaks HTTP and WebSocket with clients, and frames with the hosts; runs no code of the application.

    `start` it on the loop it is to live on; `stop` ends it, its links too, and leaves nothing behind. The
    `X-Forwarded-Proto` of the addresses and networks in `trusted_proxies` counts. With `health_path` None that path is
    the application's.

    Raises ConfigurationError for a proxy that is no address.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        observer: Observer,
        assets: Assets | None,
        hosts: HostLinks,
        *,
        trusted_proxies: Iterable[str] = (),
        health_path: str | None = "/_roost/health",
    ) -> None:
        self.limits = limits
        self.observer = observer
        self.links = hosts
        self.shared = Shared(limits, hosts.cork, Deadlines(clock))
        hosts.sockets.on_removed = self.shared.lingerers.on_removed = self._note_change
        self.date = DateLine(lambda: clock.now_ms() / 1000)
        self.is_draining = False
        self._clock = clock
        self._static = StaticFiles(assets, observer) if assets is not None else None
        self._health_path = health_path
        self._trusted = [_network(text) for text in trusted_proxies]
        self._descriptors = Descriptors(resource.RLIM_INFINITY)
        """Of `start`."""
        self._server: asyncio.Server | None = None
        self._clients: set[ClientConnection] = set()
        self._changed: asyncio.Future[None] | None = None

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        reuse_port: bool = False,
        sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> tuple[str, int]:
        """Begin to accept clients and to link with the hosts; the address that it listens at.

        With `sock`, a bound socket, it listens there. Raises OSError when the address cannot be had.
        """
        self._descriptors = Descriptors()
        loop = asyncio.get_running_loop()
        if sock is not None:
            place: dict[str, Any] = {"sock": sock}
        else:
            place = {"host": host, "port": port, "reuse_port": reuse_port or None}
        timeout = self.limits.head_seconds_max if tls is not None else None
        server = await loop.create_server(
            self._client, **place, ssl=tls, ssl_handshake_timeout=timeout, backlog=BACKLOG
        )
        self._server = server
        self.links.start()
        name = server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    async def drain(self) -> None:
        """Accept nobody, let the requests under way finish, and end what then still runs. WebSockets stay."""
        self.is_draining = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in list(self._clients):
            client.close_if_idle()
        await self._until(lambda: not self._clients, self.limits.drain_seconds_max)
        for client in list(self._clients):
            client.abort()
        await self._until(lambda: not self.shared.lingerers, self.limits.close_seconds_max)

    async def stop(self, code: int = GOING_AWAY) -> None:
        """Drain, close every WebSocket with `code` meanwhile, and part from the hosts."""
        self._close_sockets(code)
        await self.drain()
        self._close_sockets(code)  # those of handshakes that were under way
        sockets, lingerers = self.links.sockets, self.shared.lingerers
        await self._until(lambda: not sockets.by_number and not lingerers, 2 * self.limits.close_seconds_max)
        lingerers.abort()
        for client in list(sockets.by_number.values()):
            client.connection.abort()
        await asyncio.sleep(0)  # the loop tells them that they are lost
        await self.links.stop()
        self.shared.deadlines.close()
        await self.shared.parking.close()

    def _close_sockets(self, code: int) -> None:
        reason = "going away" if code == GOING_AWAY else "service restart"
        for client in list(self.links.sockets.by_number.values()):
            client.close(code, reason)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds, or so long."""
        due = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, lambda: None if due.done() else due.set_result(None))
        while not holds() and not due.done():
            self._changed = asyncio.get_running_loop().create_future()
            await asyncio.wait({due, self._changed}, return_when=asyncio.FIRST_COMPLETED)
        self._changed = None
        timer.cancel()

    # -- what its clients ask ------------------------------------------------------------------------------------------

    def admit(self, client: ClientConnection) -> bool:
        """Whether there is room for it."""
        connections = len(self._clients) + len(self.links.sockets)
        if connections >= self.limits.connections_max or self._descriptors.are_short(self._open_sockets):
            return False
        self._clients.add(client)
        return True

    @property
    def can_refuse(self) -> bool:
        """Whether there is room for a client that is still to read that there is no room for it."""
        return not self._descriptors.are_gone(self._open_sockets)

    @property
    def _open_sockets(self) -> int:
        return len(self._clients) + len(self.links.sockets) + len(self.shared.lingerers)

    def forget(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        self._note_change()

    def trusts(self, peer: object) -> bool:
        """Whether the peer is a proxy whose word on the scheme counts."""
        if not self._trusted or not isinstance(peer, tuple):
            return False
        address = ipaddress.ip_address(peer[0])
        return any(address in network for network in self._trusted)

    def answer(self, client: ClientConnection, head: RequestHead) -> bool:
        """Answer what needs no host; False when it is not the gateway's to answer."""
        if self._is_health(head):
            self._answer_health(client, head)
            return True
        return self._static is not None and self._static.answer(client, head)

    def _is_health(self, head: RequestHead) -> bool:
        return (
            self._health_path is not None
            and head.method in ("GET", "HEAD")
            and head.target.partition("?")[0] == self._health_path
        )

    def _answer_health(self, client: ClientConnection, head: RequestHead) -> None:
        up = len(self.links.up())
        serving = up > 0 and not self.is_draining
        status = {"status": "serving" if serving else "unavailable", "hosts": up, "sockets": len(self.links.sockets)}
        body = json.dumps(status).encode()
        lines = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("Content-Length", str(len(body))),
        ]
        keep_alive = client.keeps_alive and client.body_ended
        client.send_head(200 if serving else 503, lines, keep_alive, body if head.method == "GET" else b"")
        client.finish(keep_alive)

    def _client(self) -> ClientConnection:
        return ClientConnection(self)

    def _note_change(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigurationError(f"trusted_proxies: {text!r} is no address or network: {error}") from error
