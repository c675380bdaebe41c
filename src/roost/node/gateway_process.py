"""A gateway as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from roost.clock import SystemClock
from roost.config import Tls
from roost.errors import ConfigurationError
from roost.gateway.host_links import HostLinks
from roost.gateway.server import Gateway
from roost.link.connection import Connection
from roost.link.frames import Hello
from roost.link.stream import connect_unix
from roost.node.reports import resident_bytes
from roost.node.static_files import assets_of
from roost.observer import Observer
from roost.supervisor.messages import Start
from roost.supervisor.report import GatewayReport


class GatewayProcess:
    """It accepts at the socket that the supervisor holds for it, and finds the hosts at their Unix sockets."""

    def __init__(self, start: Start) -> None:
        assert start.listening is not None, "the supervisor gives each gateway a listening socket"
        self._start = start
        self._tls = tls_context(start.settings.tls) if start.settings.tls else None
        self._assets = assets_of(start.settings)
        self._listening = socket.socket(fileno=start.listening)
        self._gateway: Gateway | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        settings = self._start.settings
        clock, observer = SystemClock(), Observer()
        links = HostLinks(
            range(settings.hosts),
            self._connect,
            limits=settings.limits,
            clock=clock,
            observer=observer,
            gateway=self._start.number,
        )
        self._gateway = Gateway(
            settings.limits, clock, observer, self._assets, links, trusted_proxies=settings.trusted_proxies
        )
        await self._gateway.start(sock=self._listening, tls=self._tls)

    async def drain(self, seconds: float, *, replaced: bool = False) -> bool:
        assert self._gateway is not None, "only a gateway that serves is told to drain"
        self._draining = asyncio.create_task(self._gateway.drain())
        return False

    async def stop(self, seconds: float) -> None:
        assert self._gateway is not None, "only a gateway that serves is told to stop"
        if self._draining is not None:
            self._draining.cancel()
        with contextlib.suppress(TimeoutError):  # a client that does not read cannot keep the process
            await asyncio.wait_for(self._gateway.stop(), seconds)

    def report(self) -> GatewayReport:
        assert self._gateway is not None, "only a gateway that serves is asked"
        links, parked = self._gateway.links, self._gateway.shared.parking.count
        return GatewayReport(len(links.sockets), len(links.up()), resident_bytes(), parked)

    async def _connect(self, number: int, hello: Hello) -> Connection:
        return await connect_unix(self._start.sockets.host(number), hello, self._start.settings.limits)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Raises ConfigurationError when the certificate or the key cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certfile, tls.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"`tls`: the certificate {tls.certfile} cannot be used with the key {tls.keyfile}: {error}"
        ) from error
    return context
