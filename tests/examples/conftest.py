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
    name = "example_whiteboard"
    spec = importlib.util.spec_from_file_location(name, whiteboard_path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its types refer to one another by name
    spec.loader.exec_module(module)
    return module
