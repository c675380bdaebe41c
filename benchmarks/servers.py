"""The servers that are measured, each in processes of its own: roost, and the peers it is compared with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).parent
APP = HERE / "apps" / "questions.py"
PEER = HERE / "peers" / "raw_picows.py"
ONE_PROCESS = HERE / "apps" / "one_process.py"
SERVER_CORE = "0"
LOAD_CORE = 1
BOTH_CORES = "0,1"
"""With two cores the server has the first, whatever its number of processes, and the generator the second."""


class Server:
    """A running server and its processes."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def pids(self) -> list[int]:
        """The process that was started and all its descendants."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self) -> float:
        """Processor time of all processes so far, user and system."""
        return sum(_cpu_ticks(pid) for pid in self.pids()) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Proportional set size: shared pages are counted once."""
        return sum(_pss(pid) for pid in self.pids())


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no line Pss")


@contextlib.contextmanager
def peer(mode: str) -> Iterator[Server]:
    """picows on uvloop with nothing around it: `echo`, `send` or `joined`."""
    with _started([sys.executable, str(PEER), mode], os.environ) as server:
        yield server


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
def _roost_started(command: list[str], limits: dict[str, float] | None, cores: str) -> Iterator[Server]:
    data = tempfile.mkdtemp(prefix="roost-bench-", dir=os.environ.get("BENCH_DATA"))
    settings = {f"ROOST_LIMITS_{name.upper()}": str(value) for name, value in (limits or {}).items()}
    try:
        with _started([*command, "--data", data], {**os.environ, **settings}, cores) as server:
            yield server
    finally:
        shutil.rmtree(data)


@contextlib.contextmanager
def _started(command: list[str], environ: Mapping[str, str], cores: str = SERVER_CORE) -> Iterator[Server]:
    """Start it on those cores, and wait for the line that ends with its address."""
    pinned = ["taskset", "-c", cores, *command]
    process = subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True, env=dict(environ))
    try:
        yield Server(process, _read_port(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _read_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            return int(line.strip().rpartition(":")[2].rstrip("/"))
    raise RuntimeError(f"{process.args!r} ended with status {process.wait()} before it served")
