"""Going back in time: from within an object and from the command line, through kills, with several hosts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

import roost as roost_package
from roost.errors import HistoryError, InvalidArgumentError, ObjectResetError
from roost.history.shelf import Shelf
from roost.history.trimming import make_room
from roost.node.recovery import recover

from .roosts import APPS, Roost, roost

NOTEBOOK = APPS / "notebook.py"
WORDS = ["one", "two", "three", "four"]


async def ask(system: Roost, do: str = "read", **query: object) -> Any:
    return await system.get("/?" + urllib.parse.urlencode({"do": do, **query}))


async def aborted(system: Roost, **query: object) -> None:
    with pytest.raises(urllib.error.HTTPError):
        await ask(system, "abort", **query)


async def command(*arguments: object) -> tuple[int, str, str]:
    """Run `roost …`; its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roost", *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def written(system: Roost, **query: object) -> dict[str, str]:
    """Each word is written; by word, the bookmark of then."""
    return {word: (await ask(system, "write", word=word, **query))["bookmark"] for word in WORDS}


async def test_every_bookmark_is_found_again_after_kill_minus_nine_and_the_way_back_too(tmp_path: Path) -> None:
    async with roost(NOTEBOOK, tmp_path) as system:
        marks = await written(system)
        assert sorted(marks.values()) == list(marks.values())
        await ask(system, "fill", count=20)
        await system.kill_everything()
    async with roost(NOTEBOOK, tmp_path) as system:
        for word, mark in reversed(marks.items()):
            undo = (await ask(system, "restore", bookmark=mark))["undo"]
            await aborted(system)
            assert (await ask(system))["word"] == word
        await ask(system, "restore", bookmark=undo)
        await aborted(system)
        assert (await ask(system))["word"] == "two", "what it held before it went back to `one`"


async def test_a_kill_before_the_object_began_anew_loses_no_restore(tmp_path: Path) -> None:
    async with roost(NOTEBOOK, tmp_path) as system:
        marks = await written(system)
        await ask(system, "restore", bookmark=marks["one"])
        await system.kill_everything()
    async with roost(NOTEBOOK, tmp_path) as system:
        assert (await ask(system))["word"] == "one"
        after = (await ask(system))["bookmark"]
        assert after > marks["four"]
        await system.kill_everything()
    async with roost(NOTEBOOK, tmp_path) as system:
        assert (await ask(system))["word"] == "one"
        assert not list((tmp_path / "restores").iterdir())


async def test_alarms_come_back_with_the_rest(tmp_path: Path) -> None:
    far = 4_000_000_000_000
    async with roost(NOTEBOOK, tmp_path) as system:
        none = (await ask(system, "write", word="none"))["bookmark"]
        some = (await ask(system, "alarm", when=far))["bookmark"]
        for mark, alarm in ((none, None), (some, far)):
            await ask(system, "restore", bookmark=mark)
            await aborted(system)
            assert (await ask(system))["alarm"] == alarm


async def test_an_object_goes_back_by_the_command_line_while_its_system_serves_others(tmp_path: Path) -> None:
    async with roost(NOTEBOOK, tmp_path, "--hosts", 2) as system:
        marks = {name: await written(system, name=name) for name in ("n", "m", "k")}
        going_on = asyncio.create_task(ask(system, "fill", name="m", count=200))
        for name in ("n", "k"):
            target = marks[name]["two"]
            status, out, err = await command("restore", f"NOTEBOOK:{name}", "--bookmark", target, "--data", tmp_path)
            assert status == 0, err
            assert (await ask(system, name=name))["word"] == "two"
            assert (await ask(system, "write", name=name, word="new"))["bookmark"] > marks[name]["four"]
            undo = out.split()[-1]
            await command("restore", f"NOTEBOOK:{name}", "--bookmark", undo, "--data", tmp_path)
            assert (await ask(system, name=name))["word"] == "four"
        assert (await going_on)["word"] == "four"


async def test_an_object_goes_back_by_the_command_line_when_nothing_runs(tmp_path: Path) -> None:
    async with roost(NOTEBOOK, tmp_path) as system:
        marks = await written(system)
        assert await system.stop() == 0
    status, out, _ = await command("history", "NOTEBOOK:n", "--json", "--data", tmp_path)
    assert status == 0
    assert [line["bookmark"] for line in json.loads(out)] == list(marks.values())
    two = json.loads(out)[1]["time_ms"]
    status, out, _ = await command("restore", "NOTEBOOK:n", "--at", two / 1000, "--data", tmp_path)
    assert (status, "when roost is started next" in out) == (0, True)
    async with roost(NOTEBOOK, tmp_path) as system:
        assert (await ask(system))["word"] == "two"


async def test_with_another_number_of_hosts_the_past_is_still_there(tmp_path: Path) -> None:
    marks: dict[str, dict[str, str]] = {}
    names = [f"n{n}" for n in range(6)]
    for hosts in (1, 3, 2):
        async with roost(NOTEBOOK, tmp_path, "--hosts", hosts) as system:
            for name in names:
                for word in (f"{hosts} a", f"{hosts} b"):
                    answer = await ask(system, "write", name=name, word=word)
                    marks.setdefault(name, {})[word] = answer["bookmark"]
            assert await system.stop() == 0
    async with roost(NOTEBOOK, tmp_path, "--hosts", 2) as system:
        for name in names:
            for word, mark in marks[name].items():
                await ask(system, "restore", name=name, bookmark=mark)
                await aborted(system, name=name)
                assert (await ask(system, name=name))["word"] == word


async def call(server: Any, do: str = "read", *, name: str = "n", **query: object) -> Any:
    address = "http://x/?" + urllib.parse.urlencode({"do": do, **query})
    return await (await server.env.NOTEBOOK.get_by_name(name).fetch(address)).json()


async def test_it_works_within_one_process(tmp_path: Path) -> None:
    async with roost_package.serve(NOTEBOOK, data=tmp_path) as server:
        marks = {word: (await call(server, "write", word=word))["bookmark"] for word in WORDS}
        now = server.clock.now_ms()
        assert (await call(server, "at", time=now))["bookmark"] == marks["four"]
        assert (await call(server, "at", time=0))["bookmark"] < marks["one"]
        for word, bookmark in marks.items():
            await call(server, "restore", bookmark=bookmark)
            with pytest.raises(ObjectResetError):
                await call(server, "abort")
            assert (await call(server))["word"] == word
        await call(server, "restore", bookmark=marks["one"])
        await server.restart_host(kill=True)
        assert (await call(server))["word"] == "one"
        with pytest.raises(InvalidArgumentError, match="of another object"):
            await call(server, "restore", name="m", bookmark=marks["one"])
        with pytest.raises(InvalidArgumentError, match="lies in the future"):
            await call(server, "at", time=now + 10**9)


async def test_a_time_before_the_kept_history_names_the_earliest(tmp_path: Path) -> None:
    async with roost_package.serve(NOTEBOOK, data=tmp_path) as server:
        first = (await call(server, "write", word="old"))["bookmark"]
    recover(tmp_path, 1)
    assert make_room(Shelf(tmp_path))
    async with roost_package.serve(NOTEBOOK, data=tmp_path) as server:
        assert (await call(server))["word"] == "old"
        with pytest.raises(HistoryError, match=r"is kept from 20\d\d-.* on"):
            await call(server, "at", time=1_000)
        assert (await call(server, "at", time=server.clock.now_ms()))["bookmark"] >= first


async def test_history_is_kept_while_a_host_serves(tmp_path: Path) -> None:
    limits = {"journal_segment_bytes": 64 * 1024, "checkpoint_bytes": 64 * 1024}
    async with roost_package.serve(NOTEBOOK, data=tmp_path, limits=limits) as server:
        mark = (await call(server, "write", word="old"))["bookmark"]
        while not Shelf(tmp_path).archives():
            await call(server, "fill", count=50)
        assert (await call(server, "write", word="new"))["bookmark"] > mark
        await call(server, "restore", bookmark=mark)
        with pytest.raises(ObjectResetError):
            await call(server, "abort")
        assert (await call(server))["word"] == "old"
