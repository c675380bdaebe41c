"""The servers that roost is compared with: how each is started, what it can do, and what it lacks to be measured here.

A peer's folder holds its program and, pinned, what it needs: `python -m benchmarks install` puts that below the folder.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from benchmarks import compiled, load
from benchmarks.report import PACKAGES
from benchmarks.servers import SERVER_CORE, Server, StartError, data_directory, started

HERE = Path(__file__).parent


class Peer(NamedTuple):
    """A server: the kinds of work that it can do, and how long it takes until what is idle sleeps.

    `rooms_max`: it is asked with fewer rooms than the others, since each takes it seconds to start. `sockets_max`: with
    fewer idle sockets, since each takes it two descriptors.
    """

    name: str
    title: str
    works: frozenset[str]
    start: Callable[[], AbstractContextManager[Server]]
    folder: Path | None = None
    sleep_seconds: float = 1.0
    rooms_max: int | None = None
    sockets_max: int | None = None

    def missing(self) -> str | None:
        """What it lacks to be measured here, and how to get it; None: nothing."""
        return _lack(self)

    def version(self) -> str:
        return _version(self)


# -- what it needs -----------------------------------------------------------------------------------------------------

PROGRAMS = {"npm": "node", "redis-server": "redis-server"}
"""What must be on the PATH, and the package of Debian that has it."""


def needs(folder: Path) -> list[str]:
    """The programs that a peer needs beside what is installed below its folder."""
    found = ["npm"] if (folder / "package.json").exists() else []
    return [*found, "redis-server"] if "redis" in folder.name else found


def _lack(peer: Peer) -> str | None:
    if peer.folder is None:
        return None
    programs = [name for name in needs(peer.folder) if shutil.which(name) is None]
    if programs:
        return f"{peer.title}: there is no {programs[0]} (on Debian: apt-get install {PROGRAMS[programs[0]]})"
    if not installed(peer.folder):
        return f"{peer.title}: not installed (python -m benchmarks install {peer.name})"
    return None


def installed(folder: Path) -> bool:
    return (folder / "node_modules" / ".package-lock.json").exists() or python_of(folder).exists()


def python_of(folder: Path) -> Path:
    return folder / ".venv" / "bin" / "python"


def install(peer: Peer) -> None:
    """Put what the peer needs below its folder. Raises CalledProcessError when npm or pip fails."""
    if peer.folder is None:
        return
    if (peer.folder / "package.json").exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], cwd=peer.folder, check=True)
    if (peer.folder / "requirements.txt").exists():
        subprocess.run([sys.executable, "-m", "venv", str(peer.folder / ".venv")], check=True)
        pip = [str(python_of(peer.folder)), "-m", "pip", "install", "--quiet", "-r", "requirements.txt"]
        subprocess.run(pip, cwd=peer.folder, check=True)


def _version(peer: Peer) -> str:
    if peer.folder is None:
        of_roost = ("picows", "uvloop") if peer.name == "picows" else PACKAGES if peer.name == "roost" else ()
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in of_roost)
    if (peer.folder / "requirements.txt").exists():
        return ", ".join((peer.folder / "requirements.txt").read_text().split()).replace("==", " ")
    asked = json.loads((peer.folder / "package.json").read_text())["dependencies"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join([f"Node {node}", *(f"{name} {version}" for name, version in asked.items())])


# -- how each is started -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare() -> Iterator[Server]:
    """Rooms in C; what is stored goes to one shared log."""
    program = str(compiled.program("roost-bare", HERE / "bare"))
    with data_directory() as data, started([program, f"{data}/log"]) as server:
        yield server


@contextlib.contextmanager
def picows() -> Iterator[Server]:
    """picows on uvloop with nothing around it."""
    with started([sys.executable, str(HERE / "picows" / "server.py")]) as server:
        yield server


@contextlib.contextmanager
def uws() -> Iterator[Server]:
    """uWebSockets, called from Python."""
    folder = HERE / "uws"
    with started([str(python_of(folder)), str(folder / "server.py")]) as server:
        yield server


@contextlib.contextmanager
def node() -> Iterator[Server]:
    """Node with `ws` and better-sqlite3, which syncs at each commit."""
    with data_directory() as data, started(["node", str(HERE / "node" / "server.js"), f"{data}/kv.sqlite"]) as server:
        yield server


@contextlib.contextmanager
def workerd() -> Iterator[Server]:
    """Durable Objects by workerd, with the hibernation API and SQLite."""
    folder = HERE / "workerd"
    with data_directory() as data:
        program = str(folder / "node_modules" / ".bin" / "workerd")
        command = [program, "serve", str(folder / "config.capnp"), f"--directory-path=data={data}", "--control-fd=1"]
        with started(command, sign=r'"port":(\d+)') as server:
            yield server


@contextlib.contextmanager
def fastapi_redis() -> Iterator[Server]:
    """FastAPI and Redis, which share the core."""
    folder = HERE / "fastapi_redis"
    with data_directory() as data, _redis(Path(data)) as store:
        command = [str(python_of(folder)), str(folder / "server.py"), str(Path(data) / "redis.sock")]
        with started(command) as server:
            server.processes.append(store)
            yield server


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
                raise StartError(f"redis-server ended: {(data / 'redis.log').read_text()}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


class ActorServer(Server):
    """durable-actors: a client asks for a grant, whose key is the path of its socket for a minute.

    A socket is a member some time after its handshake, and is closed when its actor's process takes long to start.
    """

    tries = 6
    grants: Path

    def options(self, work: str, rooms: int) -> dict[str, str]:
        paths = [self._grant(work.capitalize(), f"room{number}") for number in range(rooms)]
        self.grants.write_text("\n".join(paths) + "\n")
        return {"paths": str(self.grants), "pause": "2"}

    def _grant(self, actor: str, name: str) -> str:
        url = f"http://127.0.0.1:{self.port}/v1/projects/local/actors/{actor}/{name}/find-websocket"
        asked = urllib.request.Request(url, b'{"metadata": null}', {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                granted: str = json.load(answer)["websocketUrl"]
        except OSError as error:
            raise load.LoadError(f"no grant for a socket: {error}") from error
        return "/" + granted.split("/", 3)[3]


@contextlib.contextmanager
def durable_actors() -> Iterator[Server]:
    """durable-actors in its local mode."""
    folder = HERE / "durable_actors"
    with data_directory() as data:
        shutil.copy(folder / "actors.py", data)
        (Path(data) / "pyproject.toml").write_text('[project]\nname = "peer"\nversion = "1"\n')
        command = [str(folder / ".venv" / "bin" / "durable-actors"), "dev", "--no-watch", "--port", "0"]
        command += ["--project", data, "--entrypoint", "actors.py", "--data-dir", f"{data}/state"]
        environ = {**os.environ, "RUST_LOG": "error"}
        sign, errors = r"Ready .*127\.0\.0\.1:(\d+)", subprocess.DEVNULL  # its actors complain at their end
        with started(command, environ, kind=ActorServer, sign=sign, errors=errors) as server:
            assert isinstance(server, ActorServer)
            server.grants = Path(data) / "grants"
            yield server


BARE = Peer("bare", "bare C", frozenset({"echo", "broadcast", "noting", "storing", "count"}), bare)
PICOWS = Peer("picows", "picows", frozenset({"echo", "broadcast"}), picows)
UWS = Peer("uws", "uWebSockets", frozenset({"echo", "broadcast", "count"}), uws, HERE / "uws")
NODE = Peer("node", "Node `ws`", BARE.works, node, HERE / "node")
WORKERD = Peer("workerd", "workerd", BARE.works | {"sleeper"}, workerd, HERE / "workerd", 12, sockets_max=5_000)
FASTAPI = Peer(
    "fastapi_redis",
    "FastAPI and Redis",
    frozenset({"echo", "broadcast", "storing", "count"}),
    fastapi_redis,
    HERE / "fastapi_redis",
)
ACTORS = Peer(
    "durable_actors",
    "durable-actors",
    frozenset({"echo", "broadcast", "storing"}),
    durable_actors,
    HERE / "durable_actors",
    rooms_max=4,
)
PEERS = (BARE, PICOWS, UWS, NODE, WORKERD, FASTAPI, ACTORS)
