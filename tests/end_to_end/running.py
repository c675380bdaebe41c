"""A roost in processes of its own, for tests that kill, stop and restart it, and look at it from outside only.

Nothing here relies on speed: tests wait for something to happen, and `PATIENCE` only ends a wait that never would.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

APPS = Path(__file__).parent / "apps"
ROOMS = APPS / "rooms.py"
PATIENCE = 60.0
_STEP_SECONDS = 0.02
_ADDRESS = re.compile(r"^roost: serving \S+ on (http://127\.0\.0\.1:\d+)$", re.MULTILINE)
T = TypeVar("T")


class Process(NamedTuple):
    """A process as `/proc` shows it; `born` tells it from a later one with the same number."""

    pid: int
    born: int
    title: str

    @property
    def alive(self) -> bool:
        found = _read_process(self.pid)
        return found is not None and found[1].born == self.born

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal; one that is gone does not get it, and neither does anybody who has its number now."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def gone(self) -> None:
        await until(lambda: not self.alive, f"the end of {self.title} ({self.pid})")


class Roost:
    """One data directory, and the `roost run` (or `roost dev`) that uses it: started, killed, and started again."""

    def __init__(
        self,
        directory: Path,
        app: Path = ROOMS,
        *,
        hosts: int = 1,
        gateways: int = 1,
        verb: str = "run",
        limits: Mapping[str, float] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.app, self.hosts, self.gateways, self.verb = app, hosts, gateways, verb
        self.url = ""
        self.port = 0
        self._environ = {f"ROOST_LIMITS_{name.upper()}": str(value) for name, value in (limits or {}).items()}
        self._environ |= environ or {}
        self._popen: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, Process] = {}
        self._starts = 0

    # -- its life ------------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start it, without waiting until it serves. It keeps the port that it had."""
        assert self._popen is None, "it runs already"
        self._starts += 1
        command = [sys.executable, "-m", "roost", self.verb, str(self.app), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--hosts", str(self.hosts), "--gateways", str(self.gateways)]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self._popen = subprocess.Popen(
                [*command, "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ | self._environ | {"COLUMNS": "200"},
                start_new_session=True,
            )
        self._see(self._popen.pid)

    async def start(self) -> None:
        """Start it, and return once it serves."""
        self.launch()
        await until(lambda: self._ready() or self.ended, "the address on standard output")
        assert self._ready(), f"it ended before it served\n{self.log}"
        self.url = _ADDRESS.findall(self.out)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.processes()

    def deploy(self) -> None:
        """Have the hosts replaced by new ones that import the app anew."""
        self.supervisor.kill(signal.SIGHUP)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it as an operator does: it must end with status 0 and leave no process behind."""
        left = self.processes()
        self.supervisor.kill(number)
        assert await self.status() == 0, self.log
        await self.all_gone(left)

    async def status(self) -> int:
        """The status with which it ended, once it has."""
        assert self._popen is not None, "it was not started"
        await until(lambda: self.ended, "the end of the supervisor")
        status, self._popen = self._popen.wait(), None
        return status

    async def all_gone(self, processes: list[Process]) -> None:
        for process in processes:
            await process.gone()

    def clean_up(self) -> None:
        """Leave no process behind, whatever the test has done."""
        self.processes()
        for process in self._seen.values():
            process.kill(signal.SIGKILL)
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    @property
    def ended(self) -> bool:
        return self._popen is None or self._popen.poll() is not None

    def _ready(self) -> bool:
        return _ADDRESS.search(self.out) is not None

    # -- what it says --------------------------------------------------------------------------------------------------

    @property
    def out(self) -> str:
        """What it has said on standard output since it was started last."""
        return self._file("out").read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has said on standard error since it was started last."""
        return self._file("err").read_text(errors="replace")

    @property
    def log(self) -> str:
        return f"--- standard output\n{self.out}\n--- standard error\n{self.err}"

    def print_logs(self) -> None:
        """For pytest to show when the test has failed."""
        for number in range(1, self._starts + 1):
            for kind in ("out", "err"):
                path = self.directory / f"{number}.{kind}"
                print(f"--- {path.name} of {self.app.name}\n{path.read_text(errors='replace')[-8000:]}")

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said that on standard error, so many times."""
        await until(lambda: self.err.count(text) >= times, f"{text!r} on standard error", lambda: self.err)

    def _file(self, kind: str) -> Path:
        return self.directory / f"{self._starts}.{kind}"

    # -- its processes -------------------------------------------------------------------------------------------------

    @property
    def supervisor(self) -> Process:
        assert self._popen is not None, "it was not started"
        return self._seen[self._popen.pid]

    def processes(self) -> list[Process]:
        """The supervisor's children that live now."""
        if self._popen is None:
            return []
        found = _children(self._popen.pid)
        self._seen |= {process.pid: process for process in found}
        return found

    def find(self, name: str) -> Process | None:
        """The process of that name, such as `host 0`, if it is there now."""
        return next((one for one in self.processes() if one.title == f"roost: {name}"), None)

    async def process(self, name: str, other_than: Process | None = None) -> Process:
        """The process of that name; with `other_than`, its successor."""

        def there() -> Process | None:
            found = self.find(name)
            return None if found is None or (other_than and found.pid == other_than.pid) else found

        return await until(there, f"{name}", lambda: self.log)

    async def kill(self, name: str) -> Process:
        """End that process with no warning."""
        process = await self.process(name)
        process.kill()
        return process

    def _see(self, pid: int) -> None:
        found = _read_process(pid)
        assert found is not None, "it was started just now, and nobody has waited for it"
        self._seen[pid] = found[1]

    # -- HTTP ----------------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: str) -> Any:
        """GET, as JSON; anything but status 200 fails."""
        answer = await self.answer(path, **query)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    async def answer(self, path: str, **query: str) -> httpx.Response:
        """GET over a connection of its own, whatever the status."""
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            return await client.get(self.url + path, params=query)


@asynccontextmanager
async def running(roost: Roost, *, start: bool = True) -> AsyncIterator[Roost]:
    """Started at the beginning; at the end nothing of it is left, and what it said is shown with a failure."""
    try:
        if start:
            await roost.start()
        yield roost
    except BaseException:
        roost.print_logs()
        raise
    finally:
        roost.clean_up()


async def until(happened: Callable[[], T | None], what: str, context: Callable[[], str] = str) -> T:
    """Wait until it is true; the value that it then has."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (value := happened()):  # noqa: ASYNC110 - what happens in other processes sets no event here
                await asyncio.sleep(_STEP_SECONDS)
            return value
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}\n{context()}") from None


async def until_async(happened: Callable[[], Awaitable[T]], what: str) -> T:
    """Wait until what it returns is true."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (value := await happened()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(_STEP_SECONDS)
            return value
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


def chance() -> random.Random:
    """Random choices that can be had again: the seed is printed, and `SEED` in the environment sets it."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    return random.Random(seed)


# -- /proc -------------------------------------------------------------------------------------------------------------


def _children(parent: int) -> list[Process]:
    read = [_read_process(pid) for pid in _candidates(parent)]
    return sorted(found[1] for found in read if found is not None and found[0] == parent)


def _candidates(parent: int) -> list[int]:
    """The children as the kernel lists them; every process, where it does not."""
    if not Path(f"/proc/{parent}/task/{parent}/children").exists():
        return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
    found: list[int] = []
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):  # that thread has just ended, and whom it started is another's child
            found += map(int, children.read_text().split())
    return found


def _read_process(pid: int) -> tuple[int, Process] | None:
    """Its parent, and it; None where it is gone, or has ended and only waits for its parent to notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    if stat[0] in "ZX":
        return None
    return int(stat[1]), Process(pid, int(stat[19]), title)


def resident_bytes(pid: int) -> int:
    """The memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def holder_of(port: int, processes: list[Process]) -> Process | None:
    """Which of them holds the server's end of the connection from that client's port."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    return next((one for one in processes if inodes & _open_files(one.pid)), None)


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(os.readlink(entry.path))
    return found
