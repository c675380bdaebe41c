# Checksums of the pages of an object's file, in a file beside it.
#
#  (1) They say what the file held when it was last brought up to date. They are written after the file is durable and
#      before the journal lets go of what went into it: a sum that a crash left behind is that of a page which recovery
#      writes again, and sums again.
#  (2) A block of one sector holds the sums of 124 pages and a checksum of its own: a disk writes it whole or not at
#      all. What a block says that does not check out is unknown, as is a sum of 0: nothing is judged by it.
#  (3) So a file without sums, which came from elsewhere or from an earlier version, counts as unchecked. Its pages get
#      their sums bit by bit, whenever it is brought up to date.
#  (4) They are never in the way: where they cannot be written they are removed, durably, and the file is unchecked.
"""Page checksums: telling a file that a disk has changed from one that it has not."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import random
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from roost.storage.files import Files, read_fully, sync_directory, write_all
from roost.storage.journal.record import PAGE_BYTES

logger = logging.getLogger("roost.storage")

BLOCK_BYTES = 512
_HEAD = struct.Struct("<4sHHII")  # magic, version, nothing, block number, crc of all but itself
_MAGIC = b"RSUM"
_VERSION = 1
PAGES_PER_BLOCK = (BLOCK_BYTES - _HEAD.size) // 4
_SUMS = struct.Struct(f"<{PAGES_PER_BLOCK}I")
_READ_PAGES_MAX = 256
_FILL_BLOCKS = 8  # whose pages are summed beside those that changed, at one time
_LOOK_BLOCKS = 128

Block = list[int]
"""The sums of the pages of a block; 0 where it is not known."""


def sums_path(file: Path) -> Path:
    """Where the checksums of an object's file are."""
    return file.with_suffix(".sums")


def keep_sums(file: Path, fd: int, pages: Collection[int], *, name_too: bool = True) -> None:
    """Sum these pages of a file as they are now, durably. `fd` is the file, open for reading and not changing.

    Without `name_too` the caller syncs the directory afterwards: then new sums are durable too.

    Raises OSError only where neither the sums can be written nor the old ones removed; then the file must not be used
    before recovery has seen to it.
    """
    try:
        _keep(file, fd, pages, name_too)
    except OSError as error:
        logger.warning("the checksums of %s cannot be kept, so it goes unchecked: %s", file, error)
        remove_sums(file)
        sync_directory(file.parent)


def remove_sums(file: Path) -> None:
    """Let a file count as unchecked."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(sums_path(file))


def damaged_pages(file: Path, fd: int, pages_max: int | None = None) -> list[int]:
    """The pages of a file whose checksums say that they are not what was written, or that are gone.

    Looks at the first `pages_max` pages, or at all. `fd` is the file, open for reading. Raises OSError.
    """
    try:
        sums_fd = os.open(sums_path(file), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        return [page for page, expected, found in _compared(fd, sums_fd, pages_max) if found != expected]
    finally:
        os.close(sums_fd)


def kept_sums(file: Path) -> Iterator[tuple[int, int]]:
    """The pages whose checksums are known, and these: see `page_sum`. Raises OSError."""
    try:
        raw = sums_path(file).read_bytes()
    except FileNotFoundError:
        return
    for number, block in _blocks(raw, 0):
        yield from ((number * PAGES_PER_BLOCK + 1 + at, one) for at, one in enumerate(block) if one)


def page_sum(page: bytes | memoryview) -> int:
    """The checksum of a page, which is never 0."""
    return zlib.crc32(page) or 1


def unchecked_pages(file: Path, size_pages: int) -> int:
    """How many pages of a file have no checksum. Raises OSError."""
    try:
        raw = sums_path(file).read_bytes()
    except FileNotFoundError:
        return size_pages
    known = sum(1 for _, block in _blocks(raw, 0) for one in block if one)
    return max(size_pages - known, 0)


def _compared(fd: int, sums_fd: int, pages_max: int | None) -> Iterator[tuple[int, int, int]]:
    """Page, its sum as it was kept, and as it is now: 0 where the file does not reach."""
    blocks = os.fstat(sums_fd).st_size // BLOCK_BYTES
    if pages_max is not None:
        blocks = min(blocks, -(-pages_max // PAGES_PER_BLOCK))
    for number in range(blocks):
        block = _readable_block(sums_fd, number)
        first = number * PAGES_PER_BLOCK + 1
        known = [first + at for at, one in enumerate(block) if one]
        if pages_max is not None:
            known = [page for page in known if page <= pages_max]
        found = dict(_sums_of(fd, known))
        yield from ((page, block[page - first], found.get(page, 0)) for page in known)


def _readable_block(sums_fd: int, number: int) -> Block:
    """A block; one that the disk cannot read says nothing, and does not keep anybody from the file."""
    try:
        return _unpacked(read_fully(sums_fd, BLOCK_BYTES, number * BLOCK_BYTES), number)
    except OSError as error:
        logger.warning("checksums cannot be read, so their pages go unchecked: %s", error)
        return [0] * PAGES_PER_BLOCK


def _keep(file: Path, fd: int, pages: Collection[int], name_too: bool) -> None:
    files, size = Files(), os.fstat(fd).st_size // PAGE_BYTES
    path = sums_path(file)
    sync_name = name_too and not path.exists()
    sums_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        length = _block_of(size) * BLOCK_BYTES + BLOCK_BYTES if size else 0
        if os.fstat(sums_fd).st_size > length:
            os.ftruncate(sums_fd, length)
        for number, block in _changed(sums_fd, fd, pages, size):
            write_all(files, sums_fd, _packed(number, block), number * BLOCK_BYTES)
        files.sync(sums_fd)
    finally:
        os.close(sums_fd)
    if sync_name:
        sync_directory(path.parent)


def _changed(sums_fd: int, fd: int, pages: Collection[int], size: int) -> Iterator[tuple[int, Block]]:
    """The blocks that hold the sums of these pages, and some of those that know too little, as they are to be."""
    wanted: dict[int, list[int]] = {}
    for page in sorted(page for page in pages if page <= size):
        wanted.setdefault(_block_of(page), []).append(page)
    last = _block_of(size) if size else 0
    wanted.setdefault(last, [])  # what a page beyond the end had is forgotten
    lacking = (number for number in _lacking(sums_fd, last) if number not in wanted)
    for number in (*wanted, *itertools.islice(lacking, _FILL_BLOCKS)):
        block = _unpacked(read_fully(sums_fd, BLOCK_BYTES, number * BLOCK_BYTES), number)
        first = number * PAGES_PER_BLOCK + 1
        now = {first + at for at, one in enumerate(block) if not one and first + at <= size}
        for page, found in _sums_of(fd, sorted(now.union(wanted.get(number, ())))):
            block[page - first] = found
        yield number, [one if first + at <= size else 0 for at, one in enumerate(block)]


def _lacking(sums_fd: int, last: int) -> Iterator[int]:
    """Blocks that were never written, of those in a part that is looked at now; of a long file it is any part."""
    first = random.randrange(max(last + 2 - _LOOK_BLOCKS, 1))  # noqa: S311 - nobody gains by guessing it
    raw = read_fully(sums_fd, _LOOK_BLOCKS * BLOCK_BYTES, first * BLOCK_BYTES)
    for number in range(first, min(first + _LOOK_BLOCKS, last + 1)):
        at = (number - first) * BLOCK_BYTES
        if raw[at : at + len(_MAGIC)] != _MAGIC:
            yield number


def _block_of(page: int) -> int:
    return (page - 1) // PAGES_PER_BLOCK


def _sums_of(fd: int, pages: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The sums of pages, given in order, as far as the file reaches."""
    for first, count in runs(pages):
        raw = memoryview(read_fully(fd, count * PAGE_BYTES, (first - 1) * PAGE_BYTES))
        for at in range(len(raw) // PAGE_BYTES):
            yield first + at, page_sum(raw[at * PAGE_BYTES : (at + 1) * PAGE_BYTES])


def runs(pages: Iterable[int], pages_max: int = _READ_PAGES_MAX) -> Iterator[tuple[int, int]]:
    """Neighbours together: the first page and how many."""
    first, count = 0, 0
    for page in pages:
        if count and page == first + count and count < pages_max:
            count += 1
            continue
        if count:
            yield first, count
        first, count = page, 1
    if count:
        yield first, count


def _blocks(raw: bytes, first: int) -> Iterator[tuple[int, Block]]:
    for at in range(0, len(raw), BLOCK_BYTES):
        number = first + at // BLOCK_BYTES
        yield number, _unpacked(raw[at : at + BLOCK_BYTES], number)


def _packed(number: int, block: Block) -> bytes:
    sums = _SUMS.pack(*block)
    return _head(number, sums) + sums


def _head(number: int, sums: bytes) -> bytes:
    crc = zlib.crc32(sums, zlib.crc32(_HEAD.pack(_MAGIC, _VERSION, 0, number, 0)))
    return _HEAD.pack(_MAGIC, _VERSION, 0, number, crc)


def _unpacked(raw: bytes, number: int) -> Block:
    """The sums of a block; all of them unknown when it does not check out."""
    if len(raw) == BLOCK_BYTES:
        sums = raw[_HEAD.size :]
        if raw[: _HEAD.size] == _head(number, sums):
            return list(_SUMS.unpack(sums))
    return [0] * PAGES_PER_BLOCK
