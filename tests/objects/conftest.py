"""An object per test, and the loops that it must work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from roost.objects.durable_object import DurableObject

from .harness import Harness

MakeHarness = Callable[..., Harness]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[MakeHarness]:
    """Makes harnesses: `live(Class)`, `live(Class, limits=...)`; they are closed after the test."""
    made: list[Harness] = []

    def make(cls: type[DurableObject], **options: Any) -> Harness:
        harness = Harness(cls, tmp_path / str(len(made)), **options)
        made.append(harness)
        return harness

    yield make
    for harness in made:
        harness.close_down()
