"""Objects that remember one word, know the points of their past, and go back to any of them."""

from __future__ import annotations

import secrets
from typing import Any

from roost import DurableObject, Request, Response


class Notebook(DurableObject):
    async def fetch(self, request: Request) -> Response:
        do, storage = request.query.get("do", "read"), self.ctx.storage
        if do == "write":
            await storage.put("word", request.query["word"])
            return Response.json({"bookmark": await storage.get_current_bookmark()})
        if do == "alarm":
            await storage.set_alarm(int(request.query["when"]))
        if do == "at":
            return Response.json({"bookmark": await storage.get_bookmark_for_time(int(request.query["time"]))})
        if do == "restore":
            undo = await storage.on_next_session_restore_bookmark(request.query["bookmark"])
            await storage.put("undo", undo)  # is gone with the rest: what was told to the client is what leads back
            return Response.json({"undo": undo})
        if do == "abort":
            self.ctx.abort("to begin with the past")
        if do == "fill":
            for number in range(int(request.query["count"])):
                await storage.put(f"filler {number % 50}", secrets.token_hex(400))
                await storage.sync()
        word, alarm = await storage.get("word"), await storage.get_alarm()
        return Response.json({"word": word, "alarm": alarm, "bookmark": await storage.get_current_bookmark()})

    async def alarm(self, info: Any) -> None:
        await self.ctx.storage.put("rang", True)


async def fetch(request: Request, env: Any) -> Response:
    response: Response = await env.NOTEBOOK.get_by_name(request.query.get("name", "n")).fetch(request)
    return response
