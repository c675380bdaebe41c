"""The list of things to do does what its page says."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import roost

APP = Path(__file__).parents[2] / "examples" / "todo" / "app.py"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with roost.serve(APP, data=tmp_path / "data", port=0) as server:
        yield server.url


async def ask(url: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
    def blocking() -> tuple[int, Any]:
        request = urllib.request.Request(url, None if body is None else body.encode(), method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(blocking)


async def test_items_are_added_done_and_deleted(url: str) -> None:
    assert await ask(f"{url}/ada", "POST", "buy tea") == (200, {"id": 1, "text": "buy tea", "done": False})
    assert await ask(f"{url}/ada", "POST", "boil water") == (200, {"id": 2, "text": "boil water", "done": False})
    assert await ask(f"{url}/ada/1", "PUT") == (200, {"id": 1, "text": "buy tea", "done": True})
    assert [item["id"] for item in (await ask(f"{url}/ada"))[1]] == [2, 1]
    assert (await ask(f"{url}/ada/2", "DELETE"))[1]["text"] == "boil water"
    assert [item["id"] for item in (await ask(f"{url}/ada"))[1]] == [1]
    assert await ask(f"{url}/grace") == (200, [])


async def test_a_search_finds_words_in_any_form_and_any_text_is_a_search(url: str) -> None:
    for text in ("buy green tea", "boil the water", "drink"):
        await ask(f"{url}/ada", "POST", text)
    assert [item["id"] for item in (await ask(f"{url}/ada?search=boiling"))[1]] == [2]
    await ask(f"{url}/ada/2", "DELETE")
    assert (await ask(f"{url}/ada?search=boiling"))[1] == []
    assert (await ask(f"{url}/ada?search=%22green%20OR"))[1] == []


async def test_what_is_not_there_is_said(url: str) -> None:
    assert await ask(f"{url}/ada", "POST", "  ") == (400, "say what there is to do\n")
    assert await ask(f"{url}/ada/7", "DELETE") == (404, "there is no such item\n")
    assert await ask(f"{url}/") == (404, "ask for /NAME\n")


async def test_a_list_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    data = tmp_path / "data"
    text = APP.read_text(encoding="utf-8")
    first = tmp_path / "app.py"
    head, _, tail = text.partition("    # The second version:\n")
    first.write_text(head + "]\n" + tail.partition("]\n\n")[2].replace("SELECT * FROM", "SELECT *, 0 AS done FROM"))
    first.write_text(first.read_text().replace("RETURNING *", "RETURNING *, 0 AS done"))
    async with roost.serve(first, data=data, port=0) as server:
        await ask(f"{server.url}/ada", "POST", "from the first version")
    async with roost.serve(APP, data=data, port=0) as server:
        assert (await ask(f"{server.url}/ada?search=versions"))[1] == [
            {"id": 1, "text": "from the first version", "done": False}
        ]
