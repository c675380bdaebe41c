"""What the storm talks to: registers that count their changes, each kept in one of several ways.

POST `["write", value]`, `["read"]` or `["swap", expected, value]` to /NAME; the answer is `[value, changes, swapped]`.
Every change is also told to the WebSockets of the register, as `changes`. The first letter of the name says how it is
kept. `["alarm", key, milliseconds]` sets an alarm and answers when it is due; GET /NAME tells which alarms rang, when
they were due and when they rang first.
"""

from __future__ import annotations

import json
import time
from typing import Any

from roost import AlarmInfo, DurableObject, DurableObjectState, Env, Request, Response, WebSocket, WebSocketPair


class Register(DurableObject):
    """Value and number of changes are two writes of one turn: they must never be seen apart."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.kept = KEPT[str(ctx.id.name)[0]](ctx)

    async def fetch(self, request: Request) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(None, status=101, web_socket=client)
        if request.method == "GET":
            return Response.json(await self.ctx.storage.get("rang", {}))
        return Response.json(await self.do(*await request.json()))

    async def alarm(self, info: AlarmInfo) -> None:
        rang = await self.ctx.storage.get("rang", {})
        rang.setdefault(info.key, [info.scheduled_time, _now_ms()])
        await self.ctx.storage.put("rang", rang)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(json.dumps(await self.do(*json.loads(message))))

    async def do(self, what: str, *values: Any) -> list[Any]:
        if what == "alarm":
            due = _now_ms() + values[1]
            await self.ctx.storage.set_alarm(due, key=values[0])
            return [due]
        value, changes = await self.kept.read()
        if what == "read":
            return [value, changes, False]
        if what == "swap" and value != values[0]:
            return [value, changes, False]
        await self.kept.write(values[-1], changes + 1)
        self.ctx.broadcast(str(changes + 1))
        return [values[-1], changes + 1, what == "swap"]


class InKeys:
    """As two keys."""

    def __init__(self, ctx: DurableObjectState) -> None:
        self.storage = ctx.storage

    async def read(self) -> tuple[Any, int]:
        return await self.storage.get("value"), await self.storage.get("changes", 0)

    async def write(self, value: Any, changes: int) -> None:
        await self.storage.put("value", value)
        await self.storage.put("changes", changes)


class InTransaction(InKeys):
    """As two keys, with an await between them that lets nothing in."""

    async def write(self, value: Any, changes: int) -> None:
        async def both() -> None:
            await self.storage.put("value", value)
            await self.storage.put("changes", changes)

        await self.storage.transaction(both)


class InRows:
    """As a log of changes in a table, the last row of which is the value."""

    def __init__(self, ctx: DurableObjectState) -> None:
        self.sql = ctx.storage.sql
        self.sql.exec("CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY, value TEXT)")

    async def read(self) -> tuple[Any, int]:
        rows = self.sql.exec("SELECT value, number FROM change ORDER BY number DESC LIMIT 1").to_array()
        return (rows[0]["value"], rows[0]["number"]) if rows else (None, 0)

    async def write(self, value: Any, changes: int) -> None:
        self.sql.exec("INSERT INTO change VALUES (?, ?)", changes, value)
        self.sql.exec("DELETE FROM change WHERE number < ?", changes - 20)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


KEPT: dict[str, Any] = {"k": InKeys, "t": InTransaction, "r": InRows}


async def fetch(request: Request, env: Env) -> Response:
    answer: Response = await env.REGISTER.get_by_name(request.path.strip("/")).fetch(request)
    return answer
