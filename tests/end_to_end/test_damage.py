"""A disk damages an object: others go on, it says so, and it is mended while roost serves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from roost.history.keeper import HistoryKeeper
from roost.ids import IdSpace
from roost.storage.store import HostStore

from .roosts import APPS, Roost, roost

NOTEBOOK = APPS / "notebook.py"


async def ask(system: Roost, do: str = "read", **query: object) -> Any:
    return await system.get("/?" + urllib.parse.urlencode({"do": do, **query}))


async def command(*arguments: object) -> tuple[int, str]:
    """Run `roost …`; its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roost", *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def stop_in_order(data: Path) -> None:
    """Recover what the end of the processes left behind, so that the files alone hold everything."""
    store = HostStore(data, keeper=HistoryKeeper(data))
    for name in ("a", "b"):
        assert store.open(IdSpace("NOTEBOOK", "NOTEBOOK").from_name(name)).get("word")
    store.close()


def damage(data: Path, name: str) -> None:
    """Turn a bit over in the last page of an object's file."""
    key = IdSpace("NOTEBOOK", "NOTEBOOK").from_name(name).key.hex()
    with (data / "objects" / "NOTEBOOK" / key[:2] / f"{key}.sqlite").open("r+b") as file:
        at = file.seek(-100, 2)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


async def test_a_damaged_object_is_told_and_mended_while_the_others_are_served(tmp_path: Path) -> None:
    async with roost(NOTEBOOK, tmp_path) as system:
        for name in ("a", "b"):
            for word in ("first", "last"):
                await ask(system, "write", name=name, word=word)
        await ask(system, "fill", name="a", count=10)
    await asyncio.to_thread(stop_in_order, tmp_path)
    damage(tmp_path, "a")
    async with roost(NOTEBOOK, tmp_path) as system:
        with pytest.raises(urllib.error.HTTPError):
            await ask(system, name="a")
        assert (await ask(system, name="b"))["word"] == "last"
        status, said = await command("ps", "--data", tmp_path)
        assert status == 0
        assert "is damaged" in said
        status, said = await command("check", "--data", tmp_path)
        assert status == 1, said
        status, said = await command("repair", "NOTEBOOK:a", "--data", tmp_path)
        assert status == 0, said
        assert (await ask(system, name="a"))["word"] == "last"
        await ask(system, "write", name="a", word="after")
        status, said = await command("check", "--all", "--data", tmp_path)
        assert status == 0, said
    async with roost(NOTEBOOK, tmp_path) as system:
        assert (await ask(system, name="a"))["word"] == "after"
