"""The whole system in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import types
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from roost.errors import AppLoadError, ConfigurationError, DataDirectoryError, InvalidStateError, WrongTypeError
from roost.host.app import App
from roost.node.serve import serve
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

APP = """
from roost.objects.durable_object import DurableObject
from roost.response import Response

VERSION = {version}

class Counter(DurableObject):
    async def fetch(self, request):
        return Response(str(VERSION))

async def fetch(request, env):
    return await env.COUNTER.get_by_name("x").fetch(request)
"""


class Echo(DurableObject):
    """Counts what it is sent, and keeps the count; `/active` takes the socket into memory."""

    async def fetch(self, request: Any) -> Response:
        if request.headers.get("upgrade") is None:
            return Response.json(await self.ctx.storage.get("count", 0))
        client, server = WebSocketPair()
        if request.url.endswith("/active"):
            server.accept()
        else:
            self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        if message == "wait for ever":
            self.env.WAITING.set()
            await asyncio.get_running_loop().create_future()
        count = await self.ctx.storage.get("count", 0) + 1
        await self.ctx.storage.put("count", count)
        ws.send(f"{message} {count}")


async def front(request: Any, env: Any) -> Response:
    response: Response = await env.ECHO.get_by_name("x").fetch(request)
    return response


async def get(url: str, tls: ssl.SSLContext | None = None) -> str:
    def read() -> str:
        with urllib.request.urlopen(url, context=tls) as response:
            text: str = response.read().decode()
            return text

    return await asyncio.to_thread(read)


def ws(server: Any, path: str = "/") -> Any:
    return connect(server.url.replace("http", "ws") + path)


async def test_classes_are_served_and_what_they_store_is_there_the_next_time(tmp_path: Path) -> None:
    async with serve([Echo], fetch=front, data=tmp_path) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        async with ws(server) as socket:
            await socket.send("a")
            assert await socket.recv() == "a 1"
    async with serve([Echo], fetch=front, data=tmp_path) as server:
        assert await get(server.url) == "1"


async def test_without_a_data_directory_everything_is_forgotten() -> None:
    async with serve(Echo, fetch=front) as server:
        data = server.settings.data
        assert os.listdir(data)
    with pytest.raises(FileNotFoundError):
        os.listdir(data)


async def test_the_end_closes_sockets_with_1001() -> None:
    async with serve(Echo, fetch=front) as server:
        socket = await ws(server)
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    assert socket.close_code == 1001


@pytest.mark.parametrize("kill", [False, True])
async def test_a_new_host_keeps_hibernating_sockets_and_closes_active_ones(kill: bool) -> None:
    async with serve(Echo, fetch=front) as server, ws(server) as socket, ws(server, "/active") as active:
        await socket.send("a")
        assert await socket.recv() == "a 1"
        await server.restart_host(kill=kill)
        await socket.send("b")
        assert await socket.recv() == "b 2"
        with pytest.raises(ConnectionClosed):
            await active.recv()
        assert active.close_code == 1012


async def test_a_message_that_was_not_finished_closes_its_socket_when_the_host_is_killed() -> None:
    waiting = asyncio.Event()
    async with (
        serve(Echo, fetch=front, vars={"WAITING": waiting}) as server,
        ws(server) as socket,
        ws(server) as other,
    ):
        await socket.send("wait for ever")
        await waiting.wait()
        await server.restart_host(kill=True)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1012
        await other.send("a")
        assert await other.recv() == "a 1"


async def test_a_path_is_imported_anew_and_has_its_settings_from_pyproject(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(version=1))
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "page.txt").write_text("a page")
    (tmp_path / "pyproject.toml").write_text(
        "[tool.roost]\nvars = { TITLE = 'x' }\nlimits = { idle_seconds = 3 }\nassets = { directory = 'static' }\n"
    )
    async with serve(app, data=tmp_path / "data", limits={"tags_per_socket_max": 3}) as server:
        assert (server.settings.limits.idle_seconds, server.settings.limits.tags_per_socket_max) == (3, 3)
        assert server.env.TITLE == "x"
        assert await get(f"{server.url}/page.txt") == "a page"
        assert await (await server.env.ASSETS.fetch("http://x/page.txt")).text() == "a page"
        assert await get(server.url) == "1"
        app.write_text(APP.format(version=22))
        await server.restart_host()
        assert await get(server.url) == "22"
        app.write_text("1 / 0")
        with pytest.raises(AppLoadError, match="ZeroDivisionError"):
            await server.restart_host()
        assert await get(server.url) == "22"


@pytest.mark.parametrize(
    "app",
    [
        {"ECHO": Echo},
        App(name="x", classes={"ECHO": Echo}, entrypoint=front),
        types.SimpleNamespace,
    ],
    ids=["dict", "App", "module"],
)
async def test_an_app_comes_in_many_forms(app: Any) -> None:
    if app is types.SimpleNamespace:
        app = types.ModuleType("an_app")
        vars(app).update(fetch=front)
        async with serve(app, bindings={"ECHO": Echo}) as server:
            assert await get(server.url) == "0"
    else:
        async with serve(app, fetch=None if isinstance(app, App) else front, debug=True) as server:
            assert await get(server.url) == "0"


async def test_objects_can_be_called_without_a_client() -> None:
    async with serve(Echo) as server:
        response = await server.env.ECHO.get_by_name("x").fetch("http://x/")
        assert json.loads(await response.text()) == 0


async def test_bad_input_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        serve(tmp_path / "gone.py")
    (tmp_path / "app.py").write_text("")
    with pytest.raises(WrongTypeError, match="serve takes `fetch` with classes"):
        serve(tmp_path / "app.py", fetch=front)
    with pytest.raises(AppLoadError, match="holds nothing that roost could run"):
        async with serve(tmp_path / "app.py"):
            pass
    server = serve(Echo)
    for attribute in ("host", "gateway", "env"):
        with pytest.raises(InvalidStateError, match="has not begun, or has ended"):
            getattr(server, attribute)


async def test_a_failed_beginning_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serve(Echo, data=tmp_path) as server:
        with pytest.raises(DataDirectoryError, match="in use by another roost"):
            async with serve(Echo, data=tmp_path):
                pass
        with pytest.raises(OSError, match="address already in use"):
            async with serve(Echo, data=tmp_path / "other", port=server.port):
                pass
        async with serve(Echo, data=tmp_path / "other"):
            pass


async def test_the_loops_task_factory_is_its_own_again_afterwards() -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    with contextlib.suppress(ZeroDivisionError):
        async with serve(Echo):
            raise ZeroDivisionError
    assert loop.get_task_factory() is before


async def test_with_a_certificate_it_is_https(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    outputs = ["-keyout", str(key), "-out", str(certificate)]
    making = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", *curve, *names, *outputs), stderr=asyncio.subprocess.DEVNULL
    )
    assert await making.wait() == 0
    (tmp_path / "app.py").write_text(APP.format(version=1))
    (tmp_path / "pyproject.toml").write_text("[tool.roost.tls]\ncertfile = 'c.pem'\nkeyfile = 'k.pem'\n")
    async with serve(tmp_path, data=tmp_path / "data") as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert await get(server.url, ssl.create_default_context(cafile=str(certificate))) == "1"


class Leaving(DurableObject):
    async def fetch(self, request: Any) -> Response:
        return Response("here")

    async def pre_shutdown(self, info: Any) -> None:
        self.env.TOLD.append(info.reason)


async def ask_leaving(request: Any, env: Any) -> Any:
    return await env.LEAVING.get_by_name("x").fetch(request)


async def test_objects_are_told_whether_their_host_is_replaced_or_the_system_stops() -> None:
    told: list[str] = []
    async with serve(Leaving, fetch=ask_leaving, vars={"TOLD": told}) as server:
        assert await get(server.url) == "here"
        await server.restart_host()
        assert told == ["codeUpdated"]
        assert await get(server.url) == "here"
        await server.restart_host(kill=True)
        assert told == ["codeUpdated"]
        assert await get(server.url) == "here"
    assert told == ["codeUpdated", "stopping"]
