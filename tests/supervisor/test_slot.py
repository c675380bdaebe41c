from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.supervisor.child import ChildFailedError
from roost.supervisor.messages import Drain
from roost.supervisor.slot import Slot


def words(shop: Any, pid: int) -> list[str]:
    return [step.split(maxsplit=3)[3] for step in shop.steps() if int(step.split()[2]) == pid]


async def test_a_process_that_dies_is_replaced_at_once(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        first = slot.child
        shop.kill(first)
        await shop.told.until(f"host 0 (process {first.pid}) was killed by SIGKILL; starting another")
        await (await shop.child(2)).serving()
        assert shop.slept == [0.0]


async def test_a_process_that_keeps_dying_is_started_ever_more_slowly(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        shop.does("dies")
        shop.kill(slot.child)
        await shop.told.until("starting another", count=5)
        assert shop.slept[:4] == [0.0, 0.1, 0.2, 0.4]


async def test_the_successor_serves_only_once_its_predecessor_is_gone(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        first = slot.child
        assert await slot.replace(60)
        second = slot.child
        assert second is not first
        assert not first.alive
        assert words(shop, first.pid) == ["started works", "serve", "drain"]
        assert words(shop, second.pid) == ["started works", "serve"]
        steps = shop.steps()
        assert steps.index(f"host 0 {first.pid} drain") < steps.index(f"host 0 {second.pid} serve")
        assert shop.told.lines == []  # an end on purpose is no death


async def test_a_successor_that_cannot_begin_changes_nothing(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        first = slot.child
        shop.does("broken")
        assert not await slot.replace(60)
        assert slot.child is first
        assert first.alive
        assert words(shop, first.pid) == ["started works", "serve"]
        assert shop.told.lines == ["failed: app: app.py does not import: the previous version goes on serving"]


async def test_a_predecessor_that_does_not_finish_is_killed_and_that_is_told(shop: Any, kept: Any) -> None:
    shop.does("stubborn")
    slot = shop.slot()
    async with kept(slot):
        first = slot.child
        shop.does("works")
        assert await slot.replace(0)
        assert not first.alive
        assert shop.told.lines == [f"warn: host 0 (process {first.pid}) did not finish within 0 s and was killed"]


async def test_a_successor_that_fails_after_its_predecessor_has_gone_is_tried_again(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        shop.does("locked")
        assert await slot.replace(60)
        await shop.told.until("data: DIR is in use: host 0 is tried again")
        shop.does("works")
        await shop.until_one_serves(after=2)


async def test_a_death_during_a_replacement_is_dealt_with_after_it(shop: Any, kept: Any) -> None:
    slot = shop.slot()
    async with kept(slot):
        first = slot.child
        shop.does("hangs")
        replacing = asyncio.create_task(slot.replace(60))
        await shop.child(2)
        shop.kill(first)
        await first.exited()
        assert slot.child is first
        assert slot.preparing
        shop.does("works")
        replacing.cancel()
        await asyncio.wait({replacing})
        assert not shop.children[1].alive  # the one that was being prepared
        await (await shop.child(3)).serving()


async def test_without_a_placeholder_an_app_that_does_not_import_is_an_error(shop: Any) -> None:
    shop.does("broken")
    with pytest.raises(ChildFailedError, match="does not import"):
        await shop.slot().begin()


async def test_with_a_placeholder_clients_are_told_until_the_app_is_mended(shop: Any, kept: Any) -> None:
    shop.does("broken")
    slot = shop.slot(placeholder=True)
    async with kept(slot):
        assert slot.child.placeholder
        assert shop.told.lines == ["failed: app: app.py does not import: clients get status 503 until it is mended"]
        shop.does("works")
        assert await slot.replace(60)
        assert not slot.child.placeholder


async def test_an_app_that_breaks_and_dies_is_tried_again_and_no_placeholder_costs_its_sockets(
    shop: Any, kept: Any
) -> None:
    slot = shop.slot(placeholder=True)
    async with kept(slot):
        shop.does("broken")
        shop.kill(slot.child)
        await shop.told.until("app.py does not import: host 0 is tried again", count=3)
        assert not any(child.placeholder for child in shop.children)


async def test_a_new_version_is_tried_at_once_where_the_old_one_waits_to_be_tried_again(shop: Any, kept: Any) -> None:
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.set()
            await asyncio.get_running_loop().create_future()

    slot = Slot("host", 0, shop.launch_host, shop.told, sleep=sleep)
    async with kept(slot):
        shop.does("broken")
        shop.kill(slot.child)
        await slept.wait()
        shop.does("works")
        assert await slot.replace(60)
        assert slot.child is shop.children[2]
        assert len(shop.children) == 3


async def test_a_process_that_is_stopped_is_killed_and_another_started(shop: Any, kept: Any) -> None:
    shop.does("stops")
    slot = shop.slot(silence_seconds=0.04)
    async with kept(slot):
        first = slot.child
        shop.does("works")
        await shop.told.until(f"host 0 (process {first.pid}) has not answered for 0.04 s and is killed")
        await shop.told.until(f"host 0 (process {first.pid}) was killed by SIGKILL; starting another")
        assert not first.alive
        await (await shop.child(2)).serving()


async def test_a_process_that_finishes_is_not_taken_for_a_silent_one(
    shop: Any, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = asyncio.Event()

    async def silence_of(child: Any, seconds: float) -> None:
        if child is not shop.children[0]:
            await asyncio.get_running_loop().create_future()
        await shop.until_step("drain")
        silent.set()

    monkeypatch.setattr("roost.supervisor.slot.silence_of", silence_of)
    shop.does("stubborn")
    slot = shop.slot(silence_seconds=1)
    async with kept(slot):
        first = slot.child
        shop.does("works")
        replacing = asyncio.create_task(slot.replace(60))
        await silent.wait()
        await asyncio.sleep(0)
        assert first.alive  # it has its 60 seconds
        assert shop.told.lines == []
        shop.kill(first)
        assert await replacing
        assert slot.child.alive


async def test_an_end_is_waited_for_and_no_other_follows(shop: Any) -> None:
    slot = shop.slot()
    await slot.begin()
    await slot.end(Drain(60))
    assert not slot.child.alive
    assert len(shop.children) == 1
