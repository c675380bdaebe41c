"""`roost run` and `roost dev`: a supervisor, from the settings to the status of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import setproctitle

from roost.cli.terminal import Terminal
from roost.config import Settings
from roost.node.recovery import recover
from roost.supervisor.child import ChildFailedError
from roost.supervisor.supervisor import StoppedError, Supervisor

RELOAD_DRAIN_SECONDS = 3.0
"""How long objects have for finishing in development, where a person waits for it."""
OK, CANNOT_BEGIN, STOPPED_AT_ONCE = 0, 2, 130


def serve_until_stopped(read_settings: Callable[[], Settings], terminal: Terminal, *, reload: bool) -> int:
    """Serve until a signal says otherwise; the status of the process."""

    def read() -> Settings:
        return for_development(read_settings()) if reload else read_settings()

    supervisor = Supervisor(read(), terminal, recover=recover, reload=reload, read_settings=read)
    setproctitle.setproctitle("roost: supervisor")
    try:
        asyncio.run(supervisor.run())
    except StoppedError as error:
        terminal.warn(str(error))
        return STOPPED_AT_ONCE
    except ChildFailedError as error:
        if error.failed is None:
            terminal.warn(str(error))
        else:
            terminal.error(error.failed)
        return CANNOT_BEGIN
    return OK


def for_development(settings: Settings) -> Settings:
    """With errors shown to clients, no long wait for objects at a reload, and no end to a halt at a breakpoint."""
    seconds = min(RELOAD_DRAIN_SECONDS, settings.limits.drain_seconds_max)
    limits = msgspec.structs.replace(settings.limits, drain_seconds_max=seconds, child_silence_seconds_max=0.0)
    return msgspec.structs.replace(settings, debug=True, limits=limits)
