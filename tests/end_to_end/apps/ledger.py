"""An object that numbers, stores and tells everybody each message it gets; the clients of the tests count.

Messages are JSON: `{"client": "a", "n": 1}`. Everybody hears `{"seq": 7, "client": "a", "n": 1, "generation": 2}`
once it is stored. `{"hold": true}` never ends; `{"slow": 0.3, ...}` takes so long first.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from roost import DurableObject, Response, WebSocketPair


class Ledger(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.generation = 0
        self.seq = 0

        async def load() -> None:
            self.generation = await ctx.storage.get("generation", 0) + 1
            await ctx.storage.put("generation", self.generation)
            self.seq = await ctx.storage.get("seq", 0)

        ctx.block_concurrency_while(load)

    async def fetch(self, request: Any) -> Response:
        if request.headers.get("upgrade", "").lower() == "websocket":
            return self.accept(request)
        if "stored" in request.url:
            stored = await self.ctx.storage.list(prefix="m:")
            return Response.json({"stored": list(stored.values()), "generation": self.generation})
        count = await self.ctx.storage.get("count", 0) + 1
        await self.ctx.storage.put("count", count)
        return Response.json({"pid": os.getpid(), "generation": self.generation, "count": count})

    def accept(self, request: Any) -> Response:
        client, server = WebSocketPair()
        if request.query.get("active"):
            server.accept()
            server.add_event_listener("message", lambda event: server.send(event.data))
        else:
            self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: str | bytes) -> None:
        told = json.loads(message)
        if told.get("hold"):
            ws.send_json({"holding": True})
            await asyncio.get_running_loop().create_future()
        if told.get("slow"):
            ws.send_json({"slow": True})
            await asyncio.sleep(told["slow"])
        self.seq += 1
        entry = {"seq": self.seq, "client": told["client"], "n": told["n"], "generation": self.generation}
        await self.ctx.storage.put({"seq": self.seq, f"m:{self.seq:08}": entry})
        self.ctx.broadcast(json.dumps(entry))


async def fetch(request: Any, env: Any) -> Response:
    response: Response = await env.LEDGER.get_by_name(request.query.get("name", "x")).fetch(request)
    return response
