from __future__ import annotations

import mmap

from roost.node.reports import resident_bytes


def test_the_memory_of_this_process_is_told_in_bytes() -> None:
    before = resident_bytes()
    assert 5_000_000 < before < 10_000_000_000
    with mmap.mmap(-1, 50_000_000) as block:  # fresh pages; the heap might hand out ones that are resident already
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert resident_bytes() - before > 40_000_000
