"""Starts the processes of one machine, keeps them, replaces hosts for a new version of the app, stops all in order."""

# The order of things:
#
#  (1) Begin: lock the data directory, reserve the address, wait for hosts that a killed supervisor left behind, start
#      hosts and gateways. Clients are served once all of them serve. Whatever fails here ends the run with an error.
#  (2) A new version of the app: each host in turn is replaced (see slot.py). Gateways stay, and with them the sockets.
#  (3) Stop: gateways accept no more, hosts finish what they have, gateways close their sockets with 1001, and the lock
#      is let go.
#  (4) Stop a second time: everything is killed. What was acknowledged is durable, so nothing that a client was told is
#      lost.

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from roost.config import Settings
from roost.errors import DataDirectoryError, RoostError
from roost.supervisor.address import reserve
from roost.supervisor.child import COMMAND
from roost.supervisor.control_socket import open_control_socket
from roost.supervisor.data_directory import DataDirectory, claim
from roost.supervisor.deploys import Deploys
from roost.supervisor.descriptors import raise_descriptor_limit, shortage
from roost.supervisor.processes import Processes
from roost.supervisor.reporter import Reporter
from roost.supervisor.signals import handled, has_terminal
from roost.supervisor.tasks import all_of, cancel
from roost.supervisor.watch import Watch

ORPHAN_STEP_SECONDS = 0.05
ORPHAN_SPARE_SECONDS = 3.0  # beyond the time that hosts have for finishing


class StoppedError(RoostError):
    """A second request to stop: everything was killed."""


class Supervisor:
    """One run of roost. `run` returns once it was told to stop, and has."""

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        *,
        recover: Callable[[Path, int], object],
        reload: bool = False,
        read_settings: Callable[[], Settings] | None = None,
        command: Sequence[str] = COMMAND,
        sleep: Callable[[float], Coroutine[Any, Any, object]] = asyncio.sleep,
    ) -> None:
        """`recover` brings all objects up to date, for another number of hosts; `reload`: watch the source."""
        self._reporter = reporter
        self._recover = recover
        self._reload = reload
        self._command = command
        self._sleep = sleep
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._had_terminal = has_terminal()
        self._deploys = Deploys(settings, read_settings or (lambda: settings), reporter)

    @property
    def settings(self) -> Settings:
        """Those of the version of the app that was begun last."""
        return self._deploys.settings

    def stop(self) -> None:
        """Stop in order; a second time: now."""
        if self._stop.is_set():
            self._now.set()
        else:
            self._stop.set()
            self._reporter.note("stopping: objects finish, then sockets are closed; again to stop at once")

    def deploy(self) -> None:
        """Replace the hosts, one after the other, by new ones that import the app anew."""
        self._deploys.ask()

    async def run(self) -> None:
        """Serve until told to stop. Raises a RoostError when it cannot begin, StoppedError when told to stop twice."""
        settings = self.settings
        few = shortage(raise_descriptor_limit(), settings.limits.open_databases_max)
        if few is not None:
            self._reporter.warn(few)
        with (
            contextlib.closing(claim(settings.data)) as directory,
            contextlib.closing(reserve(settings.host, settings.port, settings.gateways)) as address,
            handled({signal.SIGINT: self.stop, signal.SIGTERM: self.stop, signal.SIGHUP: self._hang_up}),
        ):
            sockets = directory.make_sockets()
            processes = Processes(
                lambda: self.settings,
                address,
                sockets,
                self._reporter,
                placeholder=self._reload,
                command=self._command,
                sleep=self._sleep,
            )
            control = await open_control_socket(sockets.control, processes.report, processes.order)
            async with contextlib.aclosing(control):
                await self._unless_killed(processes, self._serve(directory, processes))

    async def _unless_killed(self, processes: Processes, work: Coroutine[Any, Any, None]) -> None:
        serving = asyncio.create_task(work, name="serve")
        now = asyncio.create_task(self._now.wait(), name="stop at once")
        await asyncio.wait({serving, now}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await processes.kill()
            await cancel({serving})
            raise StoppedError("stopped at once: every process was killed; what was acknowledged is stored")
        await cancel({now})
        serving.result()

    async def _serve(self, directory: DataDirectory, processes: Processes) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                # Watched before the app is imported: what is saved from then on is a change.
                source = await stack.enter_async_context(Watch(self.settings)) if self._reload else None
                if await self._unless_stopped(self._begin(directory, processes)):
                    self._reporter.serving(self.settings.app_name, processes.url)
                    await self._unless_stopped(self._live(processes, source))
        finally:
            await processes.end(self._drain_seconds())

    async def _begin(self, directory: DataDirectory, processes: Processes) -> None:
        await self._await_orphans(directory)
        await self._prepare_data(directory)
        await processes.begin()

    async def _live(self, processes: Processes, source: Watch | None) -> None:
        """Runs until cancelled; ends only when something that cannot happen did."""
        works = [processes.watch(), self._deploys.run(processes.hosts, self._drain_seconds)]
        if source is not None:
            works.append(self._deploys.watch(source))
        await all_of(works)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work; False when a request to stop came first and it was cancelled."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = task.done()
            await cancel({task, stop})
        if finished or not task.cancelled():
            task.result()
        return finished

    def _drain_seconds(self) -> float:
        return self.settings.limits.drain_seconds_max

    def _hang_up(self) -> None:
        """SIGHUP asks for a deploy, unless it is the terminal that went away, or source is watched anyway."""
        if self._reload or (self._had_terminal and not has_terminal()):
            self.stop()
        else:
            self._reporter.note("SIGHUP: replacing the hosts")
            self.deploy()

    # -- the data directory ------------------------------------------------------------------------------------------

    async def _await_orphans(self, directory: DataDirectory) -> None:
        """Hosts whose supervisor was killed stop by themselves; until then their objects are theirs."""
        busy = directory.busy_hosts()
        if busy:
            self._reporter.note(f"waiting for {_names(busy)} of the roost before this one to finish")
        waited = 0.0
        while busy:
            if waited > self.settings.limits.drain_seconds_max + ORPHAN_SPARE_SECONDS:
                raise DataDirectoryError(f"{_names(busy)} of an earlier roost uses {directory.path}: end that process")
            await self._sleep(ORPHAN_STEP_SECONDS)
            waited += ORPHAN_STEP_SECONDS
            busy = directory.busy_hosts()

    async def _prepare_data(self, directory: DataDirectory) -> None:
        """Each host has a journal of its own objects; with another number of hosts, other objects are theirs."""
        before, hosts = directory.hosts_before(), self.settings.hosts
        if before not in (None, hosts):
            self._reporter.note(f"the data was written with --hosts {before}, now it is {hosts}: moving the objects")
        await asyncio.to_thread(directory.prepare_for, hosts, self._recover)


def _names(hosts: list[int]) -> str:
    return ", ".join(f"host {number}" for number in hosts)
