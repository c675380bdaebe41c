"""The gateways and hosts of one machine, and its backup: begun together, ended in order, asked how they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from roost.config import Settings
from roost.supervisor.address import Address
from roost.supervisor.child import COMMAND, Child, start_child
from roost.supervisor.messages import Done, Drain, Raised, Sockets, Start, Stop
from roost.supervisor.report import BackupReport, GatewayReport, HostReport, ProcessReport, SystemReport
from roost.supervisor.reporter import Reporter
from roost.supervisor.slot import Slot
from roost.supervisor.tasks import all_of

ASK_SECONDS = 2.0
ORDER_SECONDS = 8.0
GATEWAY_STOP_SECONDS = 2.0  # for Close frames to reach clients; those that do not read are not waited for longer


class Processes:
    """All slots of a run. `settings` is asked at each start, since a new version of the app may bring others."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        address: Address,
        sockets: Sockets,
        reporter: Reporter,
        *,
        placeholder: bool = False,
        command: Sequence[str] = COMMAND,
        sleep: Callable[[float], Coroutine[Any, Any, object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._address = address
        self._sockets = sockets
        self._command = command
        first = settings()
        self.hosts = [
            Slot(
                "host",
                number,
                self._launch_host,
                reporter,
                placeholder=placeholder,
                silence_seconds=self._silence_seconds,
                sleep=sleep,
            )
            for number in range(first.hosts)
        ]
        self.gateways = [
            Slot("gateway", number, self._launch_gateway, reporter, silence_seconds=self._silence_seconds, sleep=sleep)
            for number in range(first.gateways)
        ]
        self.backups = [
            Slot("backup", number, self._launch_backup, reporter, silence_seconds=self._silence_seconds, sleep=sleep)
            for number in range(1 if first.backup else 0)
        ]

    @property
    def slots(self) -> list[Slot]:
        """Every one of them."""
        return [*self.hosts, *self.gateways, *self.backups]

    @property
    def url(self) -> str:
        return self._address.url("https" if self._settings().tls else "http")

    async def begin(self) -> None:
        """Returns once every process serves. Raises ChildFailedError when one cannot."""
        await all_of(slot.begin() for slot in self.slots)

    async def watch(self) -> None:
        """Runs for as long as the slots are kept."""
        await all_of(slot.keep() for slot in self.slots)

    async def end(self, drain_seconds: float) -> None:
        """Gateways accept no more, hosts finish what they have, then gateways close their sockets, and the last of what
        was committed is backed up."""
        self._address.close()  # or the kernel would go on taking connections for us
        for slot in self.gateways:
            slot.tell(Drain(drain_seconds))
        await asyncio.gather(*(slot.end(Drain(drain_seconds)) for slot in self.hosts))
        await asyncio.gather(
            *(slot.end(Stop(GATEWAY_STOP_SECONDS)) for slot in self.gateways),
            *(slot.end(Stop(drain_seconds)) for slot in self.backups),
        )

    async def kill(self) -> None:
        """End every process now."""
        await asyncio.gather(*(slot.kill() for slot in self.slots))

    async def report(self) -> SystemReport:
        """The state of every process and object."""
        settings = self._settings()
        reports = await asyncio.gather(*map(_report, self.slots))
        return SystemReport(settings.app_name, self.url, settings.data, os.getpid(), list(reports))

    async def order(self, what: str, arguments: dict[str, Any]) -> Done | None:
        """Have the host do something that owns the object which it is about; None when that one does not answer."""
        children = [slot.child for slot in self.hosts if slot.child is not None]
        answers = await asyncio.gather(*(child.order(ORDER_SECONDS, what, arguments) for child in children))
        return next((msgspec.convert(answer, Done) for answer in answers if answer is not None), None)

    def _silence_seconds(self) -> float:
        return self._settings().limits.child_silence_seconds_max

    async def _launch_host(self, number: int, broken: Raised | None) -> Child:
        return await start_child(Start("host", number, self._settings(), self._sockets, broken=broken), self._command)

    async def _launch_backup(self, number: int, _: Raised | None) -> Child:
        return await start_child(Start("backup", number, self._settings(), self._sockets), self._command)

    async def _launch_gateway(self, number: int, _: Raised | None) -> Child:
        listening = self._address.sockets[number].fileno()
        start = Start("gateway", number, self._settings(), self._sockets, listening=listening)
        return await start_child(start, self._command, keep=[listening])


async def _report(slot: Slot) -> ProcessReport:
    child = slot.child
    if child is None or not child.alive:
        return ProcessReport(slot.role, slot.number, 0, "gone", 0.0)
    told = await child.ask(ASK_SECONDS)
    if told is None:
        return ProcessReport(slot.role, slot.number, child.pid, "silent", child.age)
    report = ProcessReport(slot.role, slot.number, child.pid, "serving", child.age)
    if slot.role == "host":
        return msgspec.structs.replace(report, host=msgspec.convert(told, HostReport))
    if slot.role == "backup":
        return msgspec.structs.replace(report, backup=msgspec.convert(told, BackupReport))
    return msgspec.structs.replace(report, gateway=msgspec.convert(told, GatewayReport))
