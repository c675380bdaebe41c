from __future__ import annotations

from roost.node.reports import resident_bytes


def test_the_memory_of_this_process_is_told_in_bytes() -> None:
    before = resident_bytes()
    assert 5_000_000 < before < 10_000_000_000
    block = bytearray(50_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert resident_bytes() - before > 40_000_000
