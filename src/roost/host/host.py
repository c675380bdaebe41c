"""A host: one process's share of the objects, with everything that they need, wired together."""

# The life of a host:
#
#  (1) `start`, then links come in by `accept` or at a Unix socket. Nothing is delivered before the roll call is over.
#  (2) `drain` takes nothing new, lets everything under way end, and says goodbye to the peers: nothing is lost by it.
#      What does not end in `drain_seconds_max` is stopped. A peer that has not agreed by then is not told goodbye: what
#      it sent may be under way.
#  (3) `close` ends what is left. Without `drain` it is as if the host had crashed, for the peers.
#  (4) What comes after either is for the successor: no link is accepted and no object is woken. So the storage, which
#      is closed next, is not asked for anything any more.

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from roost.clock import Clock, SystemClock
from roost.env import Env
from roost.errors import (
    ConfigurationError,
    HostLostError,
    ObjectResetError,
)
from roost.host.absences import Absences
from roost.host.activations import Activations
from roost.host.alarm_clock import AlarmClock, Source
from roost.host.app import ASSETS, App
from roost.host.calls import Calls
from roost.host.client_ends import ClientEnds
from roost.host.entrypoint import Entrypoint
from roost.host.hibernation import Sweep, memory_bound
from roost.host.inspect import HostView, snapshot
from roost.host.namespace import Namespace
from roost.host.network import Network, network_of_loop
from roost.host.outside import is_outside, leave
from roost.host.peers import Connect, OwnerLinks
from roost.host.roll_call import RollCall
from roost.host.router import Router
from roost.host.server import PeerSession
from roost.host.sockets import Sockets
from roost.host.watchdog import Watchdog
from roost.ids import IdSpace, ObjectId
from roost.limits import DEFAULTS, Limits
from roost.link.connection import Connection
from roost.link.directory import Directory, LocalDirectory
from roost.link.frames import VERSION, Hello
from roost.link.stream import LinkServer, serve_unix
from roost.objects.shutdown import STOPPING
from roost.objects.tasks import install_task_factory
from roost.observer import Observer
from roost.storage.object_storage import ObjectStorage


class Store(Protocol):
    """The storage of all objects of a host."""

    @property
    def agenda(self) -> Source:
        """When which object is to be rung."""

    @property
    def crowded(self) -> bool:
        """Whether work in other objects should be put off."""

    def open(self, object_id: ObjectId) -> ObjectStorage: ...


class Host:
    """The objects of one number of the directory, and the app's entrypoint."""

    def __init__(
        self,
        app: App,
        store: Store,
        *,
        directory: Directory | None = None,
        number: int = 0,
        gateways: Iterable[int] = (),
        limits: Limits = DEFAULTS,
        clock: Clock | None = None,
        observer: Observer | None = None,
        connect: Connect | None = None,
        bindings: Mapping[str, Any] | None = None,
        assets: Any = None,
        debug: bool = False,
    ) -> None:
        """`gateways` are those whose roll is waited for; `connect` reaches another host. `bindings` go into `env`, and
        `assets` as `env.ASSETS`.

        Raises ConfigurationError when two things would have one name in `env`.
        """
        self.app = app
        self.number = number
        self.limits = limits
        self.clock: Clock = clock or SystemClock()
        self.observer = observer or Observer()
        self.debug = debug
        self.incarnation = secrets.randbelow(2**31 - 1) + 1
        self.draining = False
        self.sessions: dict[PeerSession, None] = {}
        self.roll_call = RollCall(gateways, seconds_max=limits.roll_seconds_max, clock=self.clock)
        self.activations = Activations(
            classes=app.classes,
            spaces={binding: IdSpace(binding, binding, limits.name_bytes_max) for binding in app.classes},
            clock=self.clock,
            limits=limits,
            observer=self.observer,
            overflow=lambda place, socket: self.sockets.overflow(place, socket),
            open_storage=store.open,
        )
        self.sockets = Sockets(host=number, incarnation=self.incarnation, clock=self.clock, objects=self.activations)
        self.absences = Absences(sockets=self.sockets, clock=self.clock, limits=limits, observer=self.observer)
        self.ends = ClientEnds(
            number=number,
            incarnation=self.incarnation,
            sockets=self.sockets,
            clock=self.clock,
            limits=limits,
            link=lambda owner: self.owners.link(owner),
        )
        self.owners = OwnerLinks(
            connect=connect or _nowhere, ends=self.ends, clock=self.clock, limits=limits, observer=self.observer
        )
        owners = directory or LocalDirectory([number])
        self.alarms = AlarmClock(
            store.agenda,
            self.activations,
            bindings=app.classes,
            clock=self.clock,
            limits=limits,
            observer=self.observer,
            owns=lambda key: owners.owner(key) == number,
            crowded=lambda: store.crowded,
        )
        self._serve_app(owners, bindings or {}, assets)
        self._watch()
        self._server: LinkServer | None = None
        self._network: Network | None = None

    def _serve_app(self, directory: Directory, bindings: Mapping[str, Any], assets: Any) -> None:
        """What user code is given, and what its calls go through."""
        calls = self.calls = Calls(
            number=self.number,
            directory=directory,
            activations=self.activations,
            sockets=self.sockets,
            ends=self.ends,
            observer=self.observer,
            entered_max=self.limits.entrypoint_requests_max,
        )
        router = Router(
            number=self.number, directory=directory, here=calls, there=self.owners, leave=leave, is_outside=is_outside
        )
        namespaces = {name: Namespace(space, router) for name, space in self.activations.spaces.items()}
        self.env = make_env(namespaces, bindings, assets)
        self.activations.env = self.env
        calls.entrypoint = Entrypoint(self.app.entrypoint, self.env, self.observer)

    def _watch(self) -> None:
        limits = self.limits
        self._sweep = Sweep(
            clock=self.clock,
            idle_seconds=limits.idle_seconds,
            memory_bytes_max=memory_bound(limits.host_memory_bytes_max),
            idle=self.activations.idle,
            hibernate=self.activations.hibernate,
            tidy=lambda: self.sockets.drop_old_grants(limits.handshake_seconds_max),
        )
        self._watchdog = Watchdog(seconds_max=limits.blocked_seconds_max, observer=self.observer)

    # -- beginning ---------------------------------------------------------------------------------------------------

    @property
    def hello(self) -> Hello:
        """How this host presents itself on its links."""
        return Hello(VERSION, "host", self.number, self.incarnation)

    async def start(self, path: str | None = None) -> None:
        """Begin to serve, at a Unix socket if a path is given."""
        install_task_factory(asyncio.get_running_loop())
        self._network = network_of_loop(self.limits)
        self._network.acquire()
        self.roll_call.start()
        self.roll_call.when_complete(self.alarms.start)
        self._sweep.start()
        self._watchdog.start()
        if path is not None:
            self._server = await serve_unix(path, self.hello, self._accepted, self.limits)
        self.observer.notify("host.started", number=self.number)

    def _accepted(self, connection: Connection) -> None:
        self.accept(connection)

    def accept(self, connection: Connection) -> PeerSession:
        """Serve the peer at the other end of a link."""
        session = PeerSession(connection, self)
        if self.activations.closed:
            connection.abort()  # before a word, so that the peer keeps what it has for the successor
            return session
        self.sessions[session] = None
        session.start()
        if self.draining:
            session.drain()
        return session

    def session_ended(self, session: PeerSession) -> None:
        self.sessions.pop(session, None)

    def end_life(self, object_id: ObjectId, why: str) -> None:
        """Reset the object, if it is awake: the next event begins a life anew. Its hibernating sockets stay."""
        place = self.activations.places.get(object_id.key)
        if place is not None and place.activation is not None:
            place.activation.abort(ObjectResetError(f"the object was reset: {why}"))

    # -- looking -----------------------------------------------------------------------------------------------------

    def view(self, *, sleeping: bool = False) -> HostView:
        """What there is now, for `roost ps` and the like."""
        return snapshot(self.number, self.activations, self.clock.monotonic(), sleeping=sleeping)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float | None = None, *, reason: str = STOPPING) -> None:
        """Take nothing new, finish what is under way, and part from the peers in good order. `reason` is what the
        objects are told by `pre_shutdown`.

        What is not finished after `seconds`, by default `limits.drain_seconds_max`, is stopped.
        """
        self.draining = True
        self.alarms.stop()
        self._sweep.stop()
        if self._server is not None:
            self._server.close()
        late = asyncio.get_running_loop().create_future()
        limit = self.limits.drain_seconds_max if seconds is None else seconds
        timer = self.clock.call_later(limit, lambda: _resolve(late))
        try:
            await _first(asyncio.ensure_future(self._finish(reason)), late)
        finally:
            timer.cancel()
            late.cancel()
        self._give_up()
        for session in list(self.sessions):
            session.close(goodbye=session.agreed)
        self.observer.notify("host.drained", number=self.number)

    async def _finish(self, reason: str) -> None:
        """Wait until the peers have agreed, which they do behind the roll call, and nothing is under way any more; then
        let the objects know, and wait again."""
        await self._all_done()
        told = [activation.shut_down(reason) for _, activation in self.activations.awake()]
        if running := list(filter(None, told)):
            await asyncio.wait(running)
            await self._all_done()

    async def _all_done(self) -> None:
        while work := self._under_way():
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)

    def _under_way(self) -> list[asyncio.Future[None]]:
        agreements = [session.drain() for session in self.sessions]
        if disagreeing := [one for one in agreements if not one.done()]:
            return disagreeing  # until all have agreed, new work may come
        work: list[asyncio.Future[None]] = self.calls.under_way()
        for session in self.sessions:
            work += session.tasks
        work += [activation.drain() for _, activation in self.activations.awake()]
        activations = self.activations
        work += filter(None, (activations.all_answered(), activations.leftovers.all_heard(), self.sockets.all_opened()))
        work += filter(None, (self.absences.all_settled(),))
        return [one for one in work if not one.done()]

    def _give_up(self) -> None:
        """End what did not end by itself. Objects that did end are only put away."""
        for session in self.sessions:
            session.give_up(HostLostError("the host stopped before it had finished this request"))
        self._stop_objects("its host stopped before it was finished")

    def _stop_objects(self, why: str) -> None:
        self.activations.closed = True
        for _, activation in self.activations.awake():
            activation.stop(HostLostError(f"{activation.object_id!r}: {why}"))
        self.activations.leftovers.close()

    async def close(self) -> None:
        """End everything that is left. The store stays open: it belongs to whoever made it."""
        if self._server is not None:
            self._server.close()
        self.alarms.stop()
        self._sweep.stop()
        self._watchdog.stop()
        self.roll_call.close()
        self.absences.close()
        self._stop_objects("its host stopped")
        self.calls.cancel()
        for session in list(self.sessions):
            session.close(goodbye=False)
        self.owners.close()
        if self._network is not None:
            network, self._network = self._network, None
            await network.release()
        self.observer.notify("host.closed", number=self.number)


def make_env(namespaces: Mapping[str, Namespace], bindings: Mapping[str, Any], assets: Any) -> Env:
    """What user code is given as `env`. Raises ConfigurationError when a name is taken twice."""
    taken = {**namespaces, **({} if assets is None else {ASSETS: assets})}
    for name in bindings:
        if name in taken:
            what = "the static files" if name == ASSETS else f"the objects of {namespaces[name].binding}"
            raise ConfigurationError(f"the variable {name!r} has the name that {what} have in env: rename it")
    return Env({**bindings, **taken})


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _nowhere(owner: int) -> Connection:
    raise OSError(f"this host was not told how to reach host {owner}")


async def _first(work: asyncio.Future[None], late: asyncio.Future[None]) -> None:
    """Wait for the work, but not longer than until it is late."""
    await asyncio.wait([work, late], return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
    elif (error := work.exception()) is not None:
        raise error
