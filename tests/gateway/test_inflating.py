from __future__ import annotations

import random
import zlib

import pytest

from roost.gateway.inflating import Inflater, TooMuchError

TEXT = b"the same words again, " * 20


def deflated(data: bytes, deflate: zlib._Compress | None = None, how: int = zlib.Z_SYNC_FLUSH) -> bytes:
    deflate = deflate or zlib.compressobj(wbits=-15)
    return (deflate.compress(data) + deflate.flush(how)).removesuffix(b"\0\0\xff\xff")


def test_the_examples_of_the_standard_are_read() -> None:  # RFC 7692, section 7.2.3
    hello = bytes.fromhex("f248cdc9c90700")
    assert Inflater().inflate(hello, 5, final=True) == b"Hello"
    assert Inflater().inflate(bytes.fromhex("000500faff48656c6c6f00"), 5, final=True) == b"Hello", "not compressed"
    assert Inflater().inflate(bytes.fromhex("f348cdc9c9070000"), 5, final=True) == b"Hello", "BFINAL is set"
    assert Inflater().inflate(bytes.fromhex("f24805000000ffffcac9c90700"), 5, final=True) == b"Hello", "two blocks"
    kept = Inflater(keeps=True)
    assert kept.inflate(hello, 5, final=True) == b"Hello"
    assert kept.inflate(bytes.fromhex("f200110000"), 5, final=True) == b"Hello", "out of the window"


def test_parts_may_be_cut_anywhere() -> None:
    data = deflated(TEXT)
    for at in range(len(data) + 1):
        inflater = Inflater()
        first = inflater.inflate(data[:at], 1_000, final=False)
        assert first + inflater.inflate(data[at:], 1_000, final=True) == TEXT


def test_an_empty_message_is_one_zero_byte_or_none() -> None:
    assert Inflater().inflate(b"\0", 0, final=True) == b""
    assert Inflater().inflate(b"", 0, final=True) == b""


@pytest.mark.parametrize("bits", [8, 9, 12, 15])
def test_a_window_that_is_kept_serves_the_next_messages(bits: int) -> None:
    chance, inflater = random.Random(bits), Inflater(bits, keeps=True)
    deflate = zlib.compressobj(wbits=-max(bits, 9))
    for _ in range(50):
        message = TEXT[: chance.randrange(len(TEXT))] + chance.randbytes(100)
        assert inflater.inflate(deflated(message, deflate), 10_000, final=True) == message


def test_a_window_that_is_not_kept_cannot_be_referred_to() -> None:
    deflate = zlib.compressobj(wbits=-15)
    Inflater().inflate(deflated(TEXT, deflate), 1_000, final=True)
    with pytest.raises(zlib.error):
        Inflater().inflate(deflated(TEXT, deflate), 1_000, final=True)


def last_block(data: bytes, window: bytes) -> bytes:
    """Compressed with a block that says it is the last, and refers to what was before it."""
    deflate = zlib.compressobj(wbits=-15, zdict=window) if window else zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush(zlib.Z_FINISH)


@pytest.mark.parametrize("keeps", [False, True])
def test_what_follows_a_last_block_has_the_window_as_it_was(keeps: bool) -> None:
    data = last_block(TEXT, b"") + last_block(TEXT, TEXT) + last_block(b"end", TEXT * 2) + b"\0"
    for at in range(0, len(data), 7):
        inflater = Inflater(keeps=keeps)
        first = inflater.inflate(data[:at], 10_000, final=False)
        assert first + inflater.inflate(data[at:], 10_000, final=True) == TEXT * 2 + b"end"
        if keeps:
            more = last_block(TEXT, TEXT * 2 + b"end") + b"\0"
            assert inflater.inflate(more, 10_000, final=True) == TEXT


def test_never_more_comes_out_than_there_is_room_for() -> None:
    bomb = deflated(bytes(50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(TooMuchError):
        Inflater().inflate(bomb, 1_000, final=True)
    exact = deflated(bytes(1_000))
    assert Inflater().inflate(exact, 1_000, final=True) == bytes(1_000)
    with pytest.raises(TooMuchError):
        Inflater().inflate(exact, 999, final=True)


def test_room_is_counted_over_last_blocks_too() -> None:
    data = last_block(bytes(600), b"") * 2
    with pytest.raises(TooMuchError):
        Inflater().inflate(data, 1_000, final=True)


def test_what_is_not_deflated_is_refused() -> None:
    with pytest.raises(zlib.error):
        Inflater().inflate(b"\xff\xff\xff", 1_000, final=True)
