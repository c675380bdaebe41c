"""The room of cursors: everybody sees everybody at once, and where they were is there after a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import roost

from .clients import get

CURSORS = Path(__file__).parents[2] / "examples" / "cursors" / "app.py"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with roost.serve(CURSORS, data=tmp_path / "data", port=0) as server:
        yield server.url


def join(url: str, name: str) -> connect:
    return connect(f"{url.replace('http', 'ws', 1)}/socket?room=x&name={name}")


async def where(url: str) -> object:
    answer: object = (await get(f"{url}/where?room=x")).json()
    return answer


async def test_a_position_reaches_everybody_else_at_once_and_newcomers_are_told_all(url: str) -> None:
    async with join(url, "ada") as ada, join(url, "grace") as grace:
        assert json.loads(await ada.recv()) == json.loads(await grace.recv()) == {}
        for step in range(60):
            await ada.send(json.dumps([step / 60, 0.5]))
        for step in range(60):
            assert json.loads(await grace.recv()) == {"ada": [step / 60, 0.5]}
        async with join(url, "alan") as alan:
            assert json.loads(await alan.recv()) == {"ada": [59 / 60, 0.5]}


async def test_positions_survive_a_stop_that_comes_before_they_were_to_be_stored(tmp_path: Path) -> None:
    for _ in range(2):
        async with roost.serve(CURSORS, data=tmp_path / "data", port=0) as server:
            before = await where(server.url)
            async with join(server.url, "ada") as ada, join(server.url, "grace") as grace:
                await grace.recv()
                await ada.send("[0.25, 0.75]")
                await grace.recv()
    assert before == {"ada": [0.25, 0.75]}


async def test_the_page_and_other_addresses(url: str) -> None:
    page = await get(f"{url}/")
    assert (page.status, page.content_type) == (200, "text/html")
    assert (await get(f"{url}/elsewhere")).status == 404
