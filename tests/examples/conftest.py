"""The examples as modules, loaded from where they stand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def whiteboard_path() -> Path:
    return EXAMPLES / "whiteboard" / "app.py"


@pytest.fixture(scope="session")
def article_path() -> Path:
    return EXAMPLES / "article" / "app.py"


@pytest.fixture(scope="session")
def whiteboard(whiteboard_path: Path) -> ModuleType:
    """The module of the whiteboard, for its plain functions."""
    return load(whiteboard_path, "example_whiteboard")


@pytest.fixture(scope="session")
def messages(whiteboard_path: Path) -> ModuleType:
    """What a page may say to the whiteboard."""
    return load(whiteboard_path.with_name("messages.py"), "example_whiteboard_messages")


def load(path: Path, name: str) -> ModuleType:
    """Import a file as roost does: modules beside it are found."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its types refer to one another by name
    spec.loader.exec_module(module)
    return module
