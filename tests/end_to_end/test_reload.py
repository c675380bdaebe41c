"""`roost dev`: saving a file replaces the app under open sockets. `roost run`: SIGHUP does."""

from __future__ import annotations

import json
import signal
import urllib.error
from pathlib import Path

import pytest
from tests.end_to_end.roosts import Roost, close_code, receive_json, roost

VERSION = """
import os
from roost import DurableObject, Response, WebSocketPair

class Room(DurableObject):
    async def fetch(self, request):
        if request.headers.get("upgrade") is None:
            return Response.json("{version}")
        client, server = WebSocketPair()
        if "active" in request.url:
            server.accept()
        else:
            self.ctx.accept_web_socket(server)
            server.serialize_attachment({{"since": "{version}"}})
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws, message):
        count = await self.ctx.storage.get("count", 0) + 1
        await self.ctx.storage.put("count", count)
        ws.send_json(["{version}", count, ws.deserialize_attachment()["since"], self.env.TITLE])

async def fetch(request, env):
    return await env.ROOM.get_by_name("x").fetch(request)
"""


def save(directory: Path, version: str) -> Path:
    app = directory / "app.py"
    app.write_text(VERSION.format(version=version))
    return app


def configure(directory: Path, title: str) -> None:
    (directory / "pyproject.toml").write_text(f"[tool.roost.vars]\nTITLE = '{title}'\n")


async def answered(running: Roost, socket: object) -> list[object]:
    await socket.send("x")  # type: ignore[attr-defined]
    answer: list[object] = await receive_json(socket)  # type: ignore[arg-type]
    return answer


async def test_sockets_stay_open_through_a_reload_and_a_broken_version_changes_nothing(tmp_path: Path) -> None:
    configure(tmp_path, "first")
    app = save(tmp_path, "one")
    async with roost(app, tmp_path / "data", command="dev") as running, running.connect("/") as socket:
        active = await running.connect("/active")
        assert await answered(running, socket) == ["one", 1, "one", "first"]

        save(tmp_path, "two")
        await running.errors.until("the new version of app.py serves")
        assert await answered(running, socket) == ["two", 2, "one", "first"]
        assert await close_code(active) == 1012

        app.write_text("class Broken(\n")
        await running.errors.until("the previous version goes on serving")
        assert "SyntaxError: '(' was never closed" in running.errors.text
        assert await answered(running, socket) == ["two", 3, "one", "first"]

        app.write_text("import no_such_module\n")
        await running.errors.until("the previous version goes on serving", count=2)
        assert "No module named 'no_such_module'" in running.errors.text

        save(tmp_path, "six")  # as long as the version before it, and perhaps within the same second
        await running.errors.until("the new version of app.py serves", count=2)
        assert await answered(running, socket) == ["six", 4, "one", "first"]

        configure(tmp_path, "other")
        await running.errors.until("the new version of app.py serves", count=3)
        assert await answered(running, socket) == ["six", 5, "one", "other"]
        assert await running.stop() == 0


async def test_an_app_that_is_broken_from_the_start_is_waited_for(tmp_path: Path) -> None:
    configure(tmp_path, "first")
    app = tmp_path / "app.py"
    app.write_text("x = (\n")
    async with roost(app, tmp_path / "data", command="dev") as running:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            await running.get("/")
        assert "SyntaxError" in running.errors.text
        save(tmp_path, "one")
        await running.errors.until("the new version of app.py serves")
        assert await running.get("/") == "one"


async def test_sockets_outlive_a_host_that_dies_while_the_app_is_broken(tmp_path: Path) -> None:
    configure(tmp_path, "first")
    app = save(tmp_path, "one")
    async with roost(app, tmp_path / "data", command="dev") as running, running.connect("/") as socket:
        assert await answered(running, socket) == ["one", 1, "one", "first"]
        app.write_text("x = (\n")
        await running.errors.until("the previous version goes on serving")
        running.kill("host 0")
        await running.errors.until("host 0 is tried again")
        await socket.send("x")
        save(tmp_path, "two")
        assert await receive_json(socket) == ["two", 2, "one", "first"]


async def test_sighup_deploys_without_closing_a_socket(tmp_path: Path) -> None:
    configure(tmp_path, "first")
    app = save(tmp_path, "one")
    async with roost(app, tmp_path / "data", "--hosts", 2, "--gateways", 2) as running, running.connect("/") as socket:
        assert await answered(running, socket) == ["one", 1, "one", "first"]
        before = running.children()
        save(tmp_path, "second")
        configure(tmp_path, "other")
        running.process.send_signal(signal.SIGHUP)
        await running.errors.until("the new version of app.py serves")
        after = running.children()
        assert {name for name in before if before[name] != after[name]} == {"host 0", "host 1"}
        assert await answered(running, socket) == ["second", 2, "one", "other"]
        app.write_text("x = (\n")
        running.process.send_signal(signal.SIGHUP)
        await running.errors.until("the previous version goes on serving")
        assert await answered(running, socket) == ["second", 3, "one", "other"]
        assert running.children() == after


async def test_what_changed_is_told_and_what_needs_another_start_too(tmp_path: Path) -> None:
    configure(tmp_path, "first")
    app = save(tmp_path, "one")
    async with roost(app, tmp_path / "data", command="dev") as running:
        (tmp_path / "pyproject.toml").write_text("[tool.roost]\nprot = 3\n")
        await running.errors.until("`prot` is not a setting; did you mean `port`?")
        (tmp_path / "pyproject.toml").write_text("[tool.roost]\ngateways = 2\nvars = { TITLE = 'x' }\n")
        await running.errors.until("gateways changed: that takes effect when roost is started anew")
        await running.errors.until("the new version of app.py serves")
        assert len(running.children("gateway")) == 1
        assert json.dumps(await running.get("/")) == '"one"'
