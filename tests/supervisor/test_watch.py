from __future__ import annotations

import asyncio
import errno
import importlib.util
import py_compile
from pathlib import Path

import pytest

from roost.config import Settings
from roost.errors import ConfigurationError
from roost.supervisor.watch import Watch, forget_bytecode


def watch_of(directory: Path, pyproject: Path | None = None) -> Watch:
    directory.mkdir(exist_ok=True)
    settings = Settings(
        app=str(directory / "app.py"),
        data=str(directory / "kept"),
        pyproject=str(pyproject) if pyproject else None,
    )
    return Watch(settings)


@pytest.mark.parametrize("path", ["app.py", "rooms/board.py", "pyproject.toml"])
def test_source_below_the_app_matters(tmp_path: Path, path: str) -> None:
    assert watch_of(tmp_path).matters(str(tmp_path / path))


@pytest.mark.parametrize(
    "path",
    [
        "static/page.js",
        "notes.txt",
        "kept/x.py",
        ".venv/lib/x.py",
        "venv/lib/x.py",
        ".git/x.py",
        "__pycache__/app.py",
        "node_modules/gyp/x.py",
        "lib/site-packages/x.py",
        "rooms/pyproject.toml",
        "../beside.py",
    ],
)
def test_what_is_no_source_of_the_app_does_not_matter(tmp_path: Path, path: str) -> None:
    directory = tmp_path / "app"
    assert not watch_of(directory).matters(str((directory / path).resolve()))


def test_a_pyproject_further_up_matters(tmp_path: Path) -> None:
    directory = tmp_path / "app"
    watch = watch_of(directory, tmp_path / "pyproject.toml")
    assert watch.matters(str(tmp_path / "pyproject.toml"))
    assert not watch.matters(str(tmp_path / "other.py"))


async def test_saved_files_are_told_from_the_app_and_from_its_pyproject(tmp_path: Path) -> None:
    directory = tmp_path / "app"
    pyproject = tmp_path / "pyproject.toml"
    watch = watch_of(directory, pyproject)
    pyproject.write_text("")
    (directory / "app.py").write_text("")
    await asyncio.sleep(0.1)  # what was written before the watch begins is nothing new
    async with watch:
        save(directory / "app.py")
        assert await watch.next() == {directory / "app.py"}
        save(pyproject)
        assert await watch.next() == {pyproject}
        save(directory / "app.py")
        assert await watch.next() == {directory / "app.py"}


def save(path: Path) -> None:
    """As editors do it."""
    (path.parent / "new").write_text("# changed\n")
    (path.parent / "new").replace(path)


async def test_a_directory_that_cannot_be_watched_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __aiter__(self) -> Exhausted:
            return self

        async def __anext__(self) -> set[tuple[object, str]]:
            raise OSError(errno.ENOSPC, "OS file watch limit reached.")

    monkeypatch.setattr("roost.supervisor.watch.awatch", Exhausted)
    async with watch_of(tmp_path) as watch:
        with pytest.raises(ConfigurationError, match=r"cannot be watched for changes: .*OS file watch limit reached"):
            await watch.next()


def test_bytecode_of_changed_sources_is_forgotten(tmp_path: Path) -> None:
    source, other = tmp_path / "app.py", tmp_path / "other.py"
    for each in (source, other):
        each.write_text("")
        py_compile.compile(str(each))
    forget_bytecode([source, tmp_path / "pyproject.toml", tmp_path / "gone.py"])
    assert not Path(importlib.util.cache_from_source(str(source))).exists()
    assert Path(importlib.util.cache_from_source(str(other))).exists()
