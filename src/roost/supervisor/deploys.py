"""Putting a new version of the app in the place of the old one, host by host."""

# What a deploy promises:
#
#  (1) A version that does not import, or whose settings are wrong, changes nothing: the reason is told, the old one
#      serves on.
#  (2) One deploy at a time. A newer version gives up one that is still being prepared; one that is replacing already is
#      finished first.
#  (3) Settings that gateways hold stay as they were until roost is started anew, and that is told.

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from roost.config import Settings
from roost.errors import ConfigurationError
from roost.supervisor.messages import Failed
from roost.supervisor.reporter import Reporter
from roost.supervisor.slot import Slot
from roost.supervisor.tasks import cancel
from roost.supervisor.watch import Watch, forget_bytecode

FIXED = ("host", "port", "data", "hosts", "gateways", "assets", "tls", "backup", "trusted_proxies")
"""Settings that gateways or the supervisor hold, and which a new version of the app does not change."""
_GOES_ON = "the previous version goes on serving"


class Deploys:
    """Replaces hosts whenever asked to. `settings` are those of the version that was begun last."""

    def __init__(self, settings: Settings, read_settings: Callable[[], Settings], reporter: Reporter) -> None:
        self.settings = settings
        self._read_settings = read_settings
        self._reporter = reporter
        self._asked = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """There is a new version."""
        self._asked.set()

    async def watch(self, source: Watch) -> None:
        """Ask whenever source files have changed."""
        while True:
            changed = await source.next()
            forget_bytecode(changed)
            self._reporter.note(f"{', '.join(sorted(path.name for path in changed))} changed")
            self.ask()

    async def run(self, hosts: Sequence[Slot], drain_seconds: Callable[[], float]) -> None:
        """Deploy whenever asked to, until cancelled; a deploy that has begun to replace hosts is then finished."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self._settle(hosts)
                self._running = asyncio.create_task(self._replace(hosts, drain_seconds), name="deploy")
                await self._until_newer_or_done(self._running)
        finally:
            await self._settle(hosts)

    async def _until_newer_or_done(self, running: asyncio.Task[None]) -> None:
        newer = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({running, newer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel({newer})

    async def _settle(self, hosts: Sequence[Slot]) -> None:
        running, self._running = self._running, None
        if running is not None:
            if any(slot.preparing for slot in hosts):
                running.cancel()
            await asyncio.wait({running})
            with contextlib.suppress(asyncio.CancelledError):
                running.result()

    async def _replace(self, hosts: Sequence[Slot], drain_seconds: Callable[[], float]) -> None:
        if not self._take_settings():
            return
        for slot in hosts:
            if not await slot.replace(drain_seconds()):
                return
        self._reporter.note(f"the new version of {self.settings.app_name} serves")

    def _take_settings(self) -> bool:
        try:
            new = self._read_settings()
        except ConfigurationError as error:
            self._reporter.failed(Failed("configuration", str(error)), _GOES_ON)
            return False
        fixed = [key for key in FIXED if getattr(new, key) != getattr(self.settings, key)]
        if fixed:
            self._reporter.warn(f"{', '.join(fixed)} changed: that takes effect when roost is started anew")
        kept = {key: getattr(self.settings, key) for key in FIXED}
        self.settings = msgspec.structs.replace(new, **kept)
        return True
