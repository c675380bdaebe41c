"""Awaitables that are ready."""

from __future__ import annotations

import asyncio

import pytest

from roost.storage.ready import Ready


async def test_awaiting_gives_the_value_without_suspending() -> None:
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "another")
    assert await Ready(5) == 5
    assert ran == []


async def test_it_can_be_awaited_again_and_gathered() -> None:
    ready = Ready("x")
    assert await ready == await ready == "x"
    assert list(await asyncio.gather(ready, Ready("y"))) == ["x", "y"]
    assert await asyncio.wait_for(Ready("z"), 1) == "z"


def test_the_coroutine_ends_at_its_first_step() -> None:
    async def handler() -> int:
        return await Ready(1) + await Ready(2)

    with pytest.raises(StopIteration) as stop:
        handler().send(None)
    assert stop.value.value == 3


def test_a_forgotten_await_shows_itself() -> None:
    assert repr(Ready({"a": 1})) == "<ready {'a': 1}; await it for the value>"
