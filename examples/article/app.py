"""The whiteboard of the article, twice: once kept in memory by its sockets, once asleep between messages.

    roost dev examples/article/app.py

then connect any WebSocket client to /active?room=x or /hibernating?room=x and send JSON objects: each is merged into
the board of that room, stored, and sent to everyone else in it. A plain GET of the same address answers with the board.
"""

from __future__ import annotations

import json
from typing import Any

from roost import DurableObject, DurableObjectState, Request, Response, WebSocket, WebSocketPair


class WhiteboardRoom(DurableObject):
    """The active way: listeners and a list of sessions, which live as long as this object's memory."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.sessions: list[WebSocket] = []
        self.board: dict[str, Any] = {}

        async def load() -> None:
            self.board = await ctx.storage.get("board") or {}

        ctx.block_concurrency_while(load)

    async def fetch(self, request: Request) -> Response:
        if not request.is_upgrade:
            return Response.json(self.board)
        client, server = WebSocketPair()
        server.accept()
        self.sessions.append(server)

        async def on_message(event: Any) -> None:
            self.board.update(json.loads(event.data))
            await self.ctx.storage.put("board", self.board)
            for session in self.sessions:
                if session is not server:
                    session.send(event.data)

        def on_close(event: Any) -> None:
            self.sessions.remove(server)

        server.add_event_listener("message", on_message)
        server.add_event_listener("close", on_close)
        return Response(None, status=101, web_socket=client)


class HibernatingWhiteboardRoom(DurableObject):
    """The hibernating way: the sockets outlive this object's memory, which is built anew when a message comes."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.board: dict[str, Any] = {}

        async def load() -> None:
            self.board = await ctx.storage.get("board") or {}

        ctx.block_concurrency_while(load)

    async def fetch(self, request: Request) -> Response:
        if not request.is_upgrade:
            return Response.json(self.board)
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["room-tag"])
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        self.board.update(json.loads(message))
        await self.ctx.storage.put("board", self.board)
        for s in self.ctx.get_web_sockets("room-tag"):
            if s is not ws:
                s.send(message)

    async def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        print(f"a client left the board: {code} {reason!r}")

    async def web_socket_error(self, ws: WebSocket, error: Exception) -> None:
        print(f"a socket failed: {error!r}")


async def fetch(request: Request, env: Any) -> Any:
    """The entrypoint: the path chooses the way, the query names the room."""
    name = request.query.get("room", "default")
    path = request.path
    if path == "/active":
        id = env.WHITEBOARD_ROOM.id_from_name(name)  # noqa: A001 - named as in the article
        stub = env.WHITEBOARD_ROOM.get(id)
        return await stub.fetch(request)
    if path == "/hibernating":
        return await env.HIBERNATING_WHITEBOARD_ROOM.get_by_name(name).fetch(request)
    return Response("There is a board at /active?room=x and at /hibernating?room=x.\n", status=404)
