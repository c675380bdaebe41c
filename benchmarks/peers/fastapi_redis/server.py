"""The peer: FastAPI with Redis, as rooms are built today: a process for the sockets, Redis for what they share.

    python benchmarks/peers/fastapi_redis/server.py redis.sock

The path says what a room does with a message, as in ../bare/bare.c. What is for others goes to Redis as PUBLISH, and
what comes back from the channel is sent to the members. What is stored is one transaction of SET and PUBLISH; with
`appendfsync always` Redis syncs its file before it tells anybody, the subscribers included. A count is an INCR.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection

CONNECTIONS = 64
"""Transactions under way at once; the others wait for a connection."""

redis = Redis(
    connection_pool=BlockingConnectionPool(
        CONNECTIONS, timeout=60, connection_class=UnixDomainSocketConnection, path=sys.argv[1]
    )
)
rooms: defaultdict[str, dict[str, WebSocket]] = defaultdict(dict)


async def listen() -> None:
    """Hand on what any process published, to the members that this one has."""
    async with redis.pubsub() as channel:
        await channel.psubscribe("*")
        async for event in channel.listen():
            if event["type"] == "pmessage":
                sender, _, message = event["data"].decode().partition(" ")
                members = rooms[event["channel"].decode()]
                for name, member in list(members.items()):
                    if name != sender:
                        await member.send_text(message)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    listener = asyncio.create_task(listen())
    yield
    listener.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/count")
async def count(room: str) -> Response:
    return Response(str(await redis.incr(f"count {room}")))


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_text(await socket.receive_text())


@app.websocket("/broadcast")
async def broadcast(socket: WebSocket, room: str) -> None:
    async with membership(socket, room) as name:
        while True:
            await redis.publish(room, f"{name} {await socket.receive_text()}")


@app.websocket("/storing")
async def storing(socket: WebSocket, room: str) -> None:
    async with membership(socket, room) as name:
        while True:
            message = await socket.receive_text()
            async with redis.pipeline(transaction=True) as commands:
                await commands.set(room, message).publish(room, f"{name} {message}").execute()


@contextlib.asynccontextmanager
async def membership(socket: WebSocket, room: str) -> AsyncIterator[str]:
    """In the room until the client goes; the member's name."""
    await socket.accept()
    name = str(id(socket))
    rooms[room][name] = socket
    try:
        yield name
    except WebSocketDisconnect:
        pass
    finally:
        del rooms[room][name]


class Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: list[object] | None = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        print(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}", flush=True)


if __name__ == "__main__":
    settings = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        backlog=1024,
    )
    Server(settings).run()
