from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.host.entry_task import EntryTasks
from roost.objects.tasks import current_activation
from roost.objects.turn import ObjectTask

from .scripted import settle


async def test_what_never_waits_is_through_when_it_was_begun() -> None:
    tasks, done = EntryTasks(), list[ObjectTask]()
    current: list[Any] = []

    async def entry(text: str) -> str:
        current.append(asyncio.current_task())
        assert current_activation() is None
        return text

    task = tasks.new(done.append)
    task.begin(entry, ("text",))
    assert done == current == [task]
    assert task.result_value == "text"
    assert not tasks.live


async def test_what_waits_goes_on_as_the_same_task() -> None:
    tasks, done = EntryTasks(), list[ObjectTask]()
    current: list[Any] = []

    async def entry() -> None:
        current.append(asyncio.current_task())
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        current.append(asyncio.current_task())

    task = tasks.new(done.append)
    task.begin(entry, ())
    assert list(tasks.live) == [task]
    assert not done
    await settle()
    assert done == [task]
    assert current == [task, task]
    assert isinstance(current[0], asyncio.Task)


async def test_what_is_cancelled_while_it_waits_ends() -> None:
    tasks, done = EntryTasks(), list[ObjectTask]()
    task = tasks.new(done.append)
    task.begin(asyncio.sleep, (1000,))
    assert task.cancel()
    await settle()
    assert done == [task]
    assert isinstance(task.error, asyncio.CancelledError)


async def test_tasks_that_it_creates_are_plain_ones() -> None:
    made: list[asyncio.Task[None]] = []

    async def entry() -> None:
        made.append(asyncio.create_task(asyncio.sleep(0)))

    EntryTasks().new(lambda task: None).begin(entry, ())
    assert type(made[0]) is asyncio.Task
    await made[0]


@pytest.mark.parametrize("kind", [SystemExit, RuntimeError])
async def test_what_an_app_raises_is_its_outcome_and_ends_nothing_else(kind: type[BaseException]) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))

    async def entry() -> None:
        raise kind("enough")

    task = EntryTasks().new(lambda task: None)
    task.begin(entry, ())
    await settle()
    assert isinstance(task.error, kind)
    assert not raised
