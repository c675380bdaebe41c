"""Each path is an object, which says again what it hears."""

from __future__ import annotations

from urllib.parse import urlsplit

from roost import DurableObject, Request, Response, WebSocket, WebSocketPair


class Echo(DurableObject):
    async def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(message)


async def fetch(request: Request, env: object) -> Response:
    name = urlsplit(request.url).path
    return await env.ECHO.get_by_name(name).fetch(request)  # type: ignore[attr-defined,no-any-return]
