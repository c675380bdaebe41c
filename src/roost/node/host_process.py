"""A host as a process of its own."""

from __future__ import annotations

from roost.config import Settings
from roost.host.app import App
from roost.host.host import Host
from roost.host.loader import load_app
from roost.link.connection import Connection
from roost.link.directory import LocalDirectory
from roost.link.stream import connect_unix
from roost.node.placeholder import placeholder_app
from roost.node.reports import resident_bytes
from roost.node.static_files import assets_of
from roost.objects.shutdown import CODE_UPDATED, STOPPING
from roost.storage.store import HostStore
from roost.supervisor.messages import Start
from roost.supervisor.report import HostReport, ObjectReport


def app_of(settings: Settings) -> App:
    """Import the app that the settings name."""
    return load_app(settings.app, bindings=settings.bindings)


class HostProcess:
    """The app is imported at once; the storage is opened when it serves, since the predecessor has it until then."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._assets = assets_of(start.settings)
        self._app = placeholder_app(start.broken) if start.broken else app_of(start.settings)
        self._host: Host | None = None
        self._store: HostStore | None = None

    async def serve(self) -> None:
        settings, number = self._start.settings, self._start.number
        directory = LocalDirectory(range(settings.hosts))
        self._store = HostStore(
            settings.data, number, limits=settings.limits, owns=lambda key: directory.owner(key) == number
        )
        self._host = Host(
            self._app,
            self._store,
            directory=directory,
            number=number,
            gateways=range(settings.gateways),
            limits=settings.limits,
            connect=self._connect,
            bindings=settings.vars,
            assets=self._assets,
            debug=settings.debug,
        )
        try:
            await self._host.start(self._start.sockets.host(number))
        except BaseException:
            await self._host.close()
            self._store.close()
            raise

    async def drain(self, seconds: float, *, replaced: bool = False) -> bool:
        await self._end(seconds, CODE_UPDATED if replaced else STOPPING)
        return True

    async def stop(self, seconds: float) -> None:
        await self._end(seconds, STOPPING)

    async def _end(self, seconds: float, reason: str) -> None:
        assert self._host is not None, "only a host that serves is told to stop"
        assert self._store is not None, "its storage was opened before it served"
        await self._host.drain(seconds, reason=reason)
        await self._host.close()
        self._store.close()

    def report(self) -> HostReport:
        assert self._host is not None, "only a host that serves is asked"
        view = self._host.view(sleeping=True)
        objects = [
            ObjectReport(o.binding, o.id, o.name, o.state, o.sockets, o.pinned_by, o.idle_seconds, o.meter)
            for o in view.objects
        ]
        return HostReport(self._app.name, objects, len(self._host.sessions), resident_bytes())

    async def _connect(self, owner: int) -> Connection:
        assert self._host is not None, "objects call others once their host serves"
        return await connect_unix(self._start.sockets.host(owner), self._host.hello, self._start.settings.limits)
