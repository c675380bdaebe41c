"""Counters: `POST /?name=x` counts, and keeps a row for each count; `GET /?name=x` tells the count and the rows."""

from __future__ import annotations

from typing import Any

from roost import DurableObject, Request, Response


class Counter(DurableObject):
    async def fetch(self, request: Request) -> Response:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS counts (n INTEGER PRIMARY KEY, filler BLOB)")
        count = await self.ctx.storage.get("count", 0)
        if request.method == "POST":
            count += 1
            await self.ctx.storage.put("count", count)
            sql.exec("INSERT INTO counts VALUES (?, randomblob(2000))", count)
        return Response.json({"count": count, "rows": sql.exec("SELECT count(*) AS n FROM counts").one()["n"]})


async def fetch(request: Request, env: Any) -> Any:
    return await env.COUNTER.get_by_name(request.query["name"]).fetch(request)
