"""`roost.serve`: a whole system in one process, for tests and for embedding in a program of one's own."""

# What it shares with `roost run`, and what it does not:
#
#  (1) Gateway, host, storage and the frames between them are the same; the link is memory. User code cannot tell.
#  (2) There is one gateway and one host, on the running loop. Nothing supervises them: an exception in an object is its
#      own, a crash of the process is everybody's.
#  (3) `restart_host` does to sockets and objects what a deploy does, or, with `kill`, what a crash does.

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, TracebackType
from typing import Any, TypeAlias

import msgspec

from roost.clock import Clock, SystemClock
from roost.config import Settings, load
from roost.errors import InvalidStateError, WrongTypeError
from roost.gateway.host_links import HostLinks
from roost.gateway.server import Gateway
from roost.history.keeper import HistoryKeeper
from roost.history.rewinder import HistoryRewinder
from roost.host.app import App, app_of_classes, app_of_module, check_class, check_entrypoint
from roost.host.host import Host
from roost.host.loader import load_app
from roost.limits import Limits
from roost.link.connection import Connection
from roost.link.frames import Hello
from roost.link.memory import MemoryConnection, memory_pair
from roost.node.damage import report_damage
from roost.node.gateway_process import tls_context
from roost.node.recovery import recover
from roost.node.restores import begin_restores
from roost.node.static_files import assets_of
from roost.objects.durable_object import DurableObject
from roost.objects.shutdown import CODE_UPDATED
from roost.observer import Observer
from roost.storage.store import HostStore
from roost.supervisor.data_directory import DataDirectory, claim

STOP_SECONDS = 2.0  # for Close frames to reach clients

AppLike: TypeAlias = (
    str
    | os.PathLike[str]
    | ModuleType
    | App
    | type[DurableObject]
    | Mapping[str, type[DurableObject]]
    | Iterable[type[DurableObject]]
)


def serve(
    app: AppLike,
    *,
    fetch: Any = None,
    host: str = "127.0.0.1",
    port: int = 0,
    data: str | os.PathLike[str] | None = None,
    limits: Limits | Mapping[str, Any] | None = None,
    vars: Mapping[str, Any] | None = None,  # noqa: A002 - the setting's name
    bindings: Mapping[str, Any] | None = None,
    debug: bool | None = None,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> Server:
    """Serve an app within the block: `async with roost.serve("app.py") as server: ... server.url ...`

    `app` is a path, a module, classes, or a dict of classes by binding; with classes, `fetch` is the entrypoint. A path
    has its settings from pyproject.toml and the environment, as on the command line. `port` 0 takes a free one; without
    `data` everything is forgotten at the end.

    Raises ConfigurationError (AppLoadError for the app itself), DataDirectoryError or OSError when it cannot begin.
    """
    flags = {"host": host, "port": port, "data": data and str(data), "vars": vars, "debug": debug}
    settings, read_app = _read(app, fetch, {key: value for key, value in flags.items() if value is not None}, bindings)
    if limits is not None:
        given = limits if isinstance(limits, Limits) else msgspec.structs.replace(settings.limits, **limits)
        settings = msgspec.structs.replace(settings, limits=given)
    return Server(settings, read_app, keep_data=data is not None, clock=clock, observer=observer)


class Server:
    """A system in this process; make one with `serve`, and enter it."""

    def __init__(
        self,
        settings: Settings,
        read_app: Callable[[], App],
        *,
        keep_data: bool = True,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.observer = observer or Observer()
        """Of the gateway and of every host that comes and goes."""
        self.port = 0
        self._read_app = read_app
        self._keep_data = keep_data
        self._host: Host | None = None
        self._store: HostStore | None = None
        self._rewinder: HistoryRewinder | None = None
        self._gateway: Gateway | None = None
        self._links: list[MemoryConnection] = []
        self._exit = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Where clients find it, as `http://127.0.0.1:8787`."""
        scheme = "https" if self.settings.tls else "http"
        host = self.settings.host
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    @property
    def host(self) -> Host:
        """The host that serves now."""
        if self._host is None:
            raise InvalidStateError("no host serves: the server has not begun, or has ended")
        return self._host

    @property
    def gateway(self) -> Gateway:
        if self._gateway is None:
            raise InvalidStateError("no gateway serves: the server has not begun, or has ended")
        return self._gateway

    @property
    def env(self) -> Any:
        """What the entrypoint is given: `server.env.ROOM.get_by_name("x")` calls an object."""
        return self.host.env

    async def restart_host(self, *, kill: bool = False) -> None:
        """Put a new host in the place of this one: in order, as a deploy does, or as after a crash.

        An app that is a path is imported anew. What the old host had acknowledged is there; sockets stay as they would.
        """
        app = self._read_app()
        if kill:
            for link in self._links:
                link.lose()
        else:
            await self.host.drain(reason=CODE_UPDATED)
        await self._end_host()
        await self._begin_host(app)

    async def __aenter__(self) -> Server:
        async with contextlib.AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            stack.callback(loop.set_task_factory, loop.get_task_factory())  # a host has one of its own
            app = self._read_app()
            self._claim(stack)
            stack.push_async_callback(self._end_host)
            await self._begin_host(app)
            await self._begin_gateway(stack)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with self._exit:
            draining = asyncio.create_task(self.gateway.drain())
            try:
                await self.host.drain()
            finally:
                draining.cancel()
                await asyncio.wait({draining})

    # -- its parts -----------------------------------------------------------------------------------------------------

    def _claim(self, stack: contextlib.AsyncExitStack) -> None:
        if not self._keep_data:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-"))
            self.settings = msgspec.structs.replace(self.settings, data=directory)
        claimed: DataDirectory = stack.enter_context(contextlib.closing(claim(self.settings.data)))
        claimed.prepare_for(1, recover)

    async def _begin_host(self, app: App) -> None:
        settings = self.settings
        self._rewinder = HistoryRewinder(settings.data)
        self._store = HostStore(
            settings.data,
            0,
            limits=settings.limits,
            clock=self.clock,
            keeper=HistoryKeeper(settings.data, settings.limits, clock=self.clock),
            rewinder=self._rewinder,
        )
        host = Host(
            app,
            self._store,
            gateways=[] if self._gateway is None else [0],
            limits=settings.limits,
            clock=self.clock,
            observer=self.observer,
            bindings=settings.vars,
            assets=assets_of(settings),
            debug=settings.debug,
        )
        report_damage(self._store, self.observer)
        await host.start()
        begin_restores(self._store, settings.data, lambda key: True)
        self._host = host

    async def _end_host(self) -> None:
        host, self._host = self._host, None
        self._links.clear()
        if host is not None:
            await host.close()
        if self._rewinder is not None:
            self._rewinder.close()  # or the store would wait for what it was asked for
        if self._store is not None:
            self._store.close()

    async def _begin_gateway(self, stack: contextlib.AsyncExitStack) -> None:
        limits = self.settings.limits
        links = HostLinks([0], self._connect, limits=limits, clock=self.clock, observer=self.observer)
        trusted = self.settings.trusted_proxies
        gateway = Gateway(limits, self.clock, self.observer, assets_of(self.settings), links, trusted_proxies=trusted)
        tls = tls_context(self.settings.tls) if self.settings.tls else None
        _, self.port = await gateway.start(self.settings.host, self.settings.port, tls=tls)
        self._gateway = gateway
        stack.push_async_callback(self._end_gateway)

    async def _end_gateway(self) -> None:
        gateway, self._gateway = self._gateway, None
        assert gateway is not None, "it is ended once"
        with contextlib.suppress(TimeoutError):  # a client that does not read is not waited for
            await asyncio.wait_for(gateway.stop(), STOP_SECONDS)

    async def _connect(self, number: int, hello: Hello) -> Connection:
        if self._host is None:
            raise ConnectionRefusedError("the host is being replaced")
        peer, owner = memory_pair(hello, self._host.hello, self.settings.limits)
        self._links = [link for link in self._links if not link.closed] + [owner]
        self._host.accept(owner)
        return peer


# -- apps --------------------------------------------------------------------------------------------------------------


def _read(
    app: AppLike, fetch: Any, flags: dict[str, Any], bindings: Mapping[str, Any] | None
) -> tuple[Settings, Callable[[], App]]:
    """The settings, and how the app is had, each time anew."""
    if not isinstance(app, str | os.PathLike):
        settings = Settings(app="app", **{"data": "", **flags})
        made = _app_of(app, fetch, bindings)
        return settings, lambda: made
    if fetch is not None:
        raise WrongTypeError(f"serve takes `fetch` with classes; the app {app} has an entrypoint of its own, or none")
    settings = load(app, flags=flags)
    return settings, functools.partial(load_app, settings.app, bindings={**settings.bindings, **(bindings or {})})


def _app_of(app: Any, fetch: Any, bindings: Mapping[str, Any] | None) -> App:
    if isinstance(app, App):
        return app
    if isinstance(app, ModuleType):
        return app_of_module(app, bindings=bindings)
    if isinstance(app, Mapping):
        for cls in app.values():
            check_class(cls)
        return App(name="app", classes=dict(app), entrypoint=check_entrypoint(fetch, "fetch"))
    classes = [app] if isinstance(app, type) else list(app)
    return app_of_classes(*classes, entrypoint=fetch)
