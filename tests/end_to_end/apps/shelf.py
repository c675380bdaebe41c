"""Objects that keep bytes under a key: `POST /?name=x&key=k`, or the message `{"key": ..., "size": ...}`.

`GET /?name=x` tells the keys, each with a checksum of what is kept there.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

from roost import DurableObject, Request, Response, WebSocket, WebSocketPair


class Shelf(DurableObject):
    async def fetch(self, request: Request) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        if request.method == "POST":
            return Response.json(await self.keep(request.query["key"], await request.bytes()))
        return Response.json({"pid": os.getpid(), "kept": await self.kept()})

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        asked = json.loads(message)
        if "key" in asked:
            ws.send(json.dumps(await self.keep(asked["key"], os.urandom(asked["size"]))))
        else:
            ws.send(json.dumps({"kept": await self.kept()}))

    async def keep(self, key: str, value: bytes) -> dict[str, int]:
        await self.ctx.storage.put(key, value)
        return {key: zlib.crc32(value)}

    async def kept(self) -> dict[str, int]:
        return {key: zlib.crc32(value) for key, value in (await self.ctx.storage.list()).items()}


async def fetch(request: Request, env: Any) -> Any:
    return await env.SHELF.get_by_name(request.query["name"]).fetch(request)
