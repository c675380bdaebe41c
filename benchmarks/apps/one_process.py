"""Serve an app with gateway and host in one process: `python one_process.py APP --port 0 --data DIR`."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

import roost


async def serve(app: str, port: int, data: str) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with roost.serve(app, port=port, data=data) as server:
        print(server.url, flush=True)
        await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", required=True)
    given = parser.parse_args()
    uvloop.run(serve(given.app, given.port, given.data))
