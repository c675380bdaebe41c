"""Finds and imports the user's app: `app.py`, another path, or `module:attribute`, with no configuration."""

# How a file is imported:
#
#  (1) Its directory is put on sys.path, as `python app.py` would, so that modules beside it are found now and later.
#  (2) A file inside a package is imported under its dotted name, so that relative imports work.
#  (3) The module is executed anew at each load; the modules beside it are imported as usual, once a process.
#  (4) Whatever it raises becomes an AppLoadError that shows the user's own frames and nobody else's.

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from roost.errors import AppLoadError
from roost.host.app import App, app_of_module

LOOKED_FOR = ("app.py", "app/__init__.py", "main.py")
"""Where the app is when nobody says."""

_OWN = str(Path(__file__).resolve().parent.parent)


def find_app(directory: Path) -> Path:
    """The app's file in a directory. Raises AppLoadError with the names that were looked for."""
    for name in LOOKED_FOR:
        if (directory / name).is_file():
            return directory / name
    raise AppLoadError(
        f"no app in {directory}: looked for {', '.join(LOOKED_FOR)}; name one, as in `roost dev path/to/app.py`"
    )


def load_app(
    source: str | Path | ModuleType | None = None,
    *,
    bindings: Mapping[str, Any] | None = None,
    directory: Path | None = None,
) -> App:
    """The app at `source`: a path, a directory, `module`, `module:attribute` (the entrypoint), or a module.

    Without a source it is looked for in `directory`, the current one by default.
    """
    base = (directory or Path.cwd()).resolve()
    if isinstance(source, ModuleType):
        return app_of_module(source, bindings=bindings)
    if source is None:
        return app_of_module(_import_path(find_app(base)), bindings=bindings)
    text, attribute = _split_attribute(str(source))
    path = base / text
    if path.is_dir() and not _is_dotted_name(text):
        path = find_app(path)
    if path.is_file():
        return app_of_module(_import_path(path.resolve()), attribute=attribute, bindings=bindings)
    if not _is_dotted_name(text) or text.endswith(".py"):
        raise AppLoadError(f"there is no app at {path}")
    _put_on_path(base)
    return app_of_module(import_named(text, "the app"), attribute=attribute, bindings=bindings)


def import_named(name: str, where: str) -> ModuleType:
    """Import a module by its dotted name; `where` says in the error who asked for it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise AppLoadError(
                f"{where}: there is no module {name!r} on {sys.path[0]} or anywhere else on sys.path"
            ) from error
        raise AppLoadError(_import_failure(name, error)) from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(_import_failure(name, error)) from error


def users_traceback(error: BaseException) -> str:
    """The error as Python prints it, without the frames of roost and of the import system."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_foreign(frame.filename)]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def _is_foreign(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OWN))


def _import_failure(name: object, error: BaseException) -> str:
    return f"{name} does not import: {type(error).__name__}: {error}\n{users_traceback(error)}"


def _split_attribute(text: str) -> tuple[str, str]:
    path, colon, attribute = text.rpartition(":")
    if not colon or not attribute.isidentifier():
        return text, ""
    return path, attribute


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _import_path(path: Path) -> ModuleType:
    root, name = _module_name(path)
    _put_on_path(root)
    parent = name.rpartition(".")[0]
    if parent:
        import_named(parent, str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppLoadError(f"{path} is not a Python file: expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as the import system does it: the module may import itself
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise AppLoadError(_import_failure(path, error)) from error
    return module


def _module_name(path: Path) -> tuple[Path, str]:
    """The directory that belongs on sys.path, and the dotted name of the file from there."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    directory = path.parent
    while (directory / "__init__.py").is_file():
        parts.insert(0, directory.name)
        directory = directory.parent
    name = ".".join(parts)
    if not _is_dotted_name(name):
        raise AppLoadError(f"{path} cannot be imported: {name!r} is not a name that Python could import")
    return directory, name


def _put_on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
