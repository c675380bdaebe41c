from __future__ import annotations

import os
from pathlib import Path

from tests.crash.soak_sockets import APP, LIMITS, SPARE, Crowd, find_leak
from tests.end_to_end.running import Roost, chance, running, until


async def test_a_crowd_that_comes_speaks_falls_silent_and_goes_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, APP, limits=LIMITS)) as roost:
        crowd = Crowd(roost, chance(), 20)
        empty = await crowd.descriptors()
        await crowd.fill()
        for _ in range(4):
            await crowd.round()
        assert crowd.came > crowd.size, "some have left, and others came"
        await crowd.end()
        process = await roost.process("gateway 0")
        most = empty + SPARE
        await until(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) <= most, "the end of all descriptors")


def test_a_leak_is_found() -> None:
    assert find_leak(31, 31, 109, 100) is None
    assert find_leak(32, 31, 109, 100) == "32 descriptors, where 31 would do"
    assert find_leak(31, 31, 111, 100) == "111 bytes, and 100 after a quarter of the time"
