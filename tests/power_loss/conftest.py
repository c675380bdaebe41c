"""The recorder, compiled once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .recording import Recording, built_shim

MEMORY = Path("/dev/shm")
"""Thousands of states are written and synced, which a disk would only make slow."""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_shim(tmp_path_factory.mktemp("recorder"))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one; what a failure leaves is in it for a while."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="roost-power-") as directory:
        yield Path(directory)


@pytest.fixture
def recording(base: Path, shim: Path) -> Recording:
    return Recording(base / "data", shim)
