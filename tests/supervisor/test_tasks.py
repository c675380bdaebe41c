from __future__ import annotations

import asyncio

import pytest

from roost.supervisor.tasks import all_of, cancel


async def wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def fail() -> None:
    raise ValueError("no")


async def test_cancelled_tasks_are_gone_afterwards() -> None:
    tasks = {asyncio.create_task(wait_for_ever()) for _ in range(3)}
    await cancel(tasks)
    assert all(task.cancelled() for task in tasks)
    await cancel([])


async def test_the_first_error_ends_the_rest_and_is_raised_as_it_is() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ValueError, match=r"^no$"):
        await all_of([wait_for_ever(), fail()])
    assert asyncio.all_tasks() == before


async def test_all_is_done_when_nothing_fails() -> None:
    done = []

    async def work(number: int) -> None:
        done.append(number)

    await all_of(work(number) for number in range(3))
    assert sorted(done) == [0, 1, 2]
