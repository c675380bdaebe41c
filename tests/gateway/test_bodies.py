"""RFC 9112, sections 6.2 and 7.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.gateway.bodies import ChunkedBody, SizedBody
from roost.gateway.refusal import Refusal


def take_all(body: SizedBody | ChunkedBody, pieces: list[bytes], most: int = 1 << 20) -> tuple[bytes, bytes]:
    """What the body is, and what is left behind it."""
    buffer, taken = bytearray(), b""
    for piece in pieces:
        buffer += piece
        while data := body.take(buffer, most):
            taken += data
    return taken, bytes(buffer)


def test_a_sized_body_leaves_what_is_behind_it() -> None:
    body = SizedBody(3)
    assert take_all(body, [b"ab", b"cGET /"]) == (b"abc", b"GET /")
    assert body.ended


def test_no_more_is_taken_than_asked_for() -> None:
    buffer = bytearray(b"abcdef")
    assert SizedBody(6).take(buffer, 4) == b"abcd"
    assert buffer == b"ef"
    chunked = bytearray(b"6\r\nabcdef\r\n0\r\n\r\n")
    body = ChunkedBody(100, 100)
    assert body.take(chunked, 4) == b"abcd"
    assert body.take(chunked, 4) == b"ef"
    assert body.take(chunked, 4) == b""
    assert body.ended


@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5), cut=st.integers(1, 9), most=st.integers(1, 50))
def test_chunks_cut_anywhere_are_joined(chunks: list[bytes], cut: int, most: int) -> None:
    whole = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"
    pieces = [(whole + b"NEXT")[start : start + cut] for start in range(0, len(whole) + 4, cut)]
    body = ChunkedBody(1_000, 1_000)
    assert take_all(body, pieces, most) == (b"".join(chunks), b"NEXT")
    assert body.ended


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1 1\r\n",
        b"1\na\n0\n\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"11111111111111111\r\n",
        b"1;" + b"x" * 2_000,
        b"0\r\n" + b"x" * 2_000,
        b"1;a\x00b\r\n",
    ],
)
def test_malformed_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        take_all(ChunkedBody(100, 100), [data])
    assert caught.value.status == 400


def test_trailers_are_bounded_together() -> None:
    with pytest.raises(Refusal, match="too long"):
        take_all(ChunkedBody(100, 100), [b"0\r\n", b"a: b\r\n" * 30])


def test_a_body_above_the_limit_is_413_before_it_comes() -> None:
    body = ChunkedBody(10, 100)
    with pytest.raises(Refusal) as caught:
        take_all(body, [b"6\r\nabcdef\r\n", b"5\r\n"])
    assert caught.value.status == 413
