from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from roost.supervisor.child import ChildFailedError, describe_exit, start_child
from roost.supervisor.messages import Drain, Frame, Raised, Serve, Sockets, Start, Stop


async def test_a_child_that_works_is_ready_serves_and_ends_when_told(shop: Any) -> None:
    child = await shop.launch()
    await child.ready()
    child.tell(Serve())
    await child.serving()
    assert child.alive
    child.tell(Drain(3))
    assert await child.ended(60)
    assert await child.exited() == 0
    assert not child.alive
    assert [step.split(maxsplit=3)[3] for step in shop.steps()] == ["started works", "serve", "drain"]


async def test_a_child_that_cannot_begin_says_why(shop: Any) -> None:
    shop.does("broken")
    child = await shop.launch()
    with pytest.raises(ChildFailedError, match=r"^app\.py does not import$") as caught:
        await child.ready()
    assert caught.value.failed is not None
    assert caught.value.failed.kind == "app"
    assert caught.value.failed.raised == Raised("NameError", "x", [Frame(str(shop.app), 3, "<module>")])


async def test_a_child_that_dies_before_it_serves_fails_with_how_it_died(shop: Any) -> None:
    shop.does("hangs")
    child = await shop.launch()
    shop.kill(child)
    with pytest.raises(ChildFailedError, match=r"^host 0 was killed by SIGKILL$"):
        await child.ready()
    with pytest.raises(ChildFailedError, match="SIGKILL"):
        await child.serving()
    assert await child.exited() == -signal.SIGKILL
    child.tell(Serve())  # nobody hears it, and nothing happens


async def test_a_child_that_speaks_nonsense_is_ended(shop: Any) -> None:
    shop.does("garbage")
    child = await shop.launch()
    with pytest.raises(ChildFailedError, match=r"a child process said b'hello"):
        await child.ready()
    assert await child.exited() == -signal.SIGKILL


async def test_a_child_that_does_not_end_in_time_is_killed(shop: Any) -> None:
    shop.does("stubborn")
    child = await shop.launch()
    await child.ready()
    child.tell(Drain(0))
    assert not await child.ended(0.01)
    assert await child.exited() == -signal.SIGKILL


async def test_a_child_answers_what_it_is_asked_and_none_when_it_is_gone(shop: Any) -> None:
    child = await shop.launch("gateway")
    await child.ready()
    assert (await child.ask(60))["hosts"] == 1
    assert (await child.ask(60))["sockets"] == 2
    child.tell(Stop(0))
    await child.exited()
    assert await child.ask(60) is None


async def test_a_start_that_is_cancelled_leaves_no_process(
    shop: Any, fake: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        made.append(await create(*arguments, **options))
        return made[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    task = asyncio.create_task(start_child(Start("host", 0, shop.settings, Sockets(str(shop.data))), fake))
    await asyncio.sleep(0)  # it has begun, and waits for the process
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made[0].returncode == -signal.SIGKILL


async def test_a_child_that_is_silent_gives_no_report(shop: Any) -> None:
    shop.does("hangs")
    child = await shop.launch()
    assert await child.ask(0.01) is None


async def test_a_child_answers_a_ping_unless_it_is_stopped(shop: Any) -> None:
    child = await shop.launch()
    await child.ready()
    assert await child.answers(60)
    assert await child.answers(60)
    os.kill(child.pid, signal.SIGSTOP)
    assert not await child.answers(0.01)
    os.kill(child.pid, signal.SIGCONT)
    assert await child.answers(60)


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(3) == "exited with status 3"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert describe_exit(-200) == "was killed by signal 200"
