"""A host as a process of its own."""

from __future__ import annotations

from typing import Any

from roost.config import Settings
from roost.errors import InvalidArgumentError
from roost.history.keeper import HistoryKeeper
from roost.history.rewinder import HistoryRewinder
from roost.host.app import App
from roost.host.host import Host
from roost.host.loader import load_app
from roost.ids import ObjectId
from roost.link.connection import Connection
from roost.link.directory import LocalDirectory
from roost.link.stream import connect_unix
from roost.node.alarm_report import alarms_report
from roost.node.damage import end_when_broken, report_damage
from roost.node.placeholder import placeholder_app
from roost.node.process import ANOTHERS
from roost.node.reports import resident_bytes
from roost.node.restores import begin_restore, begin_restores
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
        self._directory = LocalDirectory(range(start.settings.hosts))
        self._rewinder = HistoryRewinder(start.settings.data)

    async def serve(self) -> None:
        settings, number = self._start.settings, self._start.number
        self._store = HostStore(
            settings.data,
            number,
            limits=settings.limits,
            keeper=HistoryKeeper(settings.data, settings.limits),
            rewinder=self._rewinder,
            owns=self._owns,
            beside=True,
        )
        self._host = Host(
            self._app,
            self._store,
            directory=self._directory,
            number=number,
            gateways=range(settings.gateways),
            limits=settings.limits,
            connect=self._connect,
            bindings=settings.vars,
            assets=self._assets,
            debug=settings.debug,
        )
        report_damage(self._store, self._host.observer)
        end_when_broken(self._store)
        try:
            await self._host.start(self._start.sockets.host(number))
        except BaseException:
            await self._host.close()
            self._close_store()
            raise
        begin_restores(self._store, settings.data, self._owns)

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
        self._close_store()

    def _close_store(self) -> None:
        self._rewinder.close()  # or the store would wait for what it was asked for
        if self._store is not None:
            self._store.close()

    def _owns(self, key: bytes) -> bool:
        return self._directory.owner(key) == self._start.number

    def obey(self, what: str, arguments: dict[str, Any]) -> Any:
        """`restore`: the object's present life ends, and its next one begins with what it held after `commit`; the
        number of the commit that does it. `import`: the same, of an object that the app must have a class for.
        `end_life`: its present life ends. `retry_alarm`: its `alarm` that was given
        up rings again."""
        object_id = ObjectId(bytes.fromhex(arguments["id"]), arguments["binding"])
        if not self._owns(object_id.key):
            return ANOTHERS
        assert self._host is not None, "only a host that serves is given orders"
        assert self._store is not None, "its storage was opened before it served"
        if what == "import":
            self._check_class(object_id.binding)
        if what in ("restore", "import"):
            number = self._store.plan_restore(object_id, arguments["commit"])
            self._host.end_life(object_id, "it goes back to its past")
            begin_restore(self._store, object_id)
            return number
        if what == "end_life":
            self._host.end_life(object_id, "it was asked to begin anew")
            begin_restore(self._store, object_id)
            return None
        if what == "retry_alarm":
            self._host.alarms.retry(object_id, arguments["alarm"])
            return None
        raise InvalidArgumentError(f"a host does not take the order {what!r}")

    def _check_class(self, binding: str) -> None:
        if self._start.broken:
            raise InvalidArgumentError("the app does not import, so nobody knows which classes it has; try again then")
        bindings = sorted(self._app.classes)
        if binding not in bindings:
            known = f"its classes are bound as {', '.join(bindings)}" if bindings else "it has no classes at all"
            raise InvalidArgumentError(f"the app that serves has no class bound as {binding}; {known}")

    def report(self) -> HostReport:
        assert self._host is not None, "only a host that serves is asked"
        view = self._host.view(sleeping=True)
        objects = [
            ObjectReport(o.binding, o.id, o.name, o.state, o.sockets, o.pinned_by, o.idle_seconds, o.meter)
            for o in view.objects
        ]
        alarms = alarms_report(self._host.alarms.view())
        return HostReport(self._app.name, objects, len(self._host.sessions), resident_bytes(), alarms)

    async def _connect(self, owner: int) -> Connection:
        assert self._host is not None, "objects call others once their host serves"
        return await connect_unix(self._start.sockets.host(owner), self._host.hello, self._start.settings.limits)
