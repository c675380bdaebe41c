"""How fast is the link? Frames a second through a Unix socket between two processes, codec cost, round trip.

    python benchmarks/link.py [--seconds 1.5]

Prints one line per figure. SocketMessage frames of 64 bytes; a batch is what one turn of the loop sends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import uvloop

from roost.link import frames
from roost.link.frames import Frame, Hello, SocketMessage
from roost.link.session import Session, Side
from roost.link.stream import StreamConnection, connect_unix, serve_unix

PEER = Hello(frames.VERSION, "gateway", 0, 1)
OWNER = Hello(frames.VERSION, "host", 0, 2)
MESSAGE = SocketMessage((1 << 32) + 5, "x" * 64)
ECHO, FINISH = 1, 2  # socket numbers that ask the owner for an answer


def codec(batch: int, seconds: float) -> tuple[float, float]:
    """Microseconds a frame to encode and to decode."""
    sender, receiver = Session(Side.PEER, PEER), Session(Side.OWNER, OWNER)
    receiver.feed(bytes(sender.take()))
    encoding = decoding = 0.0
    count = 0
    while encoding + decoding < seconds:
        begin = time.perf_counter()
        for _ in range(batch):
            sender.put(MESSAGE)
        data = bytes(sender.take())
        middle = time.perf_counter()
        receiver.feed(data)
        decoding += time.perf_counter() - middle
        encoding += middle - begin
        count += batch
    return encoding / count * 1e6, decoding / count * 1e6


async def owner(path: str) -> None:
    """The other process: counts, and answers what asks for an answer."""
    gone: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def accepted(connection: StreamConnection) -> None:
        def on_frames(batch: list[Frame]) -> None:
            for frame in batch:
                if type(frame) is SocketMessage and frame.socket in (ECHO, FINISH):
                    connection.send(frames.Finished([frame.socket]))

        connection.start(on_frames, gone.set_result)

    server = await serve_unix(path, OWNER, accepted)
    print("ready", flush=True)
    await gone
    server.close()


class Peer:
    """The measuring end: sends, keeps to back-pressure, waits for answers."""

    def __init__(self, connection: StreamConnection) -> None:
        self.connection = connection
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.answer = asyncio.Event()
        connection.start(lambda _: self.answer.set(), lambda _: None, self._writable)

    def _writable(self, writable: bool) -> None:
        (self.may_write.set if writable else self.may_write.clear)()

    async def ask(self, socket: int) -> None:
        self.answer.clear()
        self.connection.send(SocketMessage(socket, "x" * 64))
        await self.answer.wait()

    async def throughput(self, batch: int, seconds: float) -> float:
        """Frames a second, counted until the owner has read them all."""
        await self.ask(FINISH)
        begin = time.perf_counter()
        sent = 0
        while time.perf_counter() - begin < seconds:
            for _ in range(batch):
                self.connection.send(MESSAGE)
            sent += batch
            await self.may_write.wait()
            await asyncio.sleep(0)
        await self.ask(FINISH)
        return sent / (time.perf_counter() - begin)

    async def round_trips(self, count: int) -> list[float]:
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            await self.ask(ECHO)
            times.append(time.perf_counter() - begin)
        return times


async def measure(path: str, seconds: float) -> None:
    peer = Peer(await connect_unix(path, PEER))
    await peer.answer.wait()
    for batch in (1, 16, 256):
        print(f"throughput  batch {batch:4}: {await peer.throughput(batch, seconds):12,.0f} frames/s")
    times = await peer.round_trips(3_000)
    quantiles = statistics.quantiles(times, n=100)
    print(f"round trip  p50 {quantiles[49] * 1e6:.0f} µs, p99 {quantiles[98] * 1e6:.0f} µs")
    peer.connection.close()
    await asyncio.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--owner", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.owner:
        uvloop.run(owner(options.owner))
        return
    print(f"python {platform.python_version()}, uvloop {importlib.metadata.version('uvloop')}, {os.cpu_count()} cores")
    for batch in (1, 16, 256):
        encode, decode = codec(batch, options.seconds / 3)
        print(f"codec       batch {batch:4}: encode {encode:.2f} µs, decode {decode:.2f} µs a frame")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "owner.sock")
        command = [sys.executable, __file__, "--owner", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            try:
                uvloop.run(measure(path, options.seconds))
            finally:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(2)
                child.kill()


if __name__ == "__main__":
    main()
