from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "roost"
ROOT = "the root"
NODE = {"node", "testing"}
"""Where rooms are wired together."""
ARROWS: dict[str, set[str]] = {
    ROOT: set(),
    "storage": set(),
    "link": set(),
    "objects": {"storage"},
    "host": {"storage", "link", "objects"},
    "gateway": {"link"},
    "supervisor": set(),
    "cli": {"supervisor", "node"},
}
"""What each room may import beside the root."""
PUBLIC = {"__init__.py", "__main__.py"}
"""Of the package itself: they list what users import from anywhere, and start the command line."""

FILES = sorted(SOURCE.rglob("*.py"))


def room_of(file: Path) -> str:
    inner = file.relative_to(SOURCE).parts
    return inner[0].removesuffix(".py") if len(inner) > 1 or inner[0].removesuffix(".py") in NODE else ROOT


def imported(file: Path) -> Iterator[str]:
    """The modules of roost that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("roost."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: roost is imported by absolute names"
            if node.module == "roost":
                yield from (f"roost.{alias.name}" for alias in node.names)
            elif node.module is not None and node.module.startswith("roost."):
                yield node.module


def room_of_module(module: str) -> str:
    name = module.split(".")[1]
    return name if (SOURCE / name).is_dir() or name in NODE else ROOT


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_room_imports_only_what_its_arrows_allow(file: Path) -> None:
    room = room_of(file)
    if room in NODE or (room == ROOT and file.name in PUBLIC):
        return
    allowed = ARROWS[room] | {room, ROOT}
    assert {module for module in imported(file) if room_of_module(module) not in allowed} == set()


def test_values_are_read_without_an_event_loop_or_a_socket() -> None:
    """Protocols that stand on their own: bytes in, frames out."""
    for name in ("link/session.py", "gateway/http1.py", "gateway/framing.py", "gateway/handshake.py"):
        tree = ast.parse((SOURCE / name).read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not names & {"asyncio", "socket"}, name
