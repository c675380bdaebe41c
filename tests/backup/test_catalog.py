"""Catalogs: streams of copies in order, and two streams side by side."""

from __future__ import annotations

import random

import pytest

from roost.backup.catalog import CatalogWriter, merged, read_catalog
from roost.backup.pack import Copy
from roost.backup.target import DirectoryTarget, read_bytes, write_bytes
from roost.errors import BackupError


def copies(count: int) -> list[Copy]:
    return [
        Copy("ROOM", number.to_bytes(32, "big"), number, 4096, "packs/1/0.pack", number, 10) for number in range(count)
    ]


def write(target: DirectoryTarget, given: list[Copy]) -> None:
    with target.write("catalog") as sink:
        writer = CatalogWriter(sink)
        for copy in given:
            writer.add(copy)
        writer.finish()
    assert writer.count == len(given)


@pytest.mark.parametrize("count", [0, 1, 2047, 2048, 2049, 5000])
def test_what_was_added_comes_back_in_order(target: DirectoryTarget, count: int) -> None:
    write(target, copies(count))
    assert list(read_catalog(target, "catalog")) == copies(count)


@pytest.mark.parametrize("where", [0.0, 0.3, 0.9, 1.0])
def test_damage_is_noticed(target: DirectoryTarget, where: float) -> None:
    write(target, copies(3000))
    raw = bytearray(read_bytes(target, "catalog"))
    raw[min(int(len(raw) * where), len(raw) - 20)] ^= 1
    write_bytes(target, "catalog", bytes(raw))
    with pytest.raises(BackupError, match=r"catalog in .* is damaged"):
        list(read_catalog(target, "catalog"))


def test_an_end_that_is_missing_is_noticed(target: DirectoryTarget) -> None:
    write(target, copies(3000))
    raw = read_bytes(target, "catalog")
    for size in (0, 5, 100, len(raw) - 1):
        write_bytes(target, "catalog", raw[:size])
        with pytest.raises(BackupError, match="is damaged"):
            list(read_catalog(target, "catalog"))


def test_two_streams_side_by_side_miss_nothing() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(50):
        left = {("R", bytes([n])): n for n in chance.sample(range(40), chance.randrange(40))}
        right = {("R", bytes([n])): -n for n in chance.sample(range(40), chance.randrange(40))}
        found = list(merged(sorted(left.items()), sorted(right.items())))
        assert [place for place, _, _ in found] == sorted(left.keys() | right.keys())
        assert all((left.get(place), right.get(place)) == (one, other) for place, one, other in found)
