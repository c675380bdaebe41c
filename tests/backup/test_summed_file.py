"""Files that are summed while they are copied."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from roost.backup.summed_file import SummedFile
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.sums import keep_sums, sums_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.sqlite"
    path.write_bytes(random.Random(7).randbytes(5 * PAGE_BYTES))
    fd = os.open(path, os.O_RDONLY)
    keep_sums(path, fd, range(1, 6))
    os.close(fd)
    return path


def matches(path: Path, pages_at_once: int = 2) -> bool:
    with path.open("rb") as file:
        summed = SummedFile(file)
        read = b"".join(iter(lambda: summed.read(pages_at_once * PAGE_BYTES), b""))
    assert read == path.read_bytes()
    return not summed.differing(path)


@pytest.mark.parametrize("pages_at_once", [1, 2, 8])
def test_what_was_written_matches(path: Path, pages_at_once: int) -> None:
    assert matches(path, pages_at_once)


@pytest.mark.parametrize("page", [1, 2, 5])
def test_a_page_that_was_changed_does_not(path: Path, page: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[page * PAGE_BYTES - 1] ^= 1
    path.write_bytes(raw)
    assert not matches(path)


def test_pages_that_are_gone_do_not(path: Path) -> None:
    os.truncate(path, 4 * PAGE_BYTES + 100)
    assert not matches(path)


def test_pages_without_checksums_are_not_judged(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x" * PAGE_BYTES)
    assert matches(path)
    sums_path(path).unlink()
    path.write_bytes(b"y" * PAGE_BYTES)
    assert matches(path)


def test_what_counts_are_the_bytes_that_were_read(path: Path) -> None:
    with path.open("rb") as file:
        summed = SummedFile(file)
        summed.read(5 * PAGE_BYTES)
    path.write_bytes(bytes(5 * PAGE_BYTES))
    assert summed.differing(path) == []
    with path.open("rb") as file:
        summed = SummedFile(file)
        summed.read(3 * PAGE_BYTES)
    assert summed.differing(path) == [1, 2, 3, 4, 5]
