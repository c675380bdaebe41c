"""Clients for the examples: a page of the whiteboard without a browser, and a plain HTTP request."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect


@dataclass(frozen=True)
class Answer:
    """What came back for a GET."""

    status: int
    content_type: str
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


async def get(url: str) -> Answer:
    """GET, whatever the status of the answer."""
    return await asyncio.to_thread(_get, url)


def _get(url: str) -> Answer:
    try:
        answer = urllib.request.urlopen(url, timeout=30)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        return Answer(answer.status, answer.headers.get_content_type(), answer.read().decode())


class Page:
    """One client: what it says, and what it hears in order."""

    def __init__(self, socket: ClientConnection, client: str) -> None:
        self.socket = socket
        self.client = client
        self._seq = 0

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of this kind."""
        message = await self.listen()
        assert message["type"] == kind, f"expected {kind}, heard {message}"
        return message

    async def listen(self) -> dict[str, Any]:
        """The next message, of any kind."""
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def greet(self, name: str = "Ada", **known: Any) -> dict[str, Any]:
        """Say hello; the welcome, with the first page of strokes where one came. What was heard before is in it."""
        await self.say(type="hello", name=name, colour="blue", **known)
        while (welcome := await self.listen())["type"] != "welcome":
            continue
        if welcome["current"]:
            return welcome
        return welcome | {"page": await self.hear("strokes")}

    async def change(self, kind: str, **rest: Any) -> int:
        """Ask for a change; its number."""
        self._seq += 1
        await self.say(type=kind, client=self.client, seq=self._seq, **rest)
        return self._seq


@asynccontextmanager
async def page(url: str, room: str = "test", client: str = "") -> AsyncIterator[Page]:
    client = client or "c" * 20
    query = urlencode({"room": room, "client": client})
    async with connect(f"{url.replace('http', 'ws', 1)}/ws?{query}", max_size=2**25) as socket:
        yield Page(socket, client)


def stroke(number: int, **look: Any) -> dict[str, Any]:
    base = {"id": f"{number:020}", "tool": "pen", "colour": "ink", "width": 4, "points": [number, 0, 0.5, 9, 9, 0.5]}
    return base | look
