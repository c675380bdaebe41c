"""What the end-to-end tests talk to: rooms that number, store and pass on what they are told.

A message is JSON: `{"from": who, "n": number}` is stored and broadcast to everybody, the sender too, as
`{"seq": ..., "from": ..., "n": ...}`. `{"do": ...}` asks for something, and is answered to whoever asked.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from roost import DurableObject, DurableObjectState, Request, Response, WebSocket, WebSocketPair
from roost import WebSocketRequestResponsePair as Pair


class Book:
    """What was said in a room, in its storage."""

    def __init__(self, ctx: DurableObjectState) -> None:
        self.storage = ctx.storage
        self.count = 0

    async def load(self) -> None:
        self.count = await self.storage.get("count", 0)

    async def enter(self, said: dict[str, Any]) -> str:
        """Store it, and how everybody is told."""
        self.count += 1
        seq = self.count
        await self.storage.put({f"said/{said['from']}/{said['n']:06}": seq, "count": seq})
        return json.dumps({"seq": seq, "from": said["from"], "n": said["n"]} | _padding(said))

    async def report(self) -> dict[str, Any]:
        said = await self.storage.list(prefix="said/")
        closed = await self.storage.list(prefix="closed/")
        return {
            "pid": os.getpid(),
            "count": self.count,
            "said": {key.removeprefix("said/"): seq for key, seq in said.items()},
            "closed": {key.removeprefix("closed/"): how for key, how in closed.items()},
        }


class Room(DurableObject):
    """The hibernating way."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.book = Book(ctx)
        ctx.block_concurrency_while(self.book.load)

    async def fetch(self, request: Request) -> Response:
        if not request.is_upgrade:
            sockets = len(self.ctx.get_web_sockets())
            return Response.json(await self.book.report() | {"sockets": sockets})
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, request.query.get_all("tag"))
        server.serialize_attachment({"who": request.query.get("who")})
        if "pair" in request.query:
            self.ctx.set_web_socket_auto_response(Pair("ping", request.query["pair"]))
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        said = json.loads(message)
        if "do" in said:
            await getattr(self, f"do_{said['do']}")(ws, said)
        else:
            self.ctx.broadcast(await self.book.enter(said))

    async def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        await self.ended(ws, [code, was_clean])

    async def web_socket_error(self, ws: WebSocket, error: Exception) -> None:
        await self.ended(ws, str(error))

    async def ended(self, ws: WebSocket, how: object) -> None:
        who = ws.deserialize_attachment()["who"]
        before = await self.ctx.storage.get(f"closed/{who}", [])
        await self.ctx.storage.put(f"closed/{who}", [*before, how])

    async def do_about(self, ws: WebSocket, said: dict[str, Any]) -> None:
        """Everything that is kept with a socket."""
        pair = self.ctx.get_web_socket_auto_response()
        at = self.ctx.get_web_socket_auto_response_timestamp(ws)
        about = {
            "pid": os.getpid(),
            "tags": self.ctx.get_tags(ws),
            "attachment": ws.deserialize_attachment(),
            "pair": None if pair is None else [pair.request, pair.response],
            "answered": None if at is None else at.isoformat(),
            "tagged": {tag: len(self.ctx.get_web_sockets(tag)) for tag in self.ctx.get_tags(ws)},
        }
        ws.send(json.dumps(about))

    async def do_attach(self, ws: WebSocket, said: dict[str, Any]) -> None:
        ws.serialize_attachment(said["value"])
        ws.send(json.dumps({"attached": True}))

    async def do_tell(self, ws: WebSocket, said: dict[str, Any]) -> None:
        """To those with a tag alone."""
        self.ctx.broadcast(json.dumps({"told": said["what"]}), tag=said["tag"])

    async def do_hang(self, ws: WebSocket, said: dict[str, Any]) -> None:
        """A message that is never finished."""
        self.ctx.broadcast(json.dumps({"hangs": True}))
        await asyncio.get_running_loop().create_future()

    async def do_work(self, ws: WebSocket, said: dict[str, Any]) -> None:
        """A message that takes a while: finished once the file is there."""
        self.ctx.broadcast(json.dumps({"works": True}))
        while not os.path.exists(said["until"]):  # noqa: ASYNC110, ASYNC240 - it is set from outside of the process
            await asyncio.sleep(0.01)
        self.ctx.broadcast(await self.book.enter(said))


class ActiveRoom(DurableObject):
    """The active way."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.book = Book(ctx)
        self.sessions: list[WebSocket] = []
        ctx.block_concurrency_while(self.book.load)

    async def fetch(self, request: Request) -> Response:
        if not request.is_upgrade:
            return Response.json(await self.book.report() | {"sockets": len(self.sessions)})
        client, server = WebSocketPair()
        server.accept()
        self.sessions.append(server)

        async def on_message(event: Any) -> None:
            told = await self.book.enter(json.loads(event.data))
            for session in self.sessions:
                session.send(told)

        def on_close(event: Any) -> None:
            self.sessions.remove(server)

        server.add_event_listener("message", on_message)
        server.add_event_listener("close", on_close)
        return Response(None, status=101, web_socket=client)


def _padding(said: dict[str, Any]) -> dict[str, str]:
    """A message that is to be large."""
    return {"padding": "x" * said["size"]} if "size" in said else {}


async def fetch(request: Request, env: Any) -> Any:
    """`/room?name=x` and `/active?name=x`; anything else says which process answers."""
    name = request.query.get("name", "default")
    if request.path == "/room":
        return await env.ROOM.get_by_name(name).fetch(request)
    if request.path == "/active":
        return await env.ACTIVE_ROOM.get_by_name(name).fetch(request)
    return Response.json({"pid": os.getpid()})
