"""What cannot begin ends with status 2 and a message that says what to do."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from tests.end_to_end.roosts import APPS, roost

LEDGER = APPS / "ledger.py"


async def errors_of(app: Path, data: Path, *arguments: Any, command: str = "run") -> str:
    """What is printed by a roost that ends with status 2 and serves nothing."""
    async with roost(app, data, *arguments, command=command, ready=False) as running:
        assert await running.ended() == 2
        assert running.out.all == []
        return running.errors.text


def app_with(directory: Path, source: str) -> Path:
    app = directory / "app.py"
    app.write_text(source)
    return app


async def test_a_port_in_use_is_named_with_a_hint(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        errors = await errors_of(LEDGER, tmp_path / "data", "--port", port)
    assert errors.startswith(f"roost: 127.0.0.1 port {port} is in use by another process; choose another port")


async def test_the_port_of_another_roost_is_in_use_however_many_gateways_share_it(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data", "--gateways", 2) as running:
        port = running.url.rpartition(":")[2]
        assert f"port {port} is in use" in await errors_of(LEDGER, tmp_path / "other", "--port", port)
        assert await running.get("/stored")


async def test_a_data_directory_in_use_is_named_with_its_user(tmp_path: Path) -> None:
    async with roost(LEDGER, tmp_path / "data") as running:
        errors = await errors_of(LEDGER, tmp_path / "data")
        assert f"{tmp_path / 'data'} is in use by another roost (process {running.process.pid})" in errors
        assert await running.get("/stored")


async def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    errors = await errors_of(LEDGER, tmp_path / "file" / "data")
    assert errors.startswith("roost: the data directory cannot be used: Not a directory")


async def test_a_data_directory_of_a_newer_format_is_refused_by_its_host(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "format").write_text("99\n")
    assert "has storage format '99'" in await errors_of(LEDGER, tmp_path / "data")


async def test_a_read_only_data_directory_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with read_only(data):
        if os.access(data, os.W_OK):  # root may write anywhere; the file system itself must refuse
            data = Path("/proc/roost-data")
        errors = await errors_of(LEDGER, data)
    assert errors.startswith("roost: the data directory cannot be used: ")


@contextlib.contextmanager
def read_only(directory: Path) -> Any:
    directory.chmod(0o500)
    try:
        yield
    finally:
        directory.chmod(0o700)


async def test_an_app_that_raises_is_shown_with_its_own_frames(tmp_path: Path) -> None:
    app = app_with(tmp_path, "def deep():\n    return {}['missing']\n\ndeep()\n")
    errors = await errors_of(app, tmp_path / "data")
    assert "return {}['missing']" in errors
    assert "KeyError: 'missing'" in errors
    assert "roost/host" not in errors
    assert errors.splitlines()[-1] == f"roost: {app} does not import: KeyError: 'missing'"


async def test_an_app_with_a_syntax_error_is_shown_at_its_place(tmp_path: Path) -> None:
    errors = await errors_of(app_with(tmp_path, "x = 1\nclass Broken(\n"), tmp_path / "data")
    assert "class Broken(" in errors
    assert "SyntaxError: '(' was never closed" in errors


async def test_an_app_without_anything_to_run_is_told_what_is_expected(tmp_path: Path) -> None:
    errors = await errors_of(app_with(tmp_path, ""), tmp_path / "data")
    assert "no subclass of roost.DurableObject and no `async def fetch(request, env)`" in errors


async def test_an_app_that_is_not_there_is_named(tmp_path: Path) -> None:
    errors = await errors_of(tmp_path / "gone.py", tmp_path / "data")
    assert errors == f"roost: the app {tmp_path / 'gone.py'} does not exist; expected the path of a Python file"


async def test_wrong_settings_are_named(tmp_path: Path) -> None:
    app = app_with(tmp_path, LEDGER.read_text())
    (tmp_path / "pyproject.toml").write_text("[tool.roost.assets]\ndirectory = 'none'\n")
    assert "assets.directory" in await errors_of(app, tmp_path / "data")
    (tmp_path / "pyproject.toml").write_text("[tool.roost]\nprot = 1\n")
    assert "did you mean `port`?" in await errors_of(app, tmp_path / "data", command="dev")
    (tmp_path / "pyproject.toml").write_text("[tool.roost]\ntls = { certfile = 'c', keyfile = 'k' }\n")
    assert "`tls`: the certificate" in await errors_of(app, tmp_path / "data")
