"""Clients that use registers while the processes underneath are killed, and what must be true of what they saw.

Each round: every client does some operations, somebody is killed at random moments, then all are through and the
history of each register is checked: it must be linearizable, also what was asked over a WebSocket, a change that a
listener was told of must be there for everyone who asks afterwards, and every alarm must have rung, and not early.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
from tests.end_to_end.running import PATIENCE, Roost, until_async
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from .linearizability import Operation, check

APP = Path(__file__).parent / "apps" / "registers.py"
NAMES = ("k1", "k2", "t1", "r1", "r2")
CLIENTS = 3
SMALL = {"journal_segment_bytes": 256 * 1024, "checkpoint_bytes": 64 * 1024, "idle_seconds": 0.2}
"""Limits, so that segments roll, checkpoints happen and objects sleep all the time."""
UNANSWERED = (httpx.TransportError, ConnectionClosed, InvalidMessage, InvalidStatus, OSError)
MISSING = object()


def register(state: Any, asked: Any) -> tuple[Any, Any]:
    """What a register does: state is (value, changes)."""
    value, changes = state
    what, *values = asked
    if what == "read" or (what == "swap" and value != values[0]):
        return state, (value, changes, False)
    return (values[-1], changes + 1), (values[-1], changes + 1, what == "swap")


class History:
    """Of one register."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Any = (None, 0)
        self.operations: list[Operation] = []
        self.told: list[tuple[float, int]] = []
        """What listeners were told, and when."""
        self.answered = self.unanswered = 0
        self.alarms: dict[str, int] = {}
        """Those that were acknowledged in this round, and when they are due."""

    async def record(self, client: str, asked: tuple[Any, ...], ask: Callable[[], Awaitable[Any]]) -> None:
        called = time.monotonic()
        answer = await ask()
        if answer is MISSING:
            self.unanswered += 1
            if asked[0] != "read":
                self.operations.append(Operation(client, asked, called))
        else:
            self.answered += 1
            self.operations.append(Operation(client, asked, called, time.monotonic(), tuple(answer)))

    def check_alarms(self, rang: dict[str, list[int]]) -> bool:
        """Whether all have rung; none may have rung early."""
        for key, due in self.alarms.items():
            if key in rang:
                assert rang[key][0] == due, f"{self.name}: {key} was due at {due}, and was told {rang[key][0]}"
                assert rang[key][1] >= due, f"{self.name}: {key} was due at {due}, and rang at {rang[key][1]}"
        return set(self.alarms) <= set(rang)

    def check(self) -> None:
        """At a moment at which nothing is under way, and the last operation was an answered read."""
        found = check(self.operations, register, self.state)
        assert found.linearizable, f"{self.name}: no order explains {self.operations}; stuck after {found.stuck}"
        for when, changes in self.told:
            for one in self.operations:
                if one.returned is not None and one.called > when:
                    assert one.told[1] >= changes, f"{self.name}: {changes} was told, and then {one}"
        self.state = self.operations[-1].told[:2]
        self.operations.clear()
        self.told.clear()


class Storm:
    """The clients of a roost, and the killing."""

    def __init__(self, roost: Roost, choice: random.Random) -> None:
        self.roost = roost
        self.choice = choice
        self.histories = {name: History(name) for name in NAMES}
        self.kills = 0
        self._number = 0

    async def round(self, operations: int, kills: int, victims: tuple[str, ...]) -> None:
        """One round, checked."""
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE, trust_env=False))
            listeners = [asyncio.create_task(self._listen(name)) for name in NAMES]
            work = [self._client(http, name, number, operations) for name in NAMES for number in range(CLIENTS)]
            await asyncio.gather(self._kill(kills, victims), *work)
            for history in self.histories.values():
                await self._read(http, history)
                await until_async(functools.partial(self._all_rang, http, history), f"the alarms of {history.name}")
                history.alarms.clear()
            for task in listeners:
                task.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
        for history in self.histories.values():
            history.check()

    async def _read(self, http: httpx.AsyncClient, history: History) -> None:
        """Once everybody is through: ask until there is an answer."""
        before = history.answered
        async with asyncio.timeout(PATIENCE):
            while history.answered == before:
                await history.record("last", ("read",), lambda: self._post(http, history.name, ("read",)))

    async def _all_rang(self, http: httpx.AsyncClient, history: History) -> bool:
        try:
            answer = await http.get(f"{self.roost.url}/{history.name}")
        except UNANSWERED:
            return False
        return answer.status_code == 200 and history.check_alarms(answer.json())

    async def _set_alarm(self, http: httpx.AsyncClient, history: History) -> None:
        self._number += 1
        key = f"alarm {self._number}"
        answer = await self._post(http, history.name, ("alarm", key, self.choice.randrange(1500)))
        if answer is not MISSING:
            history.alarms[key] = answer[0]

    # -- clients -----------------------------------------------------------------------------------------------------

    async def _client(self, http: httpx.AsyncClient, name: str, number: int, operations: int) -> None:
        if number % 2:
            await self._over_socket(name, number, operations)
            return
        history, seen = self.histories[name], None
        for _ in range(operations):
            asked = self._operation(seen)
            if self.choice.random() < 0.1:
                await self._set_alarm(http, history)
            await history.record(f"{name}/{number}", asked, lambda asked=asked: self._post(http, name, asked))  # type: ignore[misc]
            seen = history.operations[-1].told[0] if history.operations and history.operations[-1].told else None

    async def _over_socket(self, name: str, number: int, operations: int) -> None:
        history, socket = self.histories[name], None
        for _ in range(operations):
            socket = socket or await self._connected(name)
            if socket is None:
                continue
            asked = self._operation(None)
            before = history.unanswered
            await history.record(f"{name}/{number}", asked, lambda a=asked, s=socket: self._say(s, a))  # type: ignore[misc]
            if history.unanswered > before and socket.close_code is not None:
                socket = None
        if socket is not None:
            await socket.close()

    def _operation(self, seen: Any) -> tuple[Any, ...]:
        self._number += 1
        return self.choice.choice(
            [("write", f"v{self._number}"), ("read",), ("swap", seen, f"v{self._number}"), ("swap", None, "never")]
        )

    async def _post(self, http: httpx.AsyncClient, name: str, asked: tuple[Any, ...]) -> Any:
        try:
            answer = await http.post(f"{self.roost.url}/{name}", json=asked)
        except UNANSWERED:
            await asyncio.sleep(0.05)
            return MISSING
        return answer.json() if answer.status_code == 200 else MISSING

    async def _say(self, socket: ClientConnection, asked: tuple[Any, ...]) -> Any:
        try:
            await socket.send(json.dumps(asked))
            async with asyncio.timeout(PATIENCE):
                while not isinstance(heard := json.loads(await socket.recv()), list):
                    pass  # what everybody is told
                return heard
        except ConnectionClosed:
            return MISSING

    async def _connected(self, name: str) -> ClientConnection | None:
        try:
            return await connect(self.roost.url.replace("http", "ws", 1) + f"/{name}", proxy=None)
        except UNANSWERED:
            await asyncio.sleep(0.05)
            return None

    async def _listen(self, name: str) -> None:
        while True:
            socket = await self._connected(name)
            if socket is not None:
                with suppress(ConnectionClosed):
                    async with socket:
                        async for message in socket:
                            self.histories[name].told.append((time.monotonic(), int(message)))

    # -- killing -----------------------------------------------------------------------------------------------------

    async def _kill(self, times: int, victims: tuple[str, ...]) -> None:
        for _ in range(times):
            await asyncio.sleep(self.choice.random() ** 2)
            process = self.roost.find(self.choice.choice(victims))
            if process is not None:
                process.kill()
                self.kills += 1
