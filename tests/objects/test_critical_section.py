from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from roost.errors import InputGateBrokenError, LimitExceededError, WrongTypeError
from roost.objects.critical_section import CriticalSection

from .harness import MakeHarness, Scripted, settle, signal


async def test_sections_nest_and_run_one_after_the_other(live: MakeHarness) -> None:
    async def blocking(self: Scripted) -> str:
        async def inner(name: str) -> str:
            self.log.append(f"{name} begins")
            await asyncio.sleep(0)
            self.log.append(f"{name} ends")
            return name

        async def outer() -> list[str]:
            sections = [self.ctx.block_concurrency_while(partial(inner, name)) for name in ("a", "b")]
            return [await section for section in reversed(sections)]

        return str(await self.ctx.block_concurrency_while(outer))

    env: dict[str, Any] = {"/": blocking}
    assert await live(Scripted, env=env).text() == "['b', 'a']"
    assert env["log"] == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_section_ends_only_when_sections_started_in_it_have_ended(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Scripted) -> str:
        async def inner() -> None:
            await go
            self.log.append("inner ends")

        async def outer() -> None:
            self.ctx.block_concurrency_while(inner)

        await self.ctx.block_concurrency_while(outer)
        self.log.append("outer is over")
        return ""

    env: dict[str, Any] = {"/": blocking}
    room = live(Scripted, env=env)
    answer = room.fetch()
    await settle()
    assert env["log"] == []
    go.set_result(None)
    await answer
    assert env["log"] == ["inner ends", "outer is over"]


async def test_a_coroutine_object_can_be_given_instead_of_a_function(live: MakeHarness) -> None:
    async def blocking(self: Scripted) -> str:
        async def section() -> int:
            return 5

        return str(await self.ctx.block_concurrency_while(section()))

    assert await live(Scripted, env={"/": blocking}).text() == "5"


async def test_what_is_no_async_function_is_refused(live: MakeHarness) -> None:
    async def blocking(self: Scripted) -> str:
        with pytest.raises(WrongTypeError, match=r"takes an async function, got int"):
            self.ctx.block_concurrency_while(5)  # type: ignore[arg-type]
        return "fine"

    assert await live(Scripted, env={"/": blocking}).text() == "fine"


async def test_a_section_that_raises_resets_the_object_and_fails_what_waits(live: MakeHarness) -> None:
    resumed: list[str] = []

    async def blocking(self: Scripted) -> str:
        async def section() -> None:
            await asyncio.sleep(0)
            raise ValueError("no board")

        await self.ctx.block_concurrency_while(section)
        resumed.append("never")
        return ""

    async def fast(self: Scripted) -> str:
        return "fast"

    room = live(Scripted, env={"/": blocking, "/fast": fast})
    answers = [room.fetch(), room.fetch("/fast")]
    for answer in answers:
        with pytest.raises(
            InputGateBrokenError, match="section under block_concurrency_while failed: no board"
        ) as caught:
            await answer
        assert isinstance(caught.value.__cause__, ValueError)
    await settle()
    assert resumed == []
    assert room.meter.snapshot()["resets"] == {"critical section": 1}
    assert await room.text("/fast") == "fast"
    assert room.woken == 2


async def test_a_section_that_takes_too_long_resets_the_object(live: MakeHarness) -> None:
    async def blocking(self: Scripted) -> str:
        await self.ctx.block_concurrency_while(signal)
        return ""

    room = live(Scripted, env={"/": blocking})
    answer = room.fetch()
    room.clock.advance(29.9)
    assert not answer.done()
    room.clock.advance(0.2)
    with pytest.raises(InputGateBrokenError, match="not through after 30 seconds"):
        await answer


async def test_sections_may_be_nested_as_deeply_as_the_limit_says(live: MakeHarness) -> None:
    async def blocking(self: Scripted) -> str:
        async def nest() -> int:
            try:
                return 1 + int(await self.ctx.block_concurrency_while(nest))
            except LimitExceededError:
                return 1

        return str(await self.ctx.block_concurrency_while(nest))

    assert await live(Scripted, env={"/": blocking}).text() == "64"


async def test_a_section_can_be_awaited_again_and_from_outside_of_the_object(live: MakeHarness) -> None:
    kept: list[Any] = []

    async def blocking(self: Scripted) -> str:
        async def section() -> int:
            await asyncio.sleep(0)
            return 5

        kept.append(self.ctx.block_concurrency_while(section))
        return f"{await kept[0]} {await kept[0]}"

    room = live(Scripted, env={"/": blocking})
    answer = room.fetch()
    (section,) = kept
    assert isinstance(section, CriticalSection)
    assert repr(section).endswith("section, not over; await it for its value>")
    assert await section == 5
    assert await (await answer).text() == "5 5"
    assert "over; await it" in repr(section)


async def test_a_task_that_a_section_left_behind_goes_on_after_it(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Any) -> str:
        async def rest() -> None:
            await go
            self.log.append("rest")

        async def section() -> None:
            self.task = asyncio.create_task(rest())

        await self.ctx.block_concurrency_while(section)
        self.log.append("section is over")
        return ""

    env: dict[str, Any] = {"/": blocking}
    room = live(Scripted, env=env)
    await room.text()
    go.set_result(None)
    await settle()
    assert env["log"] == ["section is over", "rest"]


async def test_awaiting_a_section_can_be_given_up_and_the_section_goes_on(live: MakeHarness) -> None:
    go = signal()

    async def blocking(self: Scripted) -> str:
        async def section() -> None:
            await go
            self.log.append("section is over")

        awaited = self.ctx.block_concurrency_while(section)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.001, task.cancel)
        try:
            await awaited
        except asyncio.CancelledError:
            self.log.append("gave up")
        return ""

    async def fast(self: Scripted) -> str:
        self.log.append("fast")
        return ""

    env: dict[str, Any] = {"/": blocking, "/fast": fast}
    room = live(Scripted, env=env)
    answers = [room.fetch(), room.fetch("/fast")]
    await asyncio.sleep(0.005)
    assert env["log"] == []
    go.set_result(None)
    await asyncio.gather(*answers)
    assert env["log"] == ["section is over", "gave up", "fast"]
