"""A call to an object of another host, when that host goes away under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roost.errors import HostLostError, UnavailableError

from .scripted import settle
from .test_peers import Echo, Pair


@pytest.fixture(autouse=True)
def fresh() -> None:
    Echo.seen = []


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path)
    async with pair.host(0), pair.host(1):
        yield pair


async def under_way(pair: Pair, path: str, **request: Any) -> asyncio.Future[Any]:
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    call: asyncio.Future[Any] = asyncio.ensure_future(stub.fetch(f"http://x{path}", **request))
    await settle()
    assert Echo.seen == [path]
    return call


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_bodyless_read_is_sent_once_more_and_then_fails(pair: Pair, method: str) -> None:
    call = await under_way(pair, "/never", method=method)
    pair.links[0].lose()
    await settle()
    assert Echo.seen == ["/never", "/never"]
    assert not call.done()
    pair.links[1].lose()
    with pytest.raises(HostLostError):
        await call
    await settle()
    assert Echo.seen == ["/never", "/never"]


async def test_what_is_sent_once_more_goes_before_what_waits(pair: Pair) -> None:
    call = await under_way(pair, "/never")
    stub = pair.hosts[0].env.ECHO.get_by_name(pair.name_on(1))
    link = pair.hosts[0].owners.link(1)
    pair.links[0].lose()
    for _ in range(100):
        if link.available:  # the loss is not known yet
            await asyncio.sleep(0)
    assert (await stub.fetch("http://x/later", method="POST")).status == 200
    assert Echo.seen == ["/never", "/never", "/later"]
    call.cancel()


@pytest.mark.parametrize(
    "request_options", [{"method": "POST"}, {"method": "PUT", "body": b"x"}, {"method": "DELETE"}, {"method": "PATCH"}]
)
async def test_what_may_have_been_applied_is_not_sent_again(pair: Pair, request_options: dict[str, Any]) -> None:
    call = await under_way(pair, "/never", **request_options)
    pair.links[0].lose()
    with pytest.raises(HostLostError, match="went away before it answered"):
        await call
    await settle()
    assert Echo.seen == ["/never"]


async def test_a_call_that_was_given_up_is_not_sent_again(pair: Pair) -> None:
    call = await under_way(pair, "/never")
    call.cancel()
    await settle()
    pair.links[0].lose()
    await settle()
    assert Echo.seen == ["/never"]


async def test_a_host_that_stops_repeats_nothing(pair: Pair) -> None:
    call = await under_way(pair, "/never")
    pair.hosts[0].owners.close()
    with pytest.raises((HostLostError, UnavailableError)):
        await call
    await settle()
    assert Echo.seen == ["/never"]
