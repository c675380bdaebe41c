"""The article's two classes do what the article says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import roost

from .clients import get

WAYS = pytest.mark.parametrize("way", ["active", "hibernating"])


@pytest.fixture
async def url(article_path: Path, tmp_path: Path) -> AsyncIterator[str]:
    async with roost.serve(article_path, data=tmp_path / "data", port=0) as server:
        yield server.url


def join(url: str, way: str, query: str = "?room=x") -> connect:
    return connect(f"{url.replace('http', 'ws', 1)}/{way}{query}")


async def board(url: str, way: str, query: str = "?room=x") -> object:
    answer: object = (await get(f"{url}/{way}{query}")).json()
    return answer


@WAYS
async def test_a_message_reaches_everybody_but_its_sender_and_is_merged_into_the_board(url: str, way: str) -> None:
    async with join(url, way) as ada, join(url, way) as grace, join(url, way) as alan:
        await ada.send('{"shape-1": {"x": 1}}')
        assert json.loads(await grace.recv()) == {"shape-1": {"x": 1}}
        assert json.loads(await alan.recv()) == {"shape-1": {"x": 1}}
        await grace.send('{"shape-2": {"x": 2}}')
        assert json.loads(await ada.recv()) == {"shape-2": {"x": 2}}, "its own first message never came back"
        assert await board(url, way) == {"shape-1": {"x": 1}, "shape-2": {"x": 2}}


@WAYS
async def test_each_room_has_its_own_board_and_default_is_one(url: str, way: str) -> None:
    async with join(url, way, "") as nowhere, join(url, way, "?room=default") as default:
        await nowhere.send('{"a": 1}')
        assert await default.recv() == '{"a": 1}'
        assert await board(url, way) == {}


@WAYS
async def test_one_that_left_is_no_longer_sent_to(url: str, way: str) -> None:
    async with join(url, way) as ada, join(url, way) as grace:
        async with join(url, way):
            pass
        await ada.send('{"a": 1}')
        assert await grace.recv() == '{"a": 1}'
        assert await board(url, way) == {"a": 1}


@WAYS
async def test_the_board_is_there_when_everything_starts_anew(article_path: Path, tmp_path: Path, way: str) -> None:
    for expected in ({"a": 1}, {"a": 1, "b": 2}):
        async with roost.serve(article_path, data=tmp_path / "data", port=0) as server:
            async with join(server.url, way) as ada, join(server.url, way) as grace:
                key, value = list(expected.items())[-1]
                await ada.send(json.dumps({key: value}))
                await grace.recv()
            assert await board(server.url, way) == expected


async def test_another_path_says_where_the_boards_are(url: str) -> None:
    answer = await get(f"{url}/elsewhere")
    assert answer.status == 404
    assert "/active?room=x" in answer.text
