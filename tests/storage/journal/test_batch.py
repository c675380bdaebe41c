"""Batches: records together, and back."""

from __future__ import annotations

import os
import zlib

import pytest
import zstandard

from roost.errors import StorageCorruptError
from roost.storage.journal import batch as module
from roost.storage.journal.batch import Batch, unpack
from roost.storage.journal.record import PAGE_BYTES, Record


def record(commit: int, page: bytes = bytes(PAGE_BYTES)) -> Record:
    return Record(
        key=commit.to_bytes(32, "big"),
        binding="ROOM",
        commit=commit,
        previous=0,
        epoch=1,
        time_ms=0,
        size_pages=2,
        images={1: page, 2: page},
    )


def batch_of(*records: Record) -> Batch:
    batch = Batch()
    for one in records:
        batch.add(one)
    return batch


def test_records_come_back_in_order() -> None:
    records = [record(number, os.urandom(PAGE_BYTES)) for number in range(1, 6)]
    batch = batch_of(*records)
    assert list(unpack(batch.packed())) == records
    assert batch.commits == [(one.key, one.commit) for one in records]
    assert batch.size > 10 * PAGE_BYTES


def test_a_huge_batch_is_packed_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(number) for number in range(1, 6)]
    batch = batch_of(*records)
    monkeypatch.setattr(module, "_JOIN_MAX", 0)
    assert list(unpack(batch.packed())) == records


def test_a_small_change_takes_little_room() -> None:
    page = bytes(100) + os.urandom(200) + bytes(PAGE_BYTES - 300)
    assert len(batch_of(record(1, page)).packed()) < 600


def packed(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no batch",
        packed(b"1234"),
        packed(bytes(8) + b"\x05"),
        packed(b"1234") + b"more",
        packed(b"1234")[:-1],
        zlib.compress(b"1234"),
    ],
)
def test_what_is_no_batch_is_refused(raw: bytes) -> None:
    with pytest.raises(StorageCorruptError):
        list(unpack(raw))


def test_a_cut_batch_is_refused() -> None:
    whole = zstandard.ZstdDecompressor().decompress(batch_of(record(1)).packed())
    with pytest.raises(StorageCorruptError):
        list(unpack(packed(whole[:-1])))


def test_a_batch_of_before_zstandard_is_read() -> None:
    records = [record(number, os.urandom(PAGE_BYTES)) for number in range(1, 6)]
    whole = zstandard.ZstdDecompressor().decompress(batch_of(*records).packed())
    assert list(unpack(zlib.compress(whole, 1))) == records
