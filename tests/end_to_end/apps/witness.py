"""Objects that write down, outside of roost, when they live: lines appended to the file that WITNESS names.

A line is `id life generation what`. Appending is atomic, so the file has the true order of what all processes did.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from typing import Any

from roost import DurableObject, DurableObjectState, Request, Response, WebSocket, WebSocketPair

FILE = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
BEATS = 4
"""After a call, unless its query asks for another number."""
BEAT_SECONDS = 0.005


class Witness(DurableObject):
    """Counts its calls, and goes on a little after each, so that it is always in the middle of something."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.life = uuid.uuid4().hex[:12]
        self.generation = self.count = self.beats_left = 0
        ctx.block_concurrency_while(self.begin)

    async def begin(self) -> None:
        self.count = await self.ctx.storage.get("count", 0)
        self.generation = await self.ctx.storage.get("generation", 0) + 1
        await self.ctx.storage.put("generation", self.generation)
        await self.ctx.storage.sync()  # what is written outside does not wait at the output gate
        self.note("begin")

    def note(self, what: str) -> None:
        os.write(FILE, f"{self.ctx.id} {self.life} {self.generation} {what}\n".encode())

    async def fetch(self, request: Request) -> Response:
        if other := request.query.get("through"):
            return await self.pass_on(request, other)
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        return Response.json(await self.step(int(request.query.get("beats", BEATS))))

    async def pass_on(self, request: Request, other: str) -> Response:
        """To another object, which may live in another process; the answer is its own, and says who passed it on."""
        target = f"http://object/?name={other}"
        answer: Response = await self.env.WITNESS.get_by_name(other).fetch(target, request)
        if request.is_upgrade:
            return answer
        return Response.json({"passed_on_by": os.getpid()} | await answer.json())

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(json.dumps(await self.step() | {"said": str(message)}))

    async def step(self, beats: int = BEATS) -> dict[str, Any]:
        self.count += 1
        await self.ctx.storage.put("count", self.count)
        self.note("step")
        if not self.beats_left:
            self.ctx.wait_until(self.beat())
        self.beats_left = max(beats, self.beats_left)
        return {"pid": os.getpid(), "generation": self.generation, "life": self.life, "count": self.count}

    async def beat(self) -> None:
        while self.beats_left:
            await asyncio.sleep(BEAT_SECONDS)
            self.beats_left -= 1
            self.note("beat")


async def fetch(request: Request, env: Any) -> Any:
    return await env.WITNESS.get_by_name(request.query.get("name", "x")).fetch(request)
