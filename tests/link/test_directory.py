from __future__ import annotations

import collections
import hashlib
import os
import subprocess
import sys

import pytest

from roost.errors import InvalidArgumentError
from roost.link.directory import LocalDirectory

KEYS = [hashlib.sha256(b"%d" % number).digest() for number in range(4_000)]


def owners(hosts: int) -> list[int]:
    directory = LocalDirectory(range(hosts))
    return [directory.owner(key) for key in KEYS]


def test_one_host_owns_everything() -> None:
    assert {LocalDirectory([5]).owner(key) for key in KEYS} == {5}


def test_objects_are_spread_evenly() -> None:
    counts = collections.Counter(owners(4))
    assert set(counts) == {0, 1, 2, 3}
    assert all(850 < count < 1_150 for count in counts.values())


def test_an_added_host_takes_only_what_it_wins() -> None:
    moved = [(before, after) for before, after in zip(owners(4), owners(5), strict=True) if before != after]
    assert {after for _, after in moved} == {4}
    assert 650 < len(moved) < 950


def test_a_removed_host_gives_up_only_its_own() -> None:
    whole, rest = LocalDirectory([0, 1, 2, 3]), LocalDirectory([0, 1, 3])
    for key in KEYS:
        if whole.owner(key) != 2:
            assert rest.owner(key) == whole.owner(key)


def test_the_order_in_which_hosts_are_named_does_not_matter() -> None:
    assert [LocalDirectory([3, 1, 2, 1]).owner(key) for key in KEYS[:200]] == [
        LocalDirectory([1, 2, 3]).owner(key) for key in KEYS[:200]
    ]


def test_every_process_finds_the_same_owner() -> None:
    script = (
        "import hashlib; from roost.link.directory import LocalDirectory; d = LocalDirectory(range(7));"
        "print([d.owner(hashlib.sha256(b'%d' % n).digest()) for n in range(50)])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = LocalDirectory(range(7))
    assert told == {f"{[here.owner(key) for key in KEYS[:50]]}\n"}


def test_owners_stay_where_they_were_in_earlier_releases() -> None:
    directory = LocalDirectory(range(4))
    assert [directory.owner(key) for key in KEYS[:12]] == [3, 1, 3, 2, 2, 2, 0, 0, 3, 0, 3, 1]


@pytest.mark.parametrize("hosts", [[], [-1, 0]])
def test_hosts_that_cannot_be_are_refused(hosts: list[int]) -> None:
    with pytest.raises(InvalidArgumentError):
        LocalDirectory(hosts)
