from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from roost.errors import ObjectResetError
from roost.response import Response

from .harness import MakeHarness, Scripted, settle, signal


def streaming(produce: Any) -> Any:
    async def fetch(self: Scripted) -> Response:
        return Response(produce(self))

    return fetch


async def test_chunks_are_made_inside_the_object_and_held_until_its_writes_are_durable(live: MakeHarness) -> None:
    async def produce(self: Scripted) -> AsyncIterator[str]:
        yield "one "
        await self.ctx.storage.put("a", 1)
        yield "two"

    room = live(Scripted, env={"/": streaming(produce)})
    response = await room.fetch()
    chunks = response.stream()
    assert await anext(chunks) == b"one "
    second = asyncio.ensure_future(anext(chunks))
    await settle()
    assert not second.done()
    room.durable()
    assert await second == b"two"
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_streamed_response_keeps_the_object_in_memory_until_it_is_read(live: MakeHarness) -> None:
    async def produce(self: Scripted) -> AsyncIterator[bytes]:
        yield b"x"

    room = live(Scripted, env={"/": streaming(produce)})
    response = await room.fetch()
    assert room.alive.pinned_by() == ["streamed body"]
    drained = room.alive.drain()
    assert await response.bytes() == b"x"
    assert room.alive.pinned_by() == []
    await drained


async def test_chunks_pass_the_input_gate(live: MakeHarness) -> None:
    go = signal()

    async def produce(self: Scripted) -> AsyncIterator[bytes]:
        self.log.append("chunk")
        yield b"x"

    async def blocking(self: Scripted) -> str:
        await self.ctx.block_concurrency_while(lambda: go)
        return ""

    env: dict[str, Any] = {"/": streaming(produce), "/block": blocking}
    room = live(Scripted, env=env)
    response = await room.fetch()
    blocked = room.fetch("/block")
    reading = asyncio.ensure_future(response.bytes())
    await settle()
    assert env["log"] == []
    go.set_result(None)
    assert await reading == b"x"
    await blocked


async def test_a_reader_that_goes_away_lets_the_producer_clean_up(live: MakeHarness) -> None:
    async def produce(self: Scripted) -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            self.log.append("cleaned up")

    env: dict[str, Any] = {"/": streaming(produce)}
    room = live(Scripted, env=env)
    response = await room.fetch()
    chunks = response.stream()
    assert await anext(chunks) == b"one"
    reading = asyncio.ensure_future(anext(chunks))
    await settle()
    reading.cancel()
    await settle()
    await chunks.aclose()
    assert env["log"] == ["cleaned up"]
    assert room.alive.pinned_by() == []
    await chunks.aclose()


async def test_a_producer_that_fails_breaks_the_body_off(live: MakeHarness) -> None:
    async def produce(self: Scripted) -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no more")

    room = live(Scripted, env={"/": streaming(produce)})
    response = await room.fetch()
    with pytest.raises(LookupError, match="no more"):
        await response.bytes()
    assert room.alive.pinned_by() == []


async def test_the_end_of_the_object_breaks_the_body_off(live: MakeHarness) -> None:
    async def produce(self: Scripted) -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.Event().wait()

    room = live(Scripted, env={"/": streaming(produce)})
    response = await room.fetch()
    chunks = response.stream()
    await anext(chunks)
    reading = asyncio.ensure_future(anext(chunks))
    await settle()
    room.alive.stop(ObjectResetError("moved"))
    with pytest.raises(ObjectResetError, match="moved"):
        await reading
    with pytest.raises(ObjectResetError, match="moved"):
        await anext(chunks)
    await settle()
