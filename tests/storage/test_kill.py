"""A real process, really killed: everything it was told to be durable is there, and nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roost import codec
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.kv import KeyRange
from roost.storage.store import HostStore

CHILD = """
import asyncio, sys
from roost import codec
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.kv import KeyRange
from roost.storage.store import HostStore

async def main(directory, beside):
    limits = Limits(journal_segment_bytes=256 * 1024, checkpoint_bytes=64 * 1024, open_databases_max=4)
    store = HostStore(directory, limits=limits, beside=beside)
    space = IdSpace("ROOM", "secret")
    out = sys.stdout
    rooms = [store.open(space.from_name(f"room {n}")) for n in range(6)]
    numbers = [codec.decode(room.get("number") or codec.encode(0)) for room in rooms]
    out.write(f"opened {store.recovered.commits}\\n")
    out.flush()
    while True:
        for n, room in enumerate(rooms):
            numbers[n] += 1
            number = numbers[n]
            if number % 97 == 0:
                room.delete_all()
            room.put("number", codec.encode(number))
            room.put(f"value {number % 20}", codec.encode([number, "x" * (number % 500)]))
            room.put("twin", codec.encode(number))
            def told(error, n=n, number=number):
                out.write(f"{n} {number}\\n" if error is None else f"error {error}\\n")
            room.commit(told)
        out.flush()
        await asyncio.sleep(0)

asyncio.run(main(sys.argv[1], sys.argv[2] == "beside"))
"""

ROOMS = 6


def run_and_kill(directory: Path, lines: int, writer: str) -> dict[int, int]:
    """Kill the child once it acknowledged that many commits; the last number it acknowledged per room."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", CHILD, str(directory), writer]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        opened = child.stdout.readline()
        assert opened.startswith("opened"), opened
        acknowledged: dict[int, int] = {}
        for count, line in enumerate(child.stdout):
            if not line.endswith("\n"):
                break
            room, number = line.split()
            acknowledged[int(room)] = int(number)
            if count == lines:
                child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    return acknowledged


def check(directory: Path, acknowledged: dict[int, int]) -> None:
    store = HostStore(directory, limits=Limits(journal_segment_bytes=256 * 1024))
    space = IdSpace("ROOM", "secret")
    for n in range(ROOMS):
        storage = store.open(space.from_name(f"room {n}"))
        values = {key: codec.decode(raw) for key, raw in storage.select(KeyRange())}
        number = values.pop("number", 0)
        assert number >= acknowledged.get(n, 0)
        assert values.pop("twin", 0) == number
        since = number - number % 97 if number >= 97 else 1
        expected = {f"value {k % 20}": [k, "x" * (k % 500)] for k in range(max(since, number - 19, 1), number + 1)}
        assert values == expected
        writer: Any = storage._writer
        if writer is not None:
            assert writer.database.connection.pragma("integrity_check") == "ok"
    store.close()


@pytest.mark.parametrize("writer", ["here", "beside"])
def test_everything_acknowledged_survives_kill_9(tmp_path: Path, writer: str) -> None:
    """Whether the process that was killed wrote its objects' files itself or has left a child that did."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(4):
        acknowledged = run_and_kill(tmp_path, chance.randrange(1, 1500), writer)
        if chance.random() < 0.5:
            check(tmp_path, acknowledged)
    check(tmp_path, acknowledged)
