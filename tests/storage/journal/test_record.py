"""Records: whole or refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import StorageCorruptError
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import PAGE_BYTES, Record, decode_record, encode_record, filled

NUMBERS = st.integers(0, 2**63 - 1)
PAGES = st.dictionaries(
    st.integers(1, 2**32 - 1),
    st.binary(min_size=1, max_size=40).map(lambda b: (b * PAGE_BYTES)[:PAGE_BYTES]),
    max_size=5,
)


def record(**changes: object) -> Record:
    fields: dict[str, object] = {
        "key": bytes(range(32)),
        "binding": "ROOM",
        "commit": 7,
        "previous": 6,
        "epoch": 2,
        "time_ms": 1_700_000_000_000,
        "size_pages": 3,
        "images": {2: b"x" * PAGE_BYTES},
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]


def encoded(record: Record) -> bytes:
    return b"".join(encode_record(record))


@given(PAGES, NUMBERS, NUMBERS, st.none() | st.integers(-(2**63), 2**63 - 1))
def test_a_record_comes_back(images: dict[int, bytes], commit: int, epoch: int, alarm: int | None) -> None:
    before = record(images=images, commit=commit, epoch=epoch, alarm=alarm)
    assert decode_record(encoded(before)) == before


def test_of_a_record_whose_pages_stand_elsewhere_the_rest_comes_back() -> None:
    images = PartedImages(9, lambda part: bytes(9 * PAGE_BYTES))
    before = record(images=images, size_pages=9, aside=True, alarm=5)
    raw = encoded(before)
    assert len(raw) < 200
    found = decode_record(raw)
    assert (found.aside, found.alarm, list(found.images)) == (True, 5, list(range(1, 10)))
    assert filled(found, images) == before


def test_the_order_of_pages_is_kept() -> None:
    images = {number: os.urandom(PAGE_BYTES) for number in (9, 1, 5)}
    assert list(decode_record(encoded(record(images=images))).images) == [9, 1, 5]


@pytest.mark.parametrize("cut", [0, 1, 50, 200, -1])
def test_a_cut_record_is_refused(cut: int) -> None:
    raw = encoded(record(images={1: os.urandom(PAGE_BYTES)}))
    with pytest.raises(StorageCorruptError):
        decode_record(raw[:cut])


def test_any_flipped_bit_is_noticed() -> None:
    raw = encoded(record())
    for at in range(0, len(raw), 7):
        with pytest.raises(StorageCorruptError):
            decode_record(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])


def test_a_newer_version_is_refused_by_its_number() -> None:
    raw = bytearray(encoded(record()))
    raw[4] = 9
    with pytest.raises(StorageCorruptError, match="version 9, kind 0; this roost reads version 1"):
        decode_record(bytes(raw))
