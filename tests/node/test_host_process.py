"""A host and a gateway as the supervisor would have them, on this loop: the settings arrive where they are needed."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roost.config import Assets, Settings, Tls
from roost.errors import AppLoadError, ConfigurationError, DataDirectoryError, InvalidArgumentError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.link.directory import LocalDirectory
from roost.node.gateway_process import GatewayProcess
from roost.node.host_process import HostProcess
from roost.node.process import ANOTHERS
from roost.storage.recovery.restores import Restores
from roost.supervisor.messages import Raised, Sockets, Start

APP = """
from roost import DurableObject, Response

class Counter(DurableObject):
    async def fetch(self, request):
        if request.path == "/fails":
            raise ZeroDivisionError("a bug in the app")
        return Response.json({"title": self.env.TITLE, "url": request.url, "name": self.ctx.id.name})

async def fetch(request, env):
    if request.path == "/asset":
        return await env.ASSETS.fetch("http://x/page.txt")
    return await env.C.get_by_name(request.query.get("name", "x")).fetch(request)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    app = tmp_path / "app.py"
    app.write_text(APP)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "page.txt").write_text("a page")
    return Settings(
        app=str(app),
        data=str(tmp_path / "data"),
        bindings={"C": "Counter"},
        vars={"TITLE": "Boards"},
        limits=Limits(name_bytes_max=5, url_bytes_max=200),
        assets=Assets(directory=str(tmp_path / "static")),
        trusted_proxies=("127.0.0.1",),
    )


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with tempfile.TemporaryDirectory(prefix="roost-") as directory:  # a path short enough for Unix sockets
        yield Sockets(directory)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    outputs = ["-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *outputs], check=True, capture_output=True)
    return Tls(certfile=certificate, keyfile=key)


@asynccontextmanager
async def served(settings: Settings, sockets: Sockets, broken: Raised | None = None) -> AsyncIterator[Any]:
    """A host and a gateway that serve within the block: `(host, gateway, port)`."""
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    host = HostProcess(Start("host", 0, settings, sockets, broken=broken))
    gateway = GatewayProcess(Start("gateway", 0, settings, sockets, listening=listening.detach()))
    await host.serve()
    await gateway.serve()
    try:
        yield host, gateway, port
    finally:
        assert not await gateway.drain(60)  # it stays, for its sockets
        assert await host.drain(60)  # and the host goes
        await gateway.stop(60)
        loop.set_task_factory(factory)


async def get(
    url: str, headers: dict[str, str] | None = None, trusting: ssl.SSLContext | None = None
) -> tuple[int, str]:
    def read() -> tuple[int, str]:
        request = urllib.request.Request(url, headers=headers or {})
        try:
            with urllib.request.urlopen(request, context=trusting) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(read)


async def test_settings_reach_host_and_gateway(settings: Settings, sockets: Sockets) -> None:
    async with served(settings, sockets) as (host, gateway, port):
        url = f"http://127.0.0.1:{port}"
        status, text = await get(f"{url}/", {"X-Forwarded-Proto": "https", "Host": "boards.example"})
        told = json.loads(text)
        assert (status, told["title"], told["name"]) == (200, "Boards", "x")  # vars, bindings
        assert told["url"] == "https://boards.example/"  # trusted_proxies
        assert await get(f"{url}/page.txt") == (200, "a page")  # assets of the gateway
        assert await get(f"{url}/asset") == (200, "a page")  # and of env
        assert (await get(f"{url}/?{'x' * 200}"))[0] == 414  # limits of the gateway
        assert (await get(f"{url}/?name=too-long"))[0] == 500  # and of the host
        status, text = await get(f"{url}/fails")
        assert status == 500
        assert "a bug in the app" not in text
        report = host.report()
        assert [(o.binding, o.name, o.state, o.sockets) for o in report.objects] == [("C", "x", "awake", 0)]
        assert report.objects[0].meter["events"] == {"fetch": 2}
        assert report.resident_bytes > 0
        assert (gateway.report().sockets, gateway.report().hosts) == (0, 1)


async def test_with_debug_a_client_is_told_what_was_raised(settings: Settings, sockets: Sockets) -> None:
    settings = msgspec.structs.replace(settings, debug=True)
    async with served(settings, sockets) as (_, _, port):
        status, text = await get(f"http://127.0.0.1:{port}/fails")
        assert status == 500
        assert "ZeroDivisionError: a bug in the app" in text


async def test_with_a_certificate_it_is_https(settings: Settings, sockets: Sockets, tls: Tls) -> None:
    async with served(msgspec.structs.replace(settings, tls=tls), sockets) as (_, _, port):
        trusting = ssl.create_default_context(cafile=tls.certfile)
        assert await get(f"https://127.0.0.1:{port}/page.txt", trusting=trusting) == (200, "a page")


async def test_what_the_app_raised_is_told_by_a_host_in_its_place(settings: Settings, sockets: Sockets) -> None:
    async with served(settings, sockets, Raised("ZeroDivisionError", "division by zero")) as (host, _, port):
        status, text = await get(f"http://127.0.0.1:{port}/")
        assert status == 503
        assert "ZeroDivisionError: division by zero" in text
        assert host.report().app == "placeholder"


async def test_the_storage_is_its_own_until_it_has_drained(settings: Settings, sockets: Sockets) -> None:
    successor = HostProcess(Start("host", 0, settings, sockets))  # prepared while the other serves
    async with served(settings, sockets):
        with pytest.raises(DataDirectoryError, match="in use"):
            await successor.serve()
    factory = asyncio.get_running_loop().get_task_factory()
    await successor.serve()
    await successor.stop(60)
    asyncio.get_running_loop().set_task_factory(factory)


def test_what_cannot_be_prepared_is_an_error_before_anything_is_opened(settings: Settings, sockets: Sockets) -> None:
    Path(settings.app).write_text("1 / 0")
    with pytest.raises(AppLoadError, match="ZeroDivisionError"):
        HostProcess(Start("host", 0, settings, sockets))
    gone = msgspec.structs.replace(settings, assets=Assets(directory="/nowhere"))
    for role in (HostProcess, GatewayProcess):
        with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(ConfigurationError, match="/nowhere"):
            role(Start("host", 0, gone, sockets, listening=listening.fileno()))
    assert not Path(settings.data).exists()


async def test_an_order_about_an_object_ends_its_life_and_takes_it_back(settings: Settings, sockets: Sockets) -> None:
    settings = msgspec.structs.replace(settings, limits=Limits())
    async with served(settings, sockets) as (host, _, port):
        await get(f"http://127.0.0.1:{port}/?name=ada")
        ada = IdSpace("C", "C").from_name("ada")
        about = {"binding": "C", "id": str(ada)}
        place = host._host.activations.places[ada.key]
        first = place.activation
        number = host.obey("restore", {**about, "commit": 0})
        assert number > 0
        assert first.ended
        assert (await get(f"http://127.0.0.1:{port}/?name=ada"))[0] == 200
        assert host.obey("end_life", about) is None
        with pytest.raises(InvalidArgumentError, match="does not take the order 'dance'"):
            host.obey("dance", about)


async def test_an_import_of_a_class_that_the_app_lacks_is_refused_with_those_it_has(
    settings: Settings, sockets: Sockets
) -> None:
    async with served(settings, sockets) as (host, _, _):
        ada = IdSpace("CC", "CC").from_name("ada")
        with pytest.raises(InvalidArgumentError, match="has no class bound as CC; its classes are bound as C"):
            host.obey("import", {"binding": "CC", "id": str(ada), "commit": 1})
        assert Restores(Path(settings.data)).pending(ada.key) is None
        ada = IdSpace("C", "C").from_name("ada")
        assert host.obey("import", {"binding": "C", "id": str(ada), "commit": 0}) > 0


async def test_while_the_app_does_not_import_nothing_is_imported_into_its_objects(
    settings: Settings, sockets: Sockets
) -> None:
    async with served(settings, sockets, Raised("ZeroDivisionError", "division by zero")) as (host, _, _):
        ada = IdSpace("C", "C").from_name("ada")
        with pytest.raises(InvalidArgumentError, match="the app does not import"):
            host.obey("import", {"binding": "C", "id": str(ada), "commit": 0})


async def test_an_order_about_an_object_of_another_host_is_left_to_that_one(
    settings: Settings, sockets: Sockets
) -> None:
    settings = msgspec.structs.replace(settings, hosts=2)
    async with served(settings, sockets) as (host, _, _):
        owner = LocalDirectory(range(2)).owner
        ids = [IdSpace("C", "C").from_name(str(n)) for n in range(20)]
        other = next(one for one in ids if owner(one.key) == 1)
        arguments = {"binding": "C", "id": str(other), "commit": 0}
        assert host.obey("restore", arguments) is ANOTHERS
