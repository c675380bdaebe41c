"""The Unix socket at which a running roost answers `roost ps`.

A client sends one line, its question (`report`), and gets one line of JSON. Only the user who runs roost may connect.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec

from roost.errors import RoostError
from roost.supervisor.data_directory import find_sockets
from roost.supervisor.messages import LINE_BYTES_MAX
from roost.supervisor.report import SystemReport

QUESTION = b"report\n"
_SECONDS_MAX = 10.0


class NotRunningError(RoostError):
    """No roost uses that data directory now."""


class ControlSocket:
    """Answers for as long as it is open."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def aclose(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # lets the loop forget the descriptor before its path is removed


async def open_control_socket(path: str, report: Callable[[], Awaitable[SystemReport]]) -> ControlSocket:
    """Answer at `path` with what `report` returns."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await asyncio.wait_for(reader.readline(), _SECONDS_MAX) == QUESTION:
                writer.write(msgspec.json.encode(await report()) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # whoever asked has gone or has nothing to ask
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path)
    os.chmod(path, 0o600)
    return ControlSocket(server)


async def ask(data: str | os.PathLike[str]) -> SystemReport:
    """The report of the roost that uses this data directory. Raises NotRunningError when there is none."""
    path = find_sockets(data).control
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
    except OSError as error:
        raise NotRunningError(f"no roost runs on the data directory {data}: nothing answers at {path}") from error
    try:
        writer.write(QUESTION)
        return msgspec.json.decode(await reader.readline(), type=SystemReport)
    except (ConnectionError, msgspec.DecodeError) as error:
        raise NotRunningError(f"the roost on the data directory {data} stopped before it answered") from error
    finally:
        writer.close()
