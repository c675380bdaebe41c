from __future__ import annotations

import os

import pytest

from roost.gateway.masking import Unmasker


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 2_047, 2_048, 32_768, 32_769, 65_536, 200_000])
async def test_parts_of_any_size_are_unmasked(size: int) -> None:
    unmasker, mask = Unmasker(), os.urandom(4)
    for _ in range(3):
        plain = os.urandom(size)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(plain))
        assert unmasker.unmask(masked, mask) == plain
