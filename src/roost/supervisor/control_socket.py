"""The Unix socket at which a running roost answers `roost ps`, and takes orders about objects.

A client sends one line, its question (`report`, or an order as JSON), and gets one line of JSON. Only the user who runs
roost may connect.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from roost.errors import InvalidArgumentError, RoostError, UnavailableError
from roost.supervisor.data_directory import find_sockets
from roost.supervisor.messages import LINE_BYTES_MAX, Done
from roost.supervisor.report import SystemReport

QUESTION = b"report\n"
_SECONDS_MAX = 10.0

Obey = Callable[[str, dict[str, Any]], Awaitable[Done | None]]


class NotRunningError(RoostError):
    """No roost uses that data directory now."""


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants done."""

    what: str
    arguments: dict[str, Any]


class ControlSocket:
    """Answers for as long as it is open."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def aclose(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # lets the loop forget the descriptor before its path is removed


async def _refuse(what: str, _: dict[str, Any]) -> Done | None:
    return Done(error=f"this roost does not take the order {what!r}")


async def open_control_socket(
    path: str, report: Callable[[], Awaitable[SystemReport]], obey: Obey = _refuse
) -> ControlSocket:
    """Answer at `path` with what `report` returns, and to orders with what `obey` does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _SECONDS_MAX)
            said: Any = None
            if line == QUESTION:
                said = await report()
            elif line:
                order = msgspec.json.decode(line, type=_Order)
                said = await obey(order.what, order.arguments)
            if line:
                writer.write(msgspec.json.encode(said) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, msgspec.DecodeError):
            pass  # whoever asked has gone or has nothing to ask
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path)
    os.chmod(path, 0o600)
    return ControlSocket(server)


async def ask(data: str | os.PathLike[str]) -> SystemReport:
    """The report of the roost that uses this data directory. Raises NotRunningError when there is none."""
    report: SystemReport = await _asked(data, QUESTION, SystemReport)
    return report


async def order(data: str | os.PathLike[str], what: str, arguments: dict[str, Any]) -> Any:
    """Have the roost that uses this data directory do something about an object; what came of it.

    Raises NotRunningError when there is none, UnavailableError when the object's host does not answer, and
    InvalidArgumentError with its reason when it did not do it.
    """
    line = msgspec.json.encode(_Order(what, arguments)) + b"\n"
    done = await _asked(data, line, Done | None)
    if done is None:
        raise UnavailableError("the host of the object does not answer now: it is being replaced, say; try again")
    if done.error:
        raise InvalidArgumentError(done.error)
    return done.value


async def _asked(data: str | os.PathLike[str], line: bytes, answer: Any) -> Any:
    path = find_sockets(data).control
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
    except OSError as error:
        raise NotRunningError(f"no roost runs on the data directory {data}: nothing answers at {path}") from error
    try:
        writer.write(line)
        return msgspec.json.decode(await reader.readline(), type=answer)
    except (ConnectionError, msgspec.DecodeError) as error:
        raise NotRunningError(f"the roost on the data directory {data} stopped before it answered") from error
    finally:
        writer.close()
