"""A file whose pages are summed while it is copied, so that the very bytes of the copy are compared."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import IO

from roost.storage.journal.record import PAGE_BYTES
from roost.storage.sums import kept_sums, page_sum


class SummedFile:
    """An object's file, read from its beginning to its end in pieces of whole pages."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sums = array("I")

    def read(self, size: int, /) -> bytes:
        """The next piece."""
        raw = self._file.read(size)
        view = memoryview(raw)
        self._sums.extend(
            page_sum(view[at : at + PAGE_BYTES]) for at in range(0, len(raw) - PAGE_BYTES + 1, PAGE_BYTES)
        )
        return raw

    def differing(self, path: Path) -> list[int]:
        """The pages that were not read as the checksums of the file say, as far as they say anything."""
        return [page for page, one in kept_sums(path) if page > len(self._sums) or self._sums[page - 1] != one]
