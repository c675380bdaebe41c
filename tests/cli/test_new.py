from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from roost.cli.new import make_app
from roost.errors import ConfigurationError
from roost.node.serve import serve


def read(url: str) -> str:
    with urllib.request.urlopen(url) as response:
        text: str = response.read().decode()
        return text


async def test_the_new_app_works(tmp_path: Path) -> None:
    files = make_app(tmp_path / "deep" / "new")
    assert [str(path.relative_to(tmp_path / "deep" / "new")) for path in files] == [
        "app.py",
        "pyproject.toml",
        "static/index.html",
    ]
    async with serve(tmp_path / "deep" / "new", data=tmp_path / "data") as server:
        assert "<title>Counter</title>" in await asyncio.to_thread(read, server.url)
        address = server.url.replace("http", "ws") + "/counter"
        async with connect(address) as one, connect(address) as other:
            assert await one.recv() == await other.recv() == '{"count":0}'
            await one.send("up")
            assert await one.recv() == await other.recv() == '{"count":1}'
            await other.send("sideways")
            assert await other.recv() == '{"error":"expected `up` or `down`"}'
        assert await asyncio.to_thread(read, server.url + "/counter") == '{"count":1}'


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml is there already"):
        make_app(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
    assert (tmp_path / "pyproject.toml").read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written to: Not a directory"):
        make_app(tmp_path / "file" / "new")
