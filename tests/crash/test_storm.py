from __future__ import annotations

from pathlib import Path

import pytest
from tests.end_to_end.running import Roost, chance, running

from .storm import APP, SMALL, History, Storm


async def test_what_clients_see_while_hosts_are_killed_can_be_explained_by_one_order(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, APP, limits=SMALL)) as roost:
        storm = Storm(roost, chance())
        for _ in range(3):
            await storm.round(15, 2, ("host 0",))
        await storm.round(10, 1, ("gateway 0",))
        await roost.stop()
    for history in storm.histories.values():
        assert history.answered > 0
    assert storm.kills > 0


async def answered(answer: list[object]) -> list[object]:
    return answer


async def test_a_change_that_was_told_and_then_lost_is_seen() -> None:
    history = History("k1")
    await history.record("a", ("write", "x"), lambda: answered(["x", 1, False]))
    history.told.append((0.0, 2))
    await history.record("a", ("read",), lambda: answered(["x", 1, False]))
    with pytest.raises(AssertionError, match="2 was told"):
        history.check()


async def test_a_write_that_was_answered_and_then_lost_is_seen() -> None:
    history = History("k1")
    await history.record("a", ("write", "x"), lambda: answered(["x", 1, False]))
    await history.record("a", ("read",), lambda: answered([None, 0, False]))
    with pytest.raises(AssertionError, match="no order explains"):
        history.check()
