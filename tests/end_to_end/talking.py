"""Clients that number what they say, keep what they hear, and know afterwards what must be true of it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from .running import PATIENCE, Roost, until


class ClosedError(AssertionError):
    """The connection ended while something was still expected of it."""


class Client:
    """One WebSocket, from its opening to its end."""

    def __init__(self, who: str, connection: ClientConnection) -> None:
        self.who = who
        self.said = 0
        self.heard: list[dict[str, Any]] = []
        self.texts: list[str] = []
        """Messages that are no JSON: automatic answers."""
        self.code: int | None = None
        """With which code it was closed; None while it is open."""
        self.connection = connection
        self._changed = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @property
    def port(self) -> int:
        """Of this end of the connection."""
        return int(self.connection.local_address[1])

    @property
    def is_open(self) -> bool:
        return self.code is None

    async def say(self, **extra: Any) -> int:
        """Say the next number; it."""
        self.said += 1
        await self.send({"from": self.who, "n": self.said} | extra)
        return self.said

    async def send(self, message: dict[str, Any] | str) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have something done; the answer, which is the next thing heard that is no message of somebody."""
        before = len(self.answers)
        await self.send({"do": do} | what)
        await self.when(lambda: len(self.answers) > before, f"the answer to {do}")
        return self.answers[before]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [message for message in self.heard if "seq" not in message]

    @property
    def heard_seqs(self) -> list[int]:
        return [message["seq"] for message in self.heard if "seq" in message]

    @property
    def acknowledged(self) -> dict[int, int]:
        """The numbers that came back, and how the room numbered them."""
        return {m["n"]: m["seq"] for m in self.heard if m.get("from") == self.who and "seq" in m}

    async def echo(self) -> int:
        """Say something, and wait until it has come back; how the room numbered it."""
        number = await self.say()
        await self.when(lambda: number in self.acknowledged, f"{self.who}'s message {number}")
        return self.acknowledged[number]

    async def when(self, happened: Any, what: str) -> None:
        """Wait until it is true; fails when the connection ends before."""
        async with asyncio.timeout(PATIENCE):
            while not happened():
                if not self.is_open:
                    raise ClosedError(f"{self.who} was closed with {self.code} while it waited for {what}")
                self._changed.clear()
                await self._changed.wait()

    async def closed(self) -> int:
        """The code with which it was closed, once it is."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self._listening)
        assert self.code is not None, "the end of listening is the end of the connection"
        return self.code

    async def close(self) -> None:
        await self.connection.close()
        await self._listening

    async def _listen(self) -> None:
        try:
            async for message in self.connection:
                assert isinstance(message, str)
                if message.startswith("{"):
                    self.heard.append(json.loads(message))
                else:
                    self.texts.append(message)
                self._changed.set()
        except ConnectionClosed:
            pass  # the code tells
        await self.connection.wait_closed()
        self.code = self.connection.close_code
        self._changed.set()

    # -- what must be true -----------------------------------------------------------------------------------------

    def check_order(self) -> None:
        """Nothing came twice or out of order, neither the room's numbers nor anybody's own."""
        assert _rises(self.heard_seqs), (self.who, self.heard_seqs)
        last: dict[str, int] = {}
        for message in self.heard:
            if "seq" in message:
                assert message["n"] > last.get(message["from"], 0), (self.who, message, last)
                last[message["from"]] = message["n"]

    def check_stored(self, said: dict[str, int]) -> None:
        """All that was heard is stored as it was heard: nothing left the room before it was durable."""
        for message in self.heard:
            if "seq" in message:
                key = f"{message['from']}/{message['n']:06}"
                assert said.get(key) == message["seq"], (self.who, key, message, said.get(key))


def _rises(numbers: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(numbers))


async def enter(roost: Roost, who: str, path: str = "/room", **query: Any) -> Client:
    """Join a room; `query` may hold lists."""
    address = f"{roost.url.replace('http', 'ws', 1)}{path}?{urlencode({'who': who} | query, doseq=True)}"
    connection = await connect(
        address, compression=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=PATIENCE, max_queue=None
    )
    return Client(who, connection)


@asynccontextmanager
async def entered(roost: Roost, *names: str, path: str = "/room", **query: Any) -> AsyncIterator[list[Client]]:
    """Some clients, who leave at the end."""
    clients = [await enter(roost, who, path, **query) for who in names]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()


class Talker:
    """Talks without end, and comes back as another whenever it was closed with 1012, or another of `codes`.

    `retries`: it may be told to come again a moment later, since a handshake that one host had passed on to another
    is not repeated when that one dies.
    """

    def __init__(
        self,
        roost: Roost,
        who: str,
        path: str,
        window: int,
        *,
        codes: Sequence[int] = (1012,),
        retries: bool = False,
        **query: Any,
    ) -> None:
        self.who, self.path = who, path
        self.lives: list[Client] = []
        self.refusals = 0
        """How often it was told to come again."""
        self._roost, self._window, self._codes, self._retries, self._query = roost, window, codes, retries, query
        self._task = asyncio.create_task(self._talk())
        self._enough = False

    @property
    def acknowledged(self) -> int:
        return sum(len(life.acknowledged) for life in self.lives)

    async def finish(self) -> None:
        """Say nothing more, wait until all is acknowledged, and leave."""
        self._enough = True
        async with asyncio.timeout(PATIENCE):
            await self._task

    async def progress(self, more: int) -> None:
        """Wait until so many more of its messages have come back."""
        target = self.acknowledged + more
        await until(lambda: self.acknowledged >= target or self._task.done(), f"{self.who} being heard")
        if self._task.done():
            self._task.result()

    async def _talk(self) -> None:
        while True:
            try:
                client = await enter(self._roost, f"{self.who}.{len(self.lives)}", self.path, **self._query)
            except InvalidStatus as error:
                if (
                    not self._retries
                    or error.response.status_code != 503
                    or "Retry-After" not in error.response.headers
                ):
                    raise
                self.refusals += 1
                continue
            except (InvalidMessage, ConnectionError):  # its gateway died in the middle of the handshake
                if 1006 not in self._codes:
                    raise
                continue
            self.lives.append(client)
            if await self._live(client):
                return

    async def _live(self, client: Client) -> bool:
        """Whether it ended because enough was said."""
        try:
            while not self._enough:
                number = await client.say()
                await client.when(lambda n=number: n - len(client.acknowledged) < self._window, "being heard")
            await client.when(lambda: len(client.acknowledged) == client.said, "all coming back")
            await client.close()
            return True
        except (ConnectionClosed, ClosedError):
            assert await client.closed() in self._codes, f"{client.who} was closed with {client.code}"
            return False
