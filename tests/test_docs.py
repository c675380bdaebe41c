from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from roost.limits import DEFAULTS, Limits
from roost.meter import Meter

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "roost"
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    if not {"node_modules", ".venv"} & set(page.parts)
)
GUARANTEES = DOCS / "guarantees.md"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(page: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    return not found.exists() or (bool(anchor) and anchor not in anchors(found))


# -- links and code ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [target for target in relative_links(page) if broken(page, target)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_compiles(page: Path) -> None:
    for number, block in enumerate(python_blocks(page), 1):
        compile(block, f"{name(page)}, block {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_word_exists(page: Path) -> None:
    words = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make (\w+)|^\$ make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert {first or second for first, second in named} <= words


# -- what a page says of the code --------------------------------------------------------------------------------------


def named_tests(page: Path) -> set[str]:
    return set(re.findall(r"tests/[\w/]+\.py::\w+", page.read_text(encoding="utf-8")))


def names_in(file: Path) -> set[str]:
    """The functions, classes and values that a file defines."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    return defined | {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return (ROOT / path).is_file() and name in names_in(ROOT / path)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert [test for test in sorted(named_tests(page)) if not exists(test)] == []


def test_every_promise_names_the_tests_that_guard_it() -> None:
    promises = re.split(r"^## ", GUARANTEES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    numbered = [promise for promise in promises if promise[0].isdigit()]
    assert len(numbered) >= 7
    assert [promise.splitlines()[0] for promise in numbered if "tests/" not in promise] == []


def test_every_module_that_the_architecture_names_exists() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rooms = "storage|history|backup|link|objects|host|gateway|supervisor|cli"
    named = set(re.findall(rf"`((?:{rooms})/\w+(?:/\w+)*)`", page))
    assert named
    assert [module for module in sorted(named) if not (SOURCE / f"{module}.py").exists()] == []


def test_every_package_of_the_source_is_in_the_architecture() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert [package for package in sorted(packages) if f"`{package}/`" not in page] == []


def shown(limit: str, value: float) -> str:
    """A default as the page on limits writes it."""
    if "_seconds" in limit or limit.endswith("_ms_max"):
        number = f"{value:,.0f}" if value == int(value) else f"{value:g}"
        return f"{number} {'ms' if limit.endswith('_ms_max') else 's'}".replace(",", " ")
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if "_bytes" in limit and value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,}{' bytes' if '_bytes' in limit else ''}".replace(",", " ")


def test_the_page_on_limits_has_every_limit_with_its_default() -> None:
    page = (DOCS / "reference" / "limits.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert listed == {limit: shown(limit, getattr(DEFAULTS, limit)) for limit in Limits.__struct_fields__}


def test_the_page_on_metering_has_every_counter() -> None:
    page = (DOCS / "reference" / "metering.md").read_text(encoding="utf-8")
    listed = {word for row in re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE) for word in re.findall(r"\w+", row)}
    assert listed == set(Meter().snapshot())


def test_the_reference_has_every_public_name() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^::: roost\.(\w+)$", page, re.MULTILINE))
    assert listed == set(importlib.import_module("roost").__all__)


def test_every_decision_is_in_the_index() -> None:
    decisions = DOCS / "design" / "decisions"
    linked = set(relative_links(decisions / "README.md"))
    assert linked == {page.name for page in decisions.glob("*.md") if page.name != "README.md"}


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("design/decisions/") and not page.endswith("README.md")}
    assert listed == pages - decisions


# -- the apps that a newcomer copies -----------------------------------------------------------------------------------


def test_the_tutorial_starts_with_the_app_of_the_readme() -> None:
    assert python_blocks(DOCS / "tutorial.md")[0] == python_blocks(ROOT / "README.md")[0]


def write_app(directory: Path, text: str) -> Path:
    app = directory / "app.py"
    app.write_text(text, encoding="utf-8")
    return app


async def test_the_app_of_the_readme_runs(tmp_path: Path) -> None:
    app = write_app(tmp_path, python_blocks(ROOT / "README.md")[0])
    for lines_before in ([], ["hello"]):
        async with serve(app, tmp_path) as server:
            address = f"{server.url.replace('http', 'ws')}/?room=tea"
            async with connect(address) as ann, connect(address) as bob:
                assert [await bob.recv() for _ in lines_before] == lines_before
                await ann.send("hello")
                heard = [await ann.recv() for _ in [*lines_before, "hello"]]
                assert heard == [*lines_before, "hello"]
                assert await bob.recv() == "hello"


async def test_the_app_at_the_end_of_the_tutorial_runs(tmp_path: Path) -> None:
    app = write_app(tmp_path, next(block for block in python_blocks(DOCS / "tutorial.md") if "whisper" in block))
    async with serve(app, tmp_path) as server:
        address = f"{server.url.replace('http', 'ws')}/?room=tea&name="
        async with connect(f"{address}Ann") as ann, connect(f"{address}Bob") as bob:
            await hear(ann, {"here": ["Ann", "Bob"]})
            await ann.send(json.dumps({"text": "hello"}))
            await hear(bob, {"from": "Ann", "text": "hello"})
            await bob.send(json.dumps({"to": "Ann", "text": "psst"}))
            await hear(ann, {"from": "Bob", "text": "psst", "whispered": True})
            await ann.send("ping")
            assert await ann.recv() == "pong"
            await bob.close()
            await hear(ann, {"here": ["Ann"]})


async def hear(client: Any, expected: dict[str, Any]) -> None:
    """Read until it comes."""
    while json.loads(await client.recv()) != expected:
        pass


def serve(app: Path, directory: Path) -> Any:
    return importlib.import_module("roost").serve(app, port=0, data=directory / "data")
