"""A counter that everybody who looks at the page shares: one object per name, `/?name=lobby`."""

from __future__ import annotations

from roost import DurableObject, Env, Request, Response, Stub, WebSocket, WebSocketPair


class Counter(DurableObject):
    """One counter. It sleeps whenever nothing happens, with every socket open."""

    async def fetch(self, request: Request) -> Response:
        if request.headers.get("upgrade", "").lower() != "websocket":
            return Response.json({"count": await self.ctx.storage.get("count", 0)})
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        server.send_json({"count": await self.ctx.storage.get("count", 0)})
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        if message not in ("up", "down"):
            ws.send_json({"error": "expected `up` or `down`"})
            return
        count = await self.ctx.storage.get("count", 0) + (1 if message == "up" else -1)
        await self.ctx.storage.put("count", count)
        for socket in self.ctx.get_web_sockets():
            socket.send_json({"count": count})


async def fetch(request: Request, env: Env) -> Response:
    """What is no file in `static` comes here."""
    if request.path != "/counter":
        return Response("There is a page at / and a counter at /counter.\n", status=404)
    name = request.query.get("name", "lobby")
    counter: Stub = env.COUNTER.get_by_name(name)
    return await counter.fetch(request)
