"""An object per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .harness import MakeHarness, harnesses


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[MakeHarness]:
    """Makes harnesses: `live(Class)`, `live(Class, limits=...)`; they are closed after the test."""
    async with harnesses(tmp_path) as make:
        yield make
