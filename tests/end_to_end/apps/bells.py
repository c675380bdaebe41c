"""Objects that set alarms: `/set?bell=x&in=500` (in ms), `/set_many?count=100&in=500&within=2000`, `/rung?bell=x`.

Every run of an alarm is a line in the file that BELLS_WITNESS names, written before anything is stored: that shows runs
whose outcome was lost too. What the object has stored is what it stands by.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from roost import DurableObject, Response


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def write_down(line: str) -> None:
    with open(os.environ["BELLS_WITNESS"], "ab", buffering=0) as witness:
        witness.write(f"{line}\n".encode())


def mended() -> bool:
    return os.path.exists(os.environ["BELLS_WITNESS"] + ".mended")


class Bell(DurableObject):
    async def fetch(self, request: Any) -> Response:
        if request.path == "/set":
            due = now_ms() + int(request.query["in"])
            await self.ctx.storage.set_alarm(due)
            await self.ctx.storage.put("set", due)
            return Response.json({"due": due})
        storage = self.ctx.storage
        rung, due = await storage.get("rung", []), await storage.get("set")
        return Response.json({"rung": rung, "set": due, "pid": os.getpid(), "alarm": await storage.get_alarm()})

    async def alarm(self, info: Any) -> None:
        told = {"bell": self.ctx.id.name, "at": now_ms(), "due": await self.ctx.storage.get("set"), "pid": os.getpid()}
        write_down(json.dumps(told))
        if str(self.ctx.id.name).startswith("fails") and not mended():
            raise ValueError("it is cracked")
        if str(self.ctx.id.name).startswith("hangs"):
            await asyncio.Event().wait()
        await self.ctx.storage.put("rung", [*await self.ctx.storage.get("rung", []), told["at"]])


async def fetch(request: Any, env: Any) -> Any:
    if request.path == "/set_many":
        count, first, within = (int(request.query[name]) for name in ("count", "in", "within"))
        answers = await asyncio.gather(
            *(
                env.BELL.get_by_name(f"many {number}").fetch(f"http://x/set?in={first + within * number // count}")
                for number in range(count)
            )
        )
        return Response.json([(await answer.json())["due"] for answer in answers])
    return await env.BELL.get_by_name(request.query["bell"]).fetch(request)
