from __future__ import annotations

import asyncio

from roost.objects.current_task import swap_current_task


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
