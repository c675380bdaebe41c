from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, UnavailableError
from roost.supervisor.control_socket import NotRunningError, ask, open_control_socket, order
from roost.supervisor.data_directory import claim
from roost.supervisor.messages import Done
from roost.supervisor.report import HostReport, ObjectReport, ProcessReport, SystemReport

OBJECT = ObjectReport("ROOM", "00ff", "x", "idle", 2, ["active WebSocket"], None, {"turns": 3, "events": {"fetch": 1}})
REPORT = SystemReport(
    "app.py", "http://x", "/d", 1, [ProcessReport("host", 0, 2, "serving", 1.5, HostReport("app", [OBJECT], 1, 9))]
)


async def report() -> SystemReport:
    return REPORT


async def test_whoever_asks_gets_the_report_whole(tmp_path: Path) -> None:
    with contextlib.closing(claim(tmp_path)) as directory:
        path = directory.make_sockets().control
        async with contextlib.aclosing(await open_control_socket(path, report)):
            assert os.stat(path).st_mode & 0o777 == 0o600
            assert await ask(tmp_path) == REPORT
            assert await ask(tmp_path) == REPORT


async def test_without_a_roost_that_is_what_the_error_says(tmp_path: Path) -> None:
    with pytest.raises(
        NotRunningError, match=r"no roost runs on the data directory .*nothing answers at .*control\.sock"
    ):
        await ask(tmp_path)


async def test_a_roost_that_stops_meanwhile_is_an_error_too(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with contextlib.closing(claim(tmp_path)) as directory:
        server = await asyncio.start_unix_server(hang_up, directory.make_sockets().control)
        with pytest.raises(NotRunningError, match="stopped before it answered"):
            await ask(tmp_path)
        server.close()


async def test_an_order_is_carried_out_and_told(tmp_path: Path) -> None:
    given: list[tuple[str, dict[str, Any]]] = []

    async def obey(what: str, arguments: dict[str, Any]) -> Done | None:
        given.append((what, arguments))
        return {"restore": Done(7), "dance": Done(error="hosts do not dance")}.get(what)

    with contextlib.closing(claim(tmp_path)) as directory:
        path = directory.make_sockets().control
        async with contextlib.aclosing(await open_control_socket(path, report, obey)):
            assert await order(tmp_path, "restore", {"id": "ab", "commit": 3}) == 7
            assert given == [("restore", {"id": "ab", "commit": 3})]
            with pytest.raises(InvalidArgumentError, match="hosts do not dance"):
                await order(tmp_path, "dance", {})
            with pytest.raises(UnavailableError, match="does not answer now"):
                await order(tmp_path, "sleep", {})
            assert await ask(tmp_path) == REPORT


async def test_a_roost_that_takes_no_orders_says_so(tmp_path: Path) -> None:
    with contextlib.closing(claim(tmp_path)) as directory:
        path = directory.make_sockets().control
        async with contextlib.aclosing(await open_control_socket(path, report)):
            with pytest.raises(InvalidArgumentError, match="does not take the order 'restore'"):
                await order(tmp_path, "restore", {})


async def test_without_a_roost_nobody_takes_an_order(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no roost runs"):
        await order(tmp_path, "restore", {})


@pytest.mark.parametrize("line", [b"dance\n", b'{"what": 1}\n', b'{"what": "x", "arguments": {}, "more": 1}\n'])
async def test_what_is_no_question_is_not_answered(tmp_path: Path, line: bytes) -> None:
    with contextlib.closing(claim(tmp_path)) as directory:
        path = directory.make_sockets().control
        async with contextlib.aclosing(await open_control_socket(path, report)):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(line)
            assert await reader.read() == b""
            writer.close()
            assert await ask(tmp_path) == REPORT
