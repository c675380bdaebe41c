"""Servers that are measured, each in processes of its own on a core of their own; roost's are here, the others in
`peers`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
APP = HERE / "apps" / "questions.py"
ONE_PROCESS = HERE / "apps" / "one_process.py"
SERVER_CORE = "0"
LOAD_CORE = 1
BOTH_CORES = "0,1"
"""With two cores the server has the first, whatever its number of processes, and the generator the second."""
QUIET_SECONDS_MAX = 5.0
START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 30.0


class StartError(Exception):
    """A server ended, or had not said its port in time; the message says which."""


class Server:
    """A running server and its processes."""

    tries = 1
    """How often the load that is not measured may fail, which comes first."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.processes = [process]
        self.port = port

    def pids(self) -> list[int]:
        """The processes that were started and all their descendants."""
        found = [process.pid for process in self.processes]
        for pid in found:
            found += _children(pid)
        return found

    def cpu_seconds(self) -> float:
        """Processor time of all processes so far, user and system."""
        return sum(map(_cpu_ticks, self.pids())) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Proportional set size: shared pages are counted once."""
        return sum(map(_pss, self.pids()))

    def resident_bytes(self) -> int:
        """Resident set size, shared pages in each process: quick enough to be asked while the server is loaded."""
        return sum(map(_resident, self.pids()))

    def options(self, work: str, rooms: int) -> dict[str, str]:
        """What the load generator must be told about this server beside its port."""
        return {}


def settle(servers: Collection[Server]) -> None:
    """Wait until they do nothing: what clients that left cost them is not to fall on what is measured next."""
    give_up, before = time.monotonic() + QUIET_SECONDS_MAX, sum(server.cpu_seconds() for server in servers)
    while time.monotonic() < give_up:
        time.sleep(0.1)
        after = sum(server.cpu_seconds() for server in servers)
        if after - before < 0.02:
            return
        before = after


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def _cpu_ticks(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _pss(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _resident(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@contextlib.contextmanager
def roost(app: Path = APP, *, limits: dict[str, float] | None = None, cores: str = SERVER_CORE) -> Iterator[Server]:
    """`roost run` with one gateway and one host, on a fresh data directory."""
    command = [sys.executable, "-m", "roost", "run", str(app), "--port", "0", "--gateways", "1", "--hosts", "1"]
    with _roost_started(command, limits, cores) as server:
        yield server


@contextlib.contextmanager
def roost_in_one_process(app: Path = APP, *, limits: dict[str, float] | None = None) -> Iterator[Server]:
    """Gateway and host in one process, joined by the memory link."""
    with _roost_started([sys.executable, str(ONE_PROCESS), str(app)], limits, SERVER_CORE) as server:
        yield server


@contextlib.contextmanager
def data_directory() -> Iterator[str]:
    """A directory for one server; BENCH_DATA names the parent, which decides the disk."""
    data = tempfile.mkdtemp(prefix="roost-bench-", dir=os.environ.get("BENCH_DATA"))
    try:
        yield data
    finally:
        shutil.rmtree(data)


@contextlib.contextmanager
def _roost_started(command: list[str], limits: dict[str, float] | None, cores: str) -> Iterator[Server]:
    settings = {f"ROOST_LIMITS_{name.upper()}": str(value) for name, value in (limits or {}).items()}
    environ = {**os.environ, **settings}
    with data_directory() as data, started([*command, "--data", data], environ, cores) as server:
        yield server


@contextlib.contextmanager
def started(
    command: list[str],
    environ: Mapping[str, str] = os.environ,
    cores: str = SERVER_CORE,
    *,
    kind: type[Server] = Server,
    sign: str = r"http://127\.0\.0\.1:(\d+)",
    errors: int | None = None,
) -> Iterator[Server]:
    """Start it on those cores, and wait for the line of its output that has its port; `sign` says how that looks.

    `errors`: where its other output goes, by default where ours does. Raises StartError.
    """
    pinned = ["taskset", "-c", cores, *command]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": errors}
    process = subprocess.Popen(pinned, **pipes, text=True, env=dict(environ), start_new_session=True)
    try:
        yield kind(process, _read_port(process, sign))
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask it to end; whoever of its group is there afterwards is killed."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS_MAX)
    with contextlib.suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read_port(process: subprocess.Popen[str], sign: str) -> int:
    assert process.stdout is not None
    late = threading.Timer(START_SECONDS_MAX, process.kill)
    late.start()
    try:
        for line in process.stdout:
            if found := re.search(sign, line):
                threading.Thread(target=_read_on, args=(process.stdout,), daemon=True).start()
                return int(found[1])
    finally:
        late.cancel()
    process.stdout.close()
    raise StartError(f"{process.args!r} ended with status {process.wait()} before it served")


def _read_on(output: IO[str]) -> None:
    """To the end, for else it would wait for a reader."""
    with output:
        output.read()
