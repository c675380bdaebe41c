"""A roost in processes of its own: started, watched, hurt and stopped by a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

APPS = Path(__file__).parent / "apps"


class Lines:
    """The lines that a process prints, for whoever waits for one of them."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.all: list[str] = []
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(stream))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.all.append(line.decode().rstrip())
            self._changed.set()
        self._changed.set()

    async def until(self, words: str, count: int = 1) -> str:
        """The line with these words, once it was printed so often."""
        while True:
            found = [line for line in self.all if words in line]
            if len(found) >= count:
                return found[count - 1]
            if self._task.done():
                raise AssertionError(f"it ended without {words!r}: {self.text}")
            self._changed.clear()
            await self._changed.wait()

    async def finished(self) -> None:
        await self._task

    @property
    def text(self) -> str:
        return "\n".join(self.all)


class Roost:
    """`roost run` or `roost dev` of an app."""

    def __init__(self, process: asyncio.subprocess.Process, data: Path) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.data = data
        self.url = ""
        self.out = Lines(process.stdout)
        self.errors = Lines(process.stderr)
        self.pids: set[int] = set()
        """Of every process that it was seen to have."""

    async def ready(self) -> None:
        serving = asyncio.ensure_future(self.out.until("roost: serving "))
        ended = asyncio.ensure_future(self.process.wait())
        await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not serving.done():
            await self.errors.finished()
            serving.cancel()
            raise AssertionError(f"it ended before it served: {self.errors.text}")
        self.url = serving.result().rpartition(" ")[2]
        self.children()

    def children(self, role: str = "") -> dict[str, int]:
        """The processes that it has now: `{"host 0": 4711, "gateway 0": 4712}`."""
        found = {}
        for pid in children_of(self.process.pid):
            title = title_of(pid)
            if title.startswith(f"roost: {role}"):
                found[title.removeprefix("roost: ")] = pid
                self.pids.add(pid)
        return dict(sorted(found.items()))

    def kill(self, name: str) -> int:
        """kill -9 of `host 0`; its pid."""
        pid = self.children()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def replaced(self, name: str, pid: int) -> int:
        """The pid of the process that has come in the place of that one."""
        # Nobody tells when another process has its title.
        while self.children().get(name, pid) == pid:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self.children()[name]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as an operator does; its status."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        status = await self.process.wait()
        await self.out.finished()
        await self.errors.finished()
        return status

    async def kill_everything(self) -> None:
        """kill -9 of the supervisor and of all that it has."""
        self.children()
        for pid in (self.process.pid, *self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()

    def connect(self, path: str, **options: Any) -> connect:
        """A WebSocket client, to be awaited or entered."""
        options.setdefault("ping_interval", None)
        return connect(self.url.replace("http", "ws") + path, **options)

    async def get(self, path: str) -> Any:
        """The JSON at a path. Raises HTTPError for another status than 200."""

        def read() -> Any:
            with urllib.request.urlopen(self.url + path) as response:
                return json.loads(response.read())

        return await asyncio.to_thread(read)


@contextlib.asynccontextmanager
async def roost(
    app: Path, data: Path, *arguments: object, command: str = "run", ready: bool = True
) -> AsyncIterator[Roost]:
    """A roost that is ready within the block and gone after it, whatever happened in between."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
    flags = [str(one) for one in ("--port", 0, "--data", data, *arguments)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "roost", command, str(app), *flags),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ | {"COLUMNS": "200"},
    )
    running = Roost(process, data)
    try:
        if ready:
            await running.ready()
        yield running
    except BaseException:
        sys.stderr.write(f"{running.errors.text}\n")
        raise
    finally:
        await running.kill_everything()
        await running.out.finished()
        await running.errors.finished()


async def close_code(socket: ClientConnection) -> int | None:
    """With which code the socket is closed; what else comes first is dropped."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


async def receive_json(socket: ClientConnection) -> Any:
    return json.loads(await socket.recv())


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # it has just ended
        return ""


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(*pids: int) -> None:
    """Returns once none of them runs."""
    while any(map(alive, pids)):  # noqa: ASYNC110 - they are nobody's children any more
        await asyncio.sleep(0.01)
