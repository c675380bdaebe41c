"""A disk that is full: who writes is told, who reads is served, nothing acknowledged is lost, and room heals it all.

The disk is a real one behind `full_disk.c`, which refuses what would need more room for as long as a file exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from .running import APPS, PATIENCE, Roost, running, until_async
from .talking import Client, ClosedError, entered

SHIM = Path(__file__).with_name("full_disk.c")
LIMITS = {"journal_segment_bytes": 256 * 1024, "checkpoint_bytes": 64 * 1024, "idle_seconds": 0.2}
VALUE_BYTES = 50_000


class Disk:
    """Full or not, as the test says."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag

    def fill(self, spare: int = 0) -> None:
        """From now on there is room for files of so many bytes, and no more."""
        self._flag.write_bytes(bytes(spare))

    def free(self) -> None:
        self._flag.unlink()


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("there is no C compiler for full_disk.c (Debian: apt-get install gcc libc6-dev)", pytrace=False)
    made = tmp_path_factory.mktemp("full_disk") / "full_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", made, SHIM, "-ldl"], check=True)
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "the disk is full")


@pytest.fixture
def roost(tmp_path: Path, shim: Path, disk: Disk) -> Roost:
    environ = {
        "LD_PRELOAD": str(shim),
        "FULL_DISK_FLAG": str(tmp_path / "the disk is full"),
        "FULL_DISK_DIRECTORY": str(tmp_path / "data"),
    }
    return Roost(tmp_path, APPS / "shelf.py", limits=LIMITS, environ=environ)


class Shelves:
    """What is kept where, as far as it was acknowledged."""

    def __init__(self, roost: Roost) -> None:
        self.kept: dict[str, dict[str, int]] = {}
        self._roost = roost
        self._number = 0

    async def post(self, name: str) -> int:
        """Store another value; the status of the answer."""
        self._number += 1
        key, value = f"k{self._number:05}", os.urandom(VALUE_BYTES)
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            answer = await client.post(self._roost.url, params={"name": name, "key": key}, content=value)
        if answer.status_code == 200:
            assert answer.json() == {key: zlib.crc32(value)}
            self.kept.setdefault(name, {}).update(answer.json())
        return answer.status_code

    async def post_until_full(self, name: str) -> int:
        """Store until an answer is not 200; its status."""
        while (status := await self.post(name)) == 200:
            pass
        return status

    async def check(self) -> None:
        """Everything acknowledged is there."""
        for name, kept in self.kept.items():
            found = (await self._roost.get("/", name=name))["kept"]
            assert kept.items() <= found.items(), name


async def test_writes_fail_with_507_reads_go_on_and_room_heals_it(roost: Roost, disk: Disk) -> None:
    async with running(roost):
        shelves = Shelves(roost)
        for name in ("a", "b"):
            for _ in range(3):
                assert await shelves.post(name) == 200
        disk.fill()
        assert await shelves.post_until_full("a") == 507
        assert await shelves.post_until_full("b") == 507
        await shelves.check()
        assert (await roost.get("/", name="never written to"))["kept"] == {}
        pid = (await roost.get("/", name="a"))["pid"]
        disk.free()

        async def stored() -> bool:
            return await shelves.post("a") == 200

        await until_async(stored, "a write succeeding again")
        for name in ("a", "b", "c"):
            assert await shelves.post(name) == 200
        await shelves.check()
        assert (await roost.get("/", name="a"))["pid"] == pid, "it was the same host all the time"
        await roost.stop()
        await roost.start()
        await shelves.check()
        await roost.stop()


async def test_the_sender_of_a_message_that_could_not_be_stored_is_closed_with_1011(roost: Roost, disk: Disk) -> None:
    async with running(roost), entered(roost, "writer", "reader", path="/", name="a") as (writer, reader):
        kept: dict[str, int] = await keep(writer, 0)
        disk.fill()
        kept |= await keep_until_closed(writer)
        assert await writer.closed() == 1011
        await reader.send({"read": True})
        await reader.when(lambda: reader.heard, "what is kept")
        assert reader.heard == [{"kept": kept}]
        disk.free()
        kept |= await keep(reader, len(kept))
        assert (await roost.get("/", name="a"))["kept"] == kept


async def keep_until_closed(client: Client) -> dict[str, int]:
    """Have things stored until the connection ends; those that were acknowledged."""
    kept: dict[str, int] = {}
    with suppress(ClosedError):
        while True:
            kept |= await keep(client, 1 + len(kept))
    return kept


async def keep(client: Client, number: int) -> dict[str, int]:
    """Have something stored; its key and checksum."""
    before = len(client.heard)
    await client.send({"key": f"m{number:05}", "size": VALUE_BYTES})
    await client.when(lambda: len(client.heard) > before, "its being stored")
    return client.heard[before]


@pytest.mark.parametrize("way", ["kill the host", "kill everything", "stop"])
async def test_what_was_acknowledged_survives_an_end_on_a_full_disk(roost: Roost, disk: Disk, way: str) -> None:
    async with running(roost):
        shelves = Shelves(roost)
        for name in ("a", "b", "a", "b", "c"):
            assert await shelves.post(name) == 200
        disk.fill()
        for name in ("a", "b", "c"):
            assert await shelves.post_until_full(name) == 507
        if way == "kill the host":
            killed = await roost.kill("host 0")
            await roost.process("host 0", other_than=killed)
            disk.free()
        else:
            await (roost.stop() if way == "stop" else kill_everything(roost))
            disk.free()
            await roost.start()
        await shelves.check()
        for name in ("a", "b", "c", "d"):
            assert await shelves.post(name) == 200
        await shelves.check()
        await roost.stop()


@pytest.mark.parametrize("spare", [0, 8192])
async def test_a_start_on_a_full_disk_is_refused_with_a_reason_and_loses_nothing(
    roost: Roost, disk: Disk, spare: int
) -> None:
    async with running(roost):
        shelves = Shelves(roost)
        for name in ("a", "b", "a", "b"):
            assert await shelves.post(name) == 200
        await kill_everything(roost)
        disk.fill(spare)
        await refused(roost)
        disk.free()
        await roost.start()
        await shelves.check()
        await roost.stop()


@pytest.mark.parametrize("spare", [0, 8192])
async def test_a_first_start_on_a_full_disk_is_refused_with_a_reason(roost: Roost, disk: Disk, spare: int) -> None:
    async with running(roost, start=False):
        disk.fill(spare)
        await refused(roost)
        disk.free()
        await roost.start()
        await roost.stop()


async def refused(roost: Roost) -> None:
    """It does not start, and says why."""
    roost.launch()
    assert await roost.status() == 2, roost.log
    assert "no space left" in roost.err.lower()
    assert "Traceback" not in roost.err
    assert roost.out == ""


async def kill_everything(roost: Roost) -> None:
    everything = [*roost.processes(), roost.supervisor]
    for process in everything:
        process.kill()
    await roost.status()
    await roost.all_gone(everything)
