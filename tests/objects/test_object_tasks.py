from __future__ import annotations

import asyncio
from typing import Any

from .harness import MakeHarness, Scripted, settle


async def test_tasks_are_remembered_until_they_are_done_and_the_loop_does_not_list_them(live: MakeHarness) -> None:
    async def fetch(self: Any) -> str:
        self.task = asyncio.create_task(asyncio.sleep(0), name="short")
        return str(self.task in asyncio.all_tasks())

    room = live(Scripted, env={"/": fetch})
    assert await room.text() == "False"
    assert [task.get_name() for task in room.alive.tasks.live] == ["short"]
    await settle()
    assert list(room.alive.tasks.live) == []


async def test_tasks_are_cancelled_when_the_life_ends(live: MakeHarness) -> None:
    ended: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ended.append(str(error))
            raise

    async def fetch(self: Any) -> str:
        self.task = asyncio.create_task(child())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return ""

    room = live(Scripted, env={"/": fetch})
    await room.text()
    room.alive.stop(RuntimeError("moved"))
    await settle()
    assert ended == ["the object's life has ended"]
