"""Stand-ins for the neighbours of the host's parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def clean_imports() -> Iterator[None]:
    """What a test imports from its own directory is forgotten afterwards."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name not in modules]:
        del sys.modules[name]
