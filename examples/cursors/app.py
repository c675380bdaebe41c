"""Cursors of everybody in a room, sixty times a second: sent at once, stored every few seconds.

    roost dev examples/cursors/app.py

and open the address that it prints twice, side by side. The page is at /?room=x; where everybody was last, after a
restart too, answers /where?room=x.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from roost import AlarmInfo, DurableObject, DurableObjectState, Request, Response, WebSocket, WebSocketPair, WriteBehind

STORED_EVERY_SECONDS = 5
FORGOTTEN_AFTER = timedelta(days=1)

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Cursors</title>
<style>
  body { margin: 0; height: 100vh; overflow: hidden; font: 14px system-ui; background: #fbfaf7; cursor: crosshair }
  p { position: absolute; margin: 0; pointer-events: none; white-space: nowrap }
  p::before { content: "\\25B2"; display: inline-block; transform: rotate(-30deg); margin-right: .3em }
</style>
<body>
<script>
  const name = prompt("Your name?") || "somebody"
  const query = new URLSearchParams({ room: new URLSearchParams(location.search).get("room") || "default", name })
  const labels = {}
  function move(who, x, y) {
    const label = labels[who] ??= document.body.appendChild(document.createElement("p"))
    label.textContent = who
    label.style.left = x * 100 + "%"
    label.style.top = y * 100 + "%"
  }
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/socket?${query}`)
  socket.onmessage = event => Object.entries(JSON.parse(event.data)).forEach(([who, [x, y]]) => move(who, x, y))
  let next = null
  addEventListener("pointermove", event => {
    if (!next) requestAnimationFrame(() => { socket.send(JSON.stringify(next)); next = null })
    next = [event.clientX / innerWidth, event.clientY / innerHeight]
  })
</script>
"""


class CursorRoom(DurableObject):
    """Where everybody points. A position is kept in memory and stored now and then; nothing waits for that."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.cursors = WriteBehind(ctx, prefix="cursor:", seconds=STORED_EVERY_SECONDS)

    async def fetch(self, request: Request) -> Response:
        if not request.is_upgrade:
            return Response.json(dict(self.cursors))
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, [request.query.get("name", "somebody")])
        server.send(json.dumps(dict(self.cursors)))
        await self.ctx.storage.delete_alarm()
        return Response(None, status=101, web_socket=client)

    def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        name = ws.tags[0]
        x, y = json.loads(message)
        self.cursors[name] = [float(x), float(y)]
        self.ctx.broadcast(json.dumps({name: [x, y]}), exclude=ws)

    async def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        if not [other for other in self.ctx.get_web_sockets(open_only=True) if other is not ws]:
            await self.ctx.storage.set_alarm(FORGOTTEN_AFTER)

    async def alarm(self, info: AlarmInfo) -> None:
        """Nobody has been here for a day."""
        self.cursors.clear()
        await self.ctx.storage.delete_all()


async def fetch(request: Request, env: Any) -> Response:
    """The entrypoint: the page, and the way to its room."""
    if request.path == "/":
        return Response(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
    if request.path not in ("/socket", "/where"):
        return Response("There is a page at /?room=x.\n", status=404)
    answer: Response = await env.CURSOR_ROOM.get_by_name(request.query.get("room", "default")).fetch(request)
    return answer
