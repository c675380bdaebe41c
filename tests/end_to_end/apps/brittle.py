"""Objects that count, and one that breaks the journal of its host: `POST /?name=x`, `GET /?name=x`, `POST /break`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from roost import DurableObject, Request, Response, WebSocketPair


class Counter(DurableObject):
    async def fetch(self, request: Request) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        count = await self.ctx.storage.get("count", 0)
        if request.method == "POST":
            count += 1
            await self.ctx.storage.put("count", count)
        return Response.json({"count": count, "pid": os.getpid()})

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(f"{await self.ctx.storage.get('count', 0)}")


def break_journal() -> None:
    """From now on each write to the journal fails, as on a disk that is gone."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if "/journal-" in os.readlink(f"/proc/self/fd/{name}"):
                os.dup2(nothing, int(name))


async def fetch(request: Request, env: Any) -> Any:
    if request.path == "/break":
        break_journal()
        return Response("broken\n")
    return await env.COUNTER.get_by_name(request.query["name"]).fetch(request)
