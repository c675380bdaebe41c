"""Page checksums: what a disk changed is found, and nothing else is suspected."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.storage import sums
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.sums import (
    BLOCK_BYTES,
    PAGES_PER_BLOCK,
    damaged_pages,
    keep_sums,
    kept_sums,
    page_sum,
    sums_path,
    unchecked_pages,
)


class Pages:
    """A file of pages that a test changes."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        path.write_bytes(random.Random(7).randbytes(count * PAGE_BYTES))
        self.fd = os.open(path, os.O_RDWR)

    def write(self, page: int, data: bytes, at: int = 0) -> None:
        os.pwrite(self.fd, data, (page - 1) * PAGE_BYTES + at)

    def resize(self, count: int) -> None:
        os.ftruncate(self.fd, count * PAGE_BYTES)

    def keep(self, *pages: int) -> None:
        keep_sums(self.path, self.fd, pages)

    def damaged(self, pages_max: int | None = None) -> list[int]:
        return damaged_pages(self.path, self.fd, pages_max)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Pages]:
    pages = Pages(tmp_path / f"{'ab' * 32}.sqlite", 5)
    yield pages
    os.close(pages.fd)


def test_a_file_without_sums_is_unchecked_and_not_damaged(file: Pages) -> None:
    file.write(2, b"anything")
    assert file.damaged() == []
    assert unchecked_pages(file.path, 5) == 5


def test_a_bit_that_a_disk_turned_over_is_found(file: Pages) -> None:
    file.keep(1, 2, 3, 4, 5)
    assert file.damaged() == []
    file.write(4, b"\x00", at=1234)
    assert file.damaged() == [4]


def test_the_first_sums_are_of_all_pages_whatever_changed(file: Pages) -> None:
    file.keep(2)
    assert unchecked_pages(file.path, 5) == 0
    file.write(5, b"rot")
    assert file.damaged() == [5]


def test_only_pages_that_were_written_are_summed_again(file: Pages) -> None:
    file.keep(1)
    file.write(2, b"new")
    file.write(3, b"rot")
    file.keep(2)
    assert file.damaged() == [3]


def test_a_page_that_never_reached_the_disk_is_found(file: Pages) -> None:
    before = os.pread(file.fd, PAGE_BYTES, 2 * PAGE_BYTES)
    file.write(3, b"new")
    file.keep(3)
    file.write(3, before)  # as if the disk had only said that it wrote it
    assert file.damaged() == [3]


def test_a_file_that_lost_its_end_is_found(file: Pages) -> None:
    file.keep(1)
    file.resize(3)
    assert file.damaged() == [4, 5]


def test_a_file_that_grew_shorter_is_not_suspected_and_may_grow_again(file: Pages) -> None:
    file.keep(1)
    file.resize(2)
    file.keep(1)
    assert file.damaged() == []
    file.resize(5)
    file.write(4, b"again")
    assert file.damaged() == []
    file.keep(3, 4, 5)
    assert unchecked_pages(file.path, 5) == 0


def test_a_file_of_many_blocks_is_cut_and_checked_as_far_as_asked(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "many.sqlite", 3 * PAGES_PER_BLOCK)
    pages.keep(1)
    assert sums_path(pages.path).stat().st_size == 3 * BLOCK_BYTES
    pages.write(2 * PAGES_PER_BLOCK + 1, b"rot")
    assert pages.damaged(2 * PAGES_PER_BLOCK) == []
    assert pages.damaged() == [2 * PAGES_PER_BLOCK + 1]
    pages.resize(PAGES_PER_BLOCK)
    pages.keep(1)
    assert sums_path(pages.path).stat().st_size == BLOCK_BYTES
    os.close(pages.fd)


def test_a_long_file_is_summed_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_FILL_BLOCKS", 1)
    pages = Pages(tmp_path / "long.sqlite", 4 * PAGES_PER_BLOCK)
    left = []
    for _ in range(5):
        pages.keep(4 * PAGES_PER_BLOCK)
        left.append(unchecked_pages(pages.path, 4 * PAGES_PER_BLOCK))
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    os.close(pages.fd)


@pytest.mark.parametrize("at", [0, 4, 8, 12, 40, BLOCK_BYTES - 1])
def test_sums_that_do_not_check_out_judge_nothing_and_are_made_anew(file: Pages, at: int) -> None:
    file.keep(1)
    raw = bytearray(sums_path(file.path).read_bytes())
    raw[at] ^= 4
    sums_path(file.path).write_bytes(raw)
    assert file.damaged() == []
    assert unchecked_pages(file.path, 5) == 5
    file.keep(1)
    assert unchecked_pages(file.path, 5) == 0


def test_a_block_in_the_place_of_another_judges_nothing(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "two.sqlite", 2 * PAGES_PER_BLOCK)
    pages.keep(1)
    raw = sums_path(pages.path).read_bytes()
    sums_path(pages.path).write_bytes(raw[BLOCK_BYTES:] + raw[:BLOCK_BYTES])
    assert pages.damaged() == []
    os.close(pages.fd)


def test_sums_that_cannot_be_written_are_removed(file: Pages, caplog: pytest.LogCaptureFixture) -> None:
    file.keep(1)
    sums_path(file.path).unlink()
    sums_path(file.path).symlink_to("/nowhere/at/all")
    file.keep(1)
    assert not sums_path(file.path).is_symlink()
    assert "goes unchecked" in caplog.text


def test_the_file_of_sums_is_for_its_user_alone(file: Pages) -> None:
    file.keep(1)
    assert sums_path(file.path).stat().st_mode & 0o777 == 0o600


def test_what_is_known_is_told_page_by_page(file: Pages) -> None:
    assert list(kept_sums(file.path)) == []
    file.keep(1)
    raw = file.path.read_bytes()
    pages = [raw[at : at + PAGE_BYTES] for at in range(0, len(raw), PAGE_BYTES)]
    assert list(kept_sums(file.path)) == [(number, page_sum(page)) for number, page in enumerate(pages, 1)]
