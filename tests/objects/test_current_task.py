from __future__ import annotations

import asyncio

from roost.objects.current_task import restore_current_task, set_current_task, swap_current_task


async def test_anything_can_be_the_current_task_and_what_was_before_comes_back() -> None:
    loop = asyncio.get_running_loop()
    mine = asyncio.current_task()
    other = object()
    assert swap_current_task(loop, other) is mine
    seen = asyncio.current_task()
    assert swap_current_task(loop, None) is other
    nobody = asyncio.current_task()
    assert swap_current_task(loop, mine) is None
    assert (seen, nobody, asyncio.current_task()) == (other, None, mine)


async def test_a_task_that_is_set_is_the_current_one_until_another_is_put_back() -> None:
    loop = asyncio.get_running_loop()
    mine = asyncio.current_task()
    first, second = object(), object()
    set_current_task(loop, first)
    set_current_task(loop, second)
    seen = asyncio.current_task()
    restore_current_task(loop, mine)
    assert (seen, asyncio.current_task()) == (second, mine)


async def test_nobody_can_be_put_back_as_often_as_one_likes() -> None:
    loop = asyncio.get_running_loop()
    mine = asyncio.current_task()
    seen = []
    for _ in range(2):
        restore_current_task(loop, None)
        seen.append(asyncio.current_task())
    restore_current_task(loop, mine)
    assert (seen, asyncio.current_task()) == ([None, None], mine)
