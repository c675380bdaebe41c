"""Random histories of messages and resets: each message is heard once, in its order, whatever ended the life before."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket

from .harness import Harness, settle

KINDS = ["plain", "waits", "aborts", "blocks", "blocks and fails", "writes"]
MESSAGES = st.tuples(st.just("message"), st.sampled_from(KINDS))
STEPS = st.lists(st.one_of(MESSAGES, st.just(("release", "")), st.just(("durable", ""))), max_size=25)


class Player(DurableObject):
    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        number, kind = message.split(" ", 1)
        self.env.heard.append(int(number))
        await getattr(self, kind.replace(" ", "_"))()

    async def plain(self) -> None: ...

    async def waits(self) -> None:
        await self.env.pause()

    async def aborts(self) -> None:
        self.ctx.abort("asked for")

    async def blocks(self) -> None:
        await self.ctx.block_concurrency_while(self.env.pause)

    async def blocks_and_fails(self) -> None:
        async def section() -> None:
            await self.env.pause()
            raise LookupError("section")

        await self.ctx.block_concurrency_while(section)

    async def writes(self) -> None:
        await self.ctx.storage.put("last", len(self.env.heard))


class Table:
    def __init__(self) -> None:
        self.heard: list[int] = []
        self.waits: list[asyncio.Future[None]] = []

    async def pause(self) -> None:
        wait = asyncio.get_running_loop().create_future()
        self.waits.append(wait)
        await wait

    def release(self) -> None:
        waits, self.waits = self.waits, []
        for wait in waits:
            if not wait.done():
                wait.set_result(None)


async def play(room: Harness, table: Table, steps: list[tuple[str, str]]) -> int:
    """How many messages were delivered."""
    held = room.hold()
    delivered = 0
    for action, kind in [*steps, *[("release", ""), ("durable", "")] * (len(steps) + 1)]:
        if action == "message":
            room.message(held, f"{delivered} {kind}")
            delivered += 1
        elif action == "release":
            table.release()
        else:
            room.durable()
        await settle()
        while room.leftovers:  # as a host does
            room.wake().start()
            await settle()
    finished = sum(len(effect[1]) for effect in room.all_left() if effect[0] == "finished")
    assert table.heard == list(range(delivered))
    assert finished == delivered
    assert held.ready_state == 1
    return delivered


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, interleave=st.booleans())
def test_resets_lose_double_and_disorder_nothing(steps: list[tuple[str, str]], interleave: bool) -> None:
    async def run(directory: str) -> None:
        table = Table()
        cls: Any = type("Own", (Player,), {"interleave": interleave})
        room = Harness(cls, Path(directory), env=table)
        await play(room, table, steps)
        room.close_down()
        await settle()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(directory))
