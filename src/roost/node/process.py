"""A child process of the supervisor, whichever its role: how it begins, listens and ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias, runtime_checkable

import setproctitle

from roost.errors import AppLoadError, ConfigurationError, LinkError, RoostError, StorageError
from roost.node.channel import ORPHAN_SPARE_SECONDS, ORPHANED, Channel, take_standard_input
from roost.node.garbage import keep_what_is_there, look_rarely
from roost.node.logs import log_to_stderr
from roost.node.raised import raised_from
from roost.supervisor.messages import (
    Answer,
    Ask,
    Done,
    Drain,
    Failed,
    Order,
    Ping,
    Pong,
    Ready,
    Serve,
    Serving,
    Start,
    Stop,
)


class Role(Protocol):
    """A gateway, a host or a backup, prepared: the app is imported, the certificate is read, nothing is served yet."""

    async def serve(self) -> None:
        """Take up the work."""

    async def drain(self, seconds: float, *, replaced: bool = False) -> bool:
        """Take nothing new; whether the process is to end now. `replaced`: a successor is there."""

    async def stop(self, seconds: float) -> None:
        """Finish, and leave nothing behind."""

    def report(self) -> Any:
        """For `roost ps`."""


@runtime_checkable
class Obedient(Protocol):
    """A role that takes orders about objects."""

    def obey(self, what: str, arguments: dict[str, Any]) -> Any:
        """Do it; ANOTHERS when the object is another host's. Raises RoostError when it cannot be done."""


ANOTHERS: Any = object()
Prepare: TypeAlias = Callable[[Start], Role]


def main() -> int:
    """Run as the supervisor says; the status of the process."""
    channel = take_standard_input()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # what the app prints belongs to the moment, also in a file
    try:
        start = channel.read_start()
    except EOFError:
        return 0
    name = f"{start.role} {start.number}"
    setproctitle.setproctitle(f"roost: {name}")
    log_to_stderr(name, start.settings.log_level)
    look_rarely()
    return run(start, channel)


def run(start: Start, channel: Channel) -> int:
    """The life of the process from its first message on."""
    try:
        with channel.leaving_when_orphaned():
            role = _prepare_of(start.role)(start)
    except (RoostError, OSError) as error:
        channel.say(failed_from(error))
        return 1
    keep_what_is_there()
    channel.say(Ready())
    with channel.leaving_when_orphaned(ORPHANED.seconds + ORPHAN_SPARE_SECONDS):
        return run_on_loop(converse(role, channel))


def run_on_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run it on the fastest loop that there is."""
    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        return runner.run(main)


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None  # not made for this platform or interpreter; asyncio's own does the same, slower
    return uvloop.new_event_loop


def _prepare_of(role: str) -> Prepare:
    """Imported here, so that a gateway carries nothing of the hosts, and the other way round."""
    if role == "host":
        from roost.node.host_process import HostProcess

        return HostProcess
    if role == "backup":
        from roost.node.backup_process import BackupProcess

        return BackupProcess
    from roost.node.gateway_process import GatewayProcess

    return GatewayProcess


async def converse(role: Role, channel: Channel) -> int:
    """Do what the supervisor says until that ends the process; its status."""
    loop = asyncio.get_running_loop()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, channel.stop)
    serving = False
    async with contextlib.aclosing(channel.messages()) as messages:
        async for message in messages:
            match message:
                case Serve():
                    try:
                        await role.serve()
                    except (RoostError, OSError) as error:
                        channel.say(failed_from(error))
                        return 1
                    serving = True
                    channel.say(Serving())
                case Ping():
                    channel.say(Pong())
                case Ask(number):
                    channel.say(Answer(number, role.report() if serving else None))
                case Order(number, what, arguments):
                    channel.say(Answer(number, obeyed(role, what, arguments) if serving else None))
                case Drain(seconds, replaced) if serving:
                    if await role.drain(seconds, replaced=replaced):
                        return 0
                case Stop(seconds) if serving:
                    await role.stop(seconds)
                    return 0
                case Drain() | Stop():
                    return 0
    return 0


def obeyed(role: Role, what: str, arguments: dict[str, Any]) -> Done | None:
    """What became of an order; None where it is another's."""
    if not isinstance(role, Obedient):
        return None
    try:
        value = role.obey(what, arguments)
    except RoostError as error:
        return Done(error=str(error))
    return None if value is ANOTHERS else Done(value)


def failed_from(error: Exception) -> Failed:
    """The failure as the supervisor tells it."""
    if isinstance(error, AppLoadError):
        cause = error.__cause__
        message = str(error).partition("\n")[0] if cause is not None else str(error)
        return Failed("app", message, raised_from(cause) if cause is not None else None)
    if isinstance(error, ConfigurationError):
        return Failed("configuration", str(error))
    if isinstance(error, StorageError):
        return Failed("data", str(error))
    if isinstance(error, LinkError | OSError):
        return Failed("address", str(error))
    return Failed("internal", str(error), raised_from(error))
