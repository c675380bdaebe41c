"""Every page of a database, of which no more than a part is held in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from roost.errors import StorageCorruptError

PAGE_BYTES = 4096
PART_PAGES = 1024
"""Of a part, but for the last one: 4 MiB. Part of the formats of side files and archives."""


class PartedImages(Mapping[int, "bytes | memoryview"]):
    """The pages from 1 to `size_pages`; `read` gives those of a part, counted from 0, one behind the other.

    Going through them in order reads each part once. Raises what `read` raises, and StorageCorruptError where it gives
    something else than so many pages. For one thread.
    """

    def __init__(self, size_pages: int, read: Callable[[int], bytes]) -> None:
        self._size_pages = size_pages
        self._read = read
        self._held = -1, b""

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return parts_of(self._size_pages)

    def part(self, number: int) -> bytes:
        """The pages of a part."""
        raw = self._read(number)
        expected = min(PART_PAGES, self._size_pages - number * PART_PAGES) * PAGE_BYTES
        if len(raw) != expected:
            raise StorageCorruptError(f"part {number} of a state has {len(raw)} bytes in the place of {expected}")
        return raw

    def verify(self) -> None:
        """Read everything. Raises StorageCorruptError when something does not check out."""
        for number in range(self.parts):
            self.part(number)

    def __len__(self) -> int:
        return self._size_pages

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, self._size_pages + 1))

    def __getitem__(self, page: int) -> memoryview:
        if not 1 <= page <= self._size_pages:
            raise KeyError(page)
        number, at = divmod(page - 1, PART_PAGES)
        if self._held[0] != number:
            self._held = number, self.part(number)
        return memoryview(self._held[1])[at * PAGE_BYTES : (at + 1) * PAGE_BYTES]


def parts_of(size_pages: int) -> int:
    """How many parts a database of this size has."""
    return -(-size_pages // PART_PAGES)
