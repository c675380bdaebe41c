"""The servers that are measured, each in processes of its own: roost, and the peers it is compared with."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import compiled

HERE = Path(__file__).parent
APP = HERE / "apps" / "questions.py"
PEER = HERE / "peers" / "raw_picows.py"
BARE = HERE / "peers" / "bare"
REDIS_PAIR = HERE / "peers" / "redis_pair.py"
NODE_SQLITE = HERE / "peers" / "node_sqlite" / "server.js"
ONE_PROCESS = HERE / "apps" / "one_process.py"
SERVER_CORE = "0"
LOAD_CORE = 1
BOTH_CORES = "0,1"
"""With two cores the server has the first, whatever its number of processes, and the generator the second."""


class Server:
    """A running server and its processes."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.processes = [process]
        self.port = port

    def pids(self) -> list[int]:
        """The processes that were started and all their descendants."""
        found = [process.pid for process in self.processes]
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
def bare() -> Iterator[Server]:
    """Rooms in C with one shared log, each message durable before anybody sees it."""
    program = str(compiled.program("roost-bare", BARE))
    with _data_directory() as data, _started([program, f"{data}/log"], os.environ) as server:
        yield server


@contextlib.contextmanager
def redis_pair() -> Iterator[Server]:
    """FastAPI and Redis, which share the core."""
    with _data_directory() as data, _redis(Path(data)) as store:
        command = [sys.executable, str(REDIS_PAIR), str(Path(data) / "redis.sock")]
        with _started(command, os.environ) as server:
            server.processes.append(store)
            yield server


def redis_missing() -> str | None:
    """What the Redis pair lacks to be measured here."""
    modules = [name for name in ("fastapi", "uvicorn", "redis") if importlib.util.find_spec(name) is None]
    if modules:
        return f"FastAPI with Redis: pip install {' '.join(modules)}"
    if shutil.which("redis-server") is None:
        return "FastAPI with Redis: there is no redis-server (on Debian: apt-get install redis-server)"
    return None


@contextlib.contextmanager
def node_sqlite() -> Iterator[Server]:
    """Node with `ws` and better-sqlite3, which syncs at each commit."""
    with _data_directory() as data, _started(["node", str(NODE_SQLITE), f"{data}/kv.sqlite"], os.environ) as server:
        yield server


def node_missing() -> str | None:
    """What Node lacks to be measured here."""
    if shutil.which("node") is None:
        return "Node: there is no node"
    installed = NODE_SQLITE.parent / "node_modules"
    if not (installed / "better-sqlite3" / "build").exists() or not (installed / "ws").exists():
        return f"Node with better-sqlite3: npm install in benchmarks/peers/{installed.parent.name}"
    return None


@contextlib.contextmanager
def _redis(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Redis on a socket of its own, which syncs its file before it answers."""
    options = ["--port", "0", "--unixsocket", str(data / "redis.sock"), "--dir", str(data), "--save", ""]
    options += ["--appendonly", "yes", "--appendfsync", "always", "--logfile", str(data / "redis.log")]
    options += ["--auto-aof-rewrite-percentage", "0"]
    process = subprocess.Popen(["taskset", "-c", SERVER_CORE, "redis-server", *options], text=True)
    try:
        while not (data / "redis.sock").exists():
            if process.poll() is not None:
                raise RuntimeError(f"redis-server ended: {(data / 'redis.log').read_text()}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextlib.contextmanager
def _data_directory() -> Iterator[str]:
    data = tempfile.mkdtemp(prefix="roost-bench-", dir=os.environ.get("BENCH_DATA"))
    try:
        yield data
    finally:
        shutil.rmtree(data)


@contextlib.contextmanager
def _roost_started(command: list[str], limits: dict[str, float] | None, cores: str) -> Iterator[Server]:
    settings = {f"ROOST_LIMITS_{name.upper()}": str(value) for name, value in (limits or {}).items()}
    environ = {**os.environ, **settings}
    with _data_directory() as data, _started([*command, "--data", data], environ, cores) as server:
        yield server


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
