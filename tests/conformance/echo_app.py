"""What conformance suites talk to: an object whose every WebSocket hears what it says, through a gateway and a host."""

from __future__ import annotations

from typing import Any

from roost import DurableObject, Request, Response, WebSocket, WebSocketPair


class Echo(DurableObject):
    async def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(message)


async def fetch(request: Request, env: Any) -> Any:
    return await env.ECHO.get_by_name("echo").fetch(request)
