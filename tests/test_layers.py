"""The arrows between the rooms, read from the source: who may import whom."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "roost"

ARROWS: dict[str, set[str]] = {
    "words": {"words"},
    "storage": {"storage", "words"},
    "history": {"history", "storage", "words"},
    "backup": {"backup", "history", "storage", "words"},
    "link": {"link", "words"},
    "objects": {"objects", "words", "storage"},
    "host": {"host", "words", "storage", "link", "objects"},
    "gateway": {"gateway", "words", "link"},
    "supervisor": {"supervisor", "words"},
    "testing": {"testing", "node", "words", "storage", "link", "objects", "host", "gateway", "supervisor"},
    "node": {"node", "words", "storage", "history", "backup", "link", "objects", "host", "gateway", "supervisor"},
    "cli": {"cli", "words", "node", "supervisor", "storage", "history", "backup"},
}
"""Room -> the rooms that it may import. The words are the modules of the package root."""

USERS_CODE = {"roost.cli.starter.app"}
"""What `roost new` writes: it imports as users do."""
PUBLIC = {"roost", "roost.__main__"}
"""They list what users import from anywhere, and start the command line."""

SANS_IO = [
    "events.py",
    "held_socket.py",
    "link/session.py",
    "gateway/framing.py",
    "gateway/handshake.py",
    "gateway/http1.py",
]
"""These decide by bytes and values alone."""


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(name: str, *, later_too: bool = True) -> set[str]:
    """The modules of roost that a module names in an import statement, wherever the statement stands."""
    found = set()
    for node in walk(ast.parse(MODULES[name].read_text(encoding="utf-8")), later_too):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide where a name comes from"
            base = node.module or ""
            inner = [f"{base}.{alias.name}" for alias in node.names]
            found |= {module if module in MODULES else base for module in inner}
    return {module for module in found if module == "roost" or module.startswith("roost.")}


def walk(tree: ast.AST, later_too: bool) -> Iterator[ast.AST]:
    """Every node, or those that run when the module is imported: not in functions, not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if later_too or not (for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield node
            yield from walk(node, later_too)


def room_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or f"roost.{parts[1]}" in PACKAGES else "words"


PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"} | {
    name.rpartition(".")[0] for name in MODULES if name.count(".") > 1
}


def test_every_room_has_its_arrows_here() -> None:
    assert {room_of(name) for name in set(MODULES) - PUBLIC} <= set(ARROWS)


@pytest.mark.parametrize("name", sorted(set(MODULES) - PUBLIC - USERS_CODE))
def test_a_module_imports_only_rooms_that_its_own_may_know(name: str) -> None:
    room = room_of(name)
    imported = imports_of(name)
    assert "roost" not in imported, "the package root is for users; import the word's own module"
    wrong = {module for module in imported if room_of(module) not in ARROWS[room]}
    assert wrong == set(), f"{name} stands in {room}, which may import {sorted(ARROWS[room])}"


def test_nobody_imports_in_a_circle() -> None:
    graph = {name: imports_of(name, later_too=False) & set(MODULES) for name in set(MODULES) - PUBLIC - USERS_CODE}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", SANS_IO)
def test_what_decides_by_values_alone_knows_no_loop_and_no_socket(path: str) -> None:
    tree = ast.parse((SOURCE / path).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names & {"asyncio", "socket", "select", "threading", "uvloop"} == set()


def test_the_words_never_import_a_room() -> None:
    words = [name for name in set(MODULES) - PUBLIC if room_of(name) == "words"]
    assert {room_of(module) for name in words for module in imports_of(name)} == {"words"}


def test_a_wrong_arrow_would_be_seen() -> None:
    assert room_of("roost.storage.kv") == "storage"
    assert room_of("roost.request") == "words"
    assert "roost.link.session" in imports_of("roost.link.stream")
    assert "link" not in ARROWS["objects"]
