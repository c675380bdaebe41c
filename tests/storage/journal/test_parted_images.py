"""Pages in parts: each is read once on the way through, and what is not there is told."""

from __future__ import annotations

import pytest

from roost.errors import StorageCorruptError
from roost.storage.journal.parted_images import PAGE_BYTES, PART_PAGES, PartedImages, parts_of

SIZE = 2 * PART_PAGES + 3


class Source:
    """Pages that are filled with their numbers."""

    def __init__(self) -> None:
        self.read_parts: list[int] = []

    def read(self, part: int) -> bytes:
        self.read_parts.append(part)
        pages = range(part * PART_PAGES + 1, min((part + 1) * PART_PAGES, SIZE) + 1)
        return b"".join(page.to_bytes(4, "big") * (PAGE_BYTES // 4) for page in pages)


def test_every_page_is_there_and_each_part_is_read_once() -> None:
    source = Source()
    images = PartedImages(SIZE, source.read)
    assert len(images) == SIZE
    for number, image in images.items():
        assert image == number.to_bytes(4, "big") * (PAGE_BYTES // 4)
    assert source.read_parts == [0, 1, 2]
    assert images.parts == 3


def test_telling_which_pages_there_are_reads_nothing() -> None:
    source = Source()
    images = PartedImages(SIZE, source.read)
    assert list(images) == list(range(1, SIZE + 1))
    assert source.read_parts == []


@pytest.mark.parametrize("page", [0, -1, SIZE + 1])
def test_a_page_that_is_not_there_is_missing(page: int) -> None:
    assert PartedImages(SIZE, Source().read).get(page) is None


def test_a_part_of_another_size_is_refused() -> None:
    images = PartedImages(SIZE, lambda part: bytes(PAGE_BYTES))
    with pytest.raises(StorageCorruptError, match="part 0 of a state has 4096 bytes"):
        images.verify()


@pytest.mark.parametrize(("pages", "parts"), [(0, 0), (1, 1), (PART_PAGES, 1), (PART_PAGES + 1, 2)])
def test_the_last_part_is_what_is_left(pages: int, parts: int) -> None:
    assert parts_of(pages) == parts
