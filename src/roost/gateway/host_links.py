"""The links of this gateway to all hosts, made anew whenever one is lost.

(1) Each host has one link, and one task that keeps it: connect, wait until it is lost, try again soon, for ever.
(2) Requests for the entrypoint go round the hosts that are up; while none is, they wait for the first.
(3) A grant is taken to the host that it names, waiting for its link where that is being made.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from roost.clock import Clock
from roost.errors import RoostError
from roost.gateway.cork import Cork
from roost.gateway.held_sockets import HeldSockets
from roost.gateway.host_link import HostLink
from roost.limits import Limits
from roost.link.connection import Connection
from roost.link.frames import VERSION, Hello, SocketGrant
from roost.observer import Observer

RETRY_SECONDS = 0.01
RETRY_SECONDS_MAX = 0.05  # an absent host costs a failed connect: some 30 µs

Connect = Callable[[int, Hello], Awaitable[Connection]]
"""Makes a connection to the host of that number, with the gateway's Hello. Raises OSError or RoostError."""


class Waiter(Protocol):
    """A request that waits for a host."""

    def on_link(self, link: HostLink) -> None: ...


class HostLinks:
    """Every host of the system by its number, and the sockets that this gateway holds for them."""

    def __init__(
        self,
        numbers: Iterable[int],
        connect: Connect,
        *,
        limits: Limits,
        clock: Clock,
        observer: Observer,
        gateway: int = 0,
    ) -> None:
        self.incarnation = secrets.randbits(31)
        self.cork = Cork(asyncio.get_running_loop(), clock, limits.cork_seconds_max)
        self.sockets = HeldSockets(self.incarnation, clock, self.cork)
        self._hello = Hello(VERSION, "gateway", gateway, self.incarnation)
        self._connect = connect
        self._clock = clock
        self._observer = observer
        self._links = {n: HostLink(n, self.sockets, limits, observer, self) for n in numbers}
        self._turn = 0
        self._waiters: dict[Waiter, None] = {}
        self._grants: dict[int, list[tuple[SocketGrant, Callable[[HostLink | None], None]]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to link with every host."""
        self._tasks = [asyncio.create_task(self._keep(link), name=f"link {n}") for n, link in self._links.items()]

    async def stop(self) -> None:
        """Send what waits, close all links, and make no new ones."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links.values():
            link.close()

    def up(self) -> list[HostLink]:
        return [link for link in self._links.values() if link.is_up]

    # -- requests ------------------------------------------------------------------------------------------------------

    def next_link(self) -> HostLink | None:
        """The next host in turn of those that are up."""
        up = self.up()
        if not up:
            return None
        self._turn += 1
        return up[self._turn % len(up)]

    def wait(self, waiter: Waiter) -> None:
        """Call `waiter.on_link` as soon as a host is up."""
        self._waiters[waiter] = None

    def forget(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)

    # -- grants --------------------------------------------------------------------------------------------------------

    def find_owner(self, grant: SocketGrant, found: Callable[[HostLink | None], None]) -> None:
        """Call with the link to the host that made the grant, or with None when that host is gone."""
        link = self._links.get(grant.host)
        if link is None or link.has_made(grant):
            found(link)
        elif link.is_up:
            found(None)
        else:
            self._grants.setdefault(grant.host, []).append((grant, found))

    def grant_refused(self, grant: SocketGrant) -> None:
        """The client of the grant will not come; its owner is told where it still is."""
        link = self._links.get(grant.host)
        if link is not None:
            link.drop_grant(grant)

    # -- links ---------------------------------------------------------------------------------------------------------

    def link_is_up(self, link: HostLink) -> None:
        for grant, found in self._grants.pop(link.number, []):
            found(link if link.has_made(grant) else None)
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.on_link(link)

    async def _keep(self, link: HostLink) -> None:
        delay = RETRY_SECONDS
        while True:
            try:
                connection = await self._connect(link.number, self._hello)
            except (OSError, RoostError) as error:
                self._observer.notify("link.unreachable", host=link.number, error=error)
            else:
                if await self._use(link, connection):
                    delay = RETRY_SECONDS
            await self._sleep(delay)
            delay = min(delay * 2, RETRY_SECONDS_MAX)

    async def _use(self, link: HostLink, connection: Connection) -> bool:
        """Until it is lost; whether it had come up."""
        lost = asyncio.get_running_loop().create_future()
        link.attach(connection, lambda: None if lost.done() else lost.set_result(None))
        await lost
        return connection.other is not None

    async def _sleep(self, seconds: float) -> None:
        due = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, lambda: None if due.done() else due.set_result(None))
        try:
            await due
        finally:
            timer.cancel()
