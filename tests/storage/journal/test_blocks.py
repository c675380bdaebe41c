"""Reading files that may have bad blocks."""

from __future__ import annotations

import errno
import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from roost.storage.journal.blocks import Blocks

CONTENT = random.Random(3).randbytes(3 * 1024 * 1024 + 777)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(CONTENT)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_any_range_is_read(fd: int) -> None:
    blocks, chance = Blocks(fd), random.Random(4)
    assert blocks.size == len(CONTENT)
    for _ in range(200):
        at, size = chance.randrange(len(CONTENT)), chance.choice((5, 64, 5000, 2_000_000))
        assert blocks.read(at, size) == CONTENT[at : at + size]
    assert blocks.read(len(CONTENT) + 5, 10) == b""


def test_threads_do_not_disturb_each_other(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.storage.journal.blocks._WINDOW", 8192)
    blocks = Blocks(fd)

    def reads(seed: int) -> bool:
        chance = random.Random(seed)
        places = [(chance.randrange(len(CONTENT) - 3000), chance.randrange(1, 3000)) for _ in range(3000)]
        return all(blocks.read(at, size) == CONTENT[at : at + size] for at, size in places)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(reads, range(4))) == [True] * 4
    finally:
        sys.setswitchinterval(interval)


def test_a_mark_is_found_wherever_it_lies(fd: int) -> None:
    blocks = Blocks(fd)
    for at in (0, 1024 * 1024 - 3, 1024 * 1024 + 5, len(CONTENT) - 12):
        assert blocks.find(CONTENT[at : at + 12], max(at - 1_500_000, 0)) == at
        assert blocks.find(CONTENT[at : at + 12], at + 1) == -1


def test_a_bad_block_reads_as_zeros_and_nothing_else_does(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary, bad = os.pread, range(8192, 12288)

    def pread(fd: int, length: int, offset: int) -> bytes:
        if offset < bad.stop and offset + length > bad.start:
            raise OSError(errno.EIO, "input/output error")
        return ordinary(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    blocks = Blocks(fd)
    expected = CONTENT[:8192] + bytes(4096) + CONTENT[12288:]
    assert blocks.read(5000, 20_000) == expected[5000:25_000]
    assert blocks.read(0, len(CONTENT)) == expected


def test_other_errors_are_raised(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def pread(fd: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EBADF, "bad descriptor")

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(OSError, match="bad descriptor"):
        Blocks(fd).read(0, 10)
