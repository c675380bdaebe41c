"""The continuous backup as a process of its own, so that no loop waits for what it reads and sends."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

from roost.backup.service import BackupService
from roost.backup.target import open_target
from roost.clock import SystemClock
from roost.node.reports import resident_bytes
from roost.supervisor.messages import Start
from roost.supervisor.report import BackupReport

logger = logging.getLogger("roost.backup")

NICENESS = 10
"""It yields to hosts and gateways where there are fewer cores than processes."""


class BackupProcess:
    """Its work is on a thread; the loop only talks to the supervisor. Raises ConfigurationError for a wrong target."""

    def __init__(self, start: Start) -> None:
        chosen = start.settings.backup
        assert chosen is not None, "a backup is started only where one is configured"
        self._service = BackupService(
            Path(start.settings.data),
            open_target(chosen.target, endpoint=chosen.endpoint, region=chosen.region),
            SystemClock(),
            every=chosen.every,
            full_every=chosen.full_every,
            keep=chosen.keep,
        )
        # A daemon: what still waits for the target when the time for stopping is over does not keep the process.
        self._thread = threading.Thread(target=self._run, name="roost-backup", daemon=True)

    async def serve(self) -> None:
        os.nice(NICENESS)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._service.run()
        except Exception:
            logger.exception("the backup failed in a way that is not foreseen; its process begins anew")
            os._exit(1)  # without this thread the process does nothing, and would not be missed

    async def drain(self, seconds: float, *, replaced: bool = False) -> bool:
        await self.stop(seconds)
        return True

    async def stop(self, seconds: float) -> None:
        self._service.stop()
        await asyncio.to_thread(self._thread.join, seconds)

    def report(self) -> BackupReport:
        status = self._service.status()
        return BackupReport(
            status.target,
            status.doing,
            status.behind_seconds,
            status.shipped_bytes,
            status.snapshot,
            status.error,
            resident_bytes(),
            status.damaged,
        )
