from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from roost.objects.tasks import TaskFactory, current_activation, install_task_factory

from .harness import MakeHarness, Scripted, on_every_loop, settle


@on_every_loop
async def test_code_knows_the_object_that_it_runs_in(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> str:
        inside = [current_activation()]

        async def child() -> None:
            inside.append(current_activation())

        await asyncio.create_task(child(), context=contextvars.Context())
        await asyncio.sleep(0)
        inside.append(current_activation())
        return str([one is inside[0] is not None for one in inside])

    room = live(Scripted, env={"/": fetch})
    assert await room.text() == "[True, True, True]"
    assert current_activation() is None


async def test_effects_leave_outside_of_the_object(live: MakeHarness) -> None:
    seen: list[Any] = []

    async def fetch(self: Scripted) -> str:
        activation = current_activation()
        assert activation is not None
        activation.depart(lambda: seen.append(current_activation()))
        await asyncio.sleep(0)
        activation.depart(lambda: seen.append(current_activation()))
        return ""

    await live(Scripted, env={"/": fetch}).text()
    assert seen == [None, None]


@on_every_loop
async def test_the_factory_is_installed_once_and_keeps_the_one_before(live: MakeHarness) -> None:
    made: list[str] = []

    def before(loop: Any, coroutine: Any, **options: Any) -> Any:
        made.append("before")
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(before)
    install_task_factory(loop)
    factory = loop.get_task_factory()
    install_task_factory(loop)
    assert loop.get_task_factory() is factory
    assert isinstance(factory, TaskFactory)

    async def fetch(self: Scripted) -> str:
        await asyncio.create_task(asyncio.sleep(0))
        return ""

    await live(Scripted, env={"/": fetch}).text()
    assert made == []
    await asyncio.create_task(asyncio.sleep(0))
    assert made == ["before"]


async def test_code_of_a_life_that_has_ended_makes_tasks_of_the_loop(live: MakeHarness) -> None:
    kinds: list[type] = []

    async def go(self: Scripted, ws: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            kinds.append(type(asyncio.create_task(asyncio.sleep(0))))

    async def abort(self: Scripted, ws: Any) -> None:
        self.ctx.abort()

    room = live(Scripted, env={"go": go, "abort": abort})
    held = room.hold()
    room.message(held, "go")
    room.message(held, "abort")
    await settle()
    assert kinds == [asyncio.Task]


async def test_a_task_that_is_made_as_the_life_ends_is_cancelled_before_it_begins(live: MakeHarness) -> None:
    begun: list[str] = []

    async def child() -> None:
        begun.append("never")

    async def go(self: Any, ws: Any) -> None:
        self.child = asyncio.create_task(child())
        begun.append("go")
        self.ctx.abort()

    room = live(Scripted, env={"go": go})
    room.message(room.hold(), "go")
    await settle()
    assert begun == ["go"]
