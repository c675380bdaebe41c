from __future__ import annotations

import subprocess
import sys

import pytest

import roost

PUBLIC = {
    "AlarmInfo",
    "Cursor",
    "DurableObject",
    "DurableObjectAbort",
    "DurableObjectState",
    "Env",
    "FailedAlarm",
    "Headers",
    "Namespace",
    "ObjectId",
    "Periodic",
    "Request",
    "Response",
    "ShutdownInfo",
    "Storage",
    "Stub",
    "Transaction",
    "WebSocket",
    "WebSocketPair",
    "WebSocketRequestResponsePair",
    "WorkerEntrypoint",
    "WriteBehind",
    "errors",
    "fetch",
    "register",
    "serve",
}


def test_the_public_names_are_these() -> None:
    """A name that goes, or comes, changes what users were promised: the changelog has to say so."""
    assert set(roost.__all__) == PUBLIC
    assert roost.__all__ == sorted(roost.__all__)
    assert set(dir(roost)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_explained(name: str) -> None:
    assert getattr(roost, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Durable'"):
        _ = roost.Durable


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_an_app_is_imported_without_gateway_and_command_line() -> None:
    modules = modules_after("import roost")
    heavy = {"picows", "httptools", "uvloop", "typer", "rich", "watchfiles", "roost.gateway", "roost.node", "roost.cli"}
    assert modules & heavy == set()


@pytest.mark.parametrize("module", ["roost.storage.storage", "roost.objects.activation", "roost.link.stream"])
def test_every_room_can_be_imported_first(module: str) -> None:
    assert module in modules_after(f"import {module}")
