"""Park and wake a crowd of sockets at random for a long time: `python -m tests.crash.soak_sockets --minutes 10`.

Each client says numbered things, alone or several in a row, whole or cut in the middle, and must hear each of them
again, in order. Some leave, with a Close frame, an end or a reset, and others take their place. In the end all are
silent: the gateway must have one descriptor for each and a few, and no more memory than after the first quarter, but
for a tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import struct
import tempfile
import time
from pathlib import Path
from random import Random

from tests.end_to_end.running import Roost, chance, resident_bytes, running
from tests.gateway.raw_client import TEXT, RawClient, close_frame, frame, handshake

APP = Path(__file__).parent / "apps" / "echo.py"
LIMITS = {"park_seconds": 0.5, "idle_seconds": 0.5, "ping_seconds": 86_400}  # clients here read when they speak
PER_ROOM = 5
AT_ONCE = 50
GROWTH_MAX = 1.1
SPARE = 8
"""Descriptors that come with the first clients: links to hosts, the set of those that are parked."""


class Voice:
    """One client."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.said = 0

    async def say(self, choice: Random) -> None:
        """Something, and hear it again."""
        first, self.said = self.said, self.said + choice.choice((1, 1, 1, 2, 20))
        texts = [b"%d %s" % (n, b"x" * choice.choice((0, 100, 5_000))) for n in range(first, self.said)]
        data = b"".join(frame(TEXT, text) for text in texts)
        cut = choice.choice((0, choice.randrange(len(data))))
        self.client.send(data[:cut])
        await asyncio.sleep(choice.choice((0, 0, 0.01)))
        self.client.send(data[cut:])
        for text in texts:
            heard = await self.client.frame()
            assert heard == (TEXT, text), f"{text[:20]!r} was said and {heard!r} heard"

    async def leave(self, choice: Random) -> None:
        how = choice.choice(("close", "end", "reset"))
        if how == "close":
            self.client.send(close_frame(1000))
            await self.client.closed_with()
        elif how == "reset":
            own = self.client.writer.get_extra_info("socket")
            with socket.socket(fileno=os.dup(own.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.writer.transport.abort()


class Crowd:
    """All clients of one gateway."""

    def __init__(self, roost: Roost, choice: Random, size: int) -> None:
        self.roost = roost
        self.choice = choice
        self.size = size
        self.voices: list[Voice] = []
        self.came = 0

    async def fill(self) -> None:
        while len(self.voices) < self.size:
            number = min(AT_ONCE, self.size - len(self.voices))
            self.voices += await asyncio.gather(*[self._enter() for _ in range(number)])

    async def _enter(self) -> Voice:
        self.came += 1
        client = await RawClient.connect(self.roost.port)
        client.send(handshake(f"/{self.came // PER_ROOM}"))
        assert (await client.answer()).status == 101
        return Voice(client)

    async def round(self) -> None:
        """Some speak, some leave, others come, and for a moment nobody does anything."""
        some = self.choice.sample(self.voices, min(self.size, 2 * AT_ONCE))
        await asyncio.gather(*[voice.say(self.choice) for voice in some])
        leaving = set(some[: len(some) // 10])
        await asyncio.gather(*[voice.leave(self.choice) for voice in leaving])
        self.voices = [voice for voice in self.voices if voice not in leaving]
        await self.fill()
        await asyncio.sleep(self.choice.choice((0, 0.1, 1)))

    async def end(self) -> None:
        for voice in self.voices:
            voice.client.writer.transport.abort()

    # -- what the gateway holds ------------------------------------------------------------------------------------

    async def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{(await self.roost.process('gateway 0')).pid}/fd"))

    async def resident(self) -> int:
        return resident_bytes((await self.roost.process("gateway 0")).pid)


async def soak(crowd: Crowd, seconds: float) -> str | None:
    """What leaks; None when nothing does."""
    began, before = time.monotonic(), await crowd.descriptors()
    await crowd.fill()
    rounds, quarter = 0, 0
    while (passed := time.monotonic() - began) < seconds:
        await crowd.round()
        rounds += 1
        if not quarter and passed > seconds / 4:
            await asyncio.sleep(5)  # parked, and the heap given back
            quarter = await crowd.resident()
        if rounds % 20 == 0:
            print(f"{passed:.0f} s, {rounds} rounds, {crowd.came} came: {await held(crowd)}", flush=True)
    await asyncio.sleep(5)
    files, resident = await crowd.descriptors(), await crowd.resident()
    print(f"at the end: {await held(crowd)}, {quarter // 1024} KiB after a quarter of the time", flush=True)
    return find_leak(files, before + crowd.size + SPARE, resident, quarter)


def find_leak(files: int, files_max: int, resident: int, quarter: int) -> str | None:
    """What leaks, of what was held in the end, and after a quarter of the time."""
    if files > files_max:
        return f"{files} descriptors, where {files_max} would do"
    if quarter and resident > quarter * GROWTH_MAX:
        return f"{resident} bytes, and {quarter} after a quarter of the time"
    return None


async def held(crowd: Crowd) -> str:
    return f"{await crowd.resident() // 1024} KiB, {await crowd.descriptors()} descriptors"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sockets", type=int, default=10_000)
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        async with running(Roost(Path(directory), APP, limits=LIMITS)) as roost:
            crowd = Crowd(roost, chance(), chosen.sockets)
            leak = await soak(crowd, chosen.minutes * 60)
            await crowd.end()
    if leak is not None:
        raise SystemExit(f"a leak: {leak}")


if __name__ == "__main__":
    asyncio.run(main())
