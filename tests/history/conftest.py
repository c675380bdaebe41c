"""What the tests of the history share: records made up, and objects with a past."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from roost.storage.journal.parted_images import PART_PAGES, PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record

MakeRecord = Callable[..., Record]


def page(content: int | bytes) -> bytes:
    """A page that is told from others by what it is filled with."""
    return (bytes([content]) if isinstance(content, int) else content).ljust(PAGE_BYTES, b".")


def record(
    key: bytes = b"a" * 32,
    commit: int = 1,
    *,
    time_ms: int = 1_000,
    size: int = 0,
    binding: str = "ROOM",
    previous: int = 0,
    alarm: int | None = None,
    **pages: int | bytes,
) -> Record:
    """A record whose pages are given as p1=…, p2=…; as large as its last page unless `size` says otherwise."""
    images = {int(name[1:]): page(content) for name, content in pages.items()}
    return Record(
        key=key,
        binding=binding,
        commit=commit,
        previous=previous,
        epoch=1,
        time_ms=time_ms,
        size_pages=size or max(images, default=0),
        images=images,
        alarm=alarm,
    )


LARGE_PAGES = PART_PAGES + 3
"""Of the records below: two parts."""


def large_record(commit: int, fill: int, key: bytes = b"a" * 32, *, time_ms: int = 1_000) -> Record:
    """A record that holds every page of a large database, none of them in memory."""

    def part(number: int) -> bytes:
        return page(fill) * min(PART_PAGES, LARGE_PAGES - number * PART_PAGES)

    head = record(key, commit, time_ms=time_ms, size=LARGE_PAGES)
    return msgspec.structs.replace(head, images=PartedImages(LARGE_PAGES, part), aside=True)


@pytest.fixture
def make_record() -> MakeRecord:
    return record
