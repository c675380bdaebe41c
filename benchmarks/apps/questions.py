"""The objects that the benchmarks ask: /Class?room=x is the socket of an object of that class."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from roost import DurableObject, Response, WebSocketPair


class Held(DurableObject):
    """Accepts every client for hibernation; what a message does is the subclass's affair."""

    async def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)


class Echo(Held):
    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)


class Broadcast(Held):
    """One call for the whole room."""

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        self.ctx.broadcast(message, exclude=ws)


class Loop(Held):
    """The same, as a loop over the sockets."""

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        for other in self.ctx.get_web_sockets():
            if other is not ws:
                other.send(message)


class Storing(Held):
    """Stores each message before anybody sees it."""

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        await self.ctx.storage.put("last", message)
        self.ctx.broadcast(message, exclude=ws)


class Noting(Held):
    """Stores each message before it answers."""

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        await self.ctx.storage.put("last", message)
        ws.send(message)


class Count(DurableObject):
    """Answers each request with how many it has had."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.count = 0

    async def fetch(self, request: Any) -> Response:
        self.count += 1
        return Response(str(self.count))


class Sleeper(Held):
    """Says before its echo whether it has just been built: `1` for the first message of an activation, `0` after."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.fresh = "1"
        self.stored = 0

        async def load() -> None:
            self.stored = await ctx.storage.get("count", 0)

        ctx.block_concurrency_while(load)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        ws.send(self.fresh + message)
        self.fresh = "0"


async def fetch(request: Any, env: Any) -> Response:
    binding = urlsplit(request.url).path.strip("/").upper()
    if binding not in env:
        return Response("the path must name a class, in any case\n", status=404)
    return await env[binding].get_by_name(request.query.get("room", "0")).fetch(request)
