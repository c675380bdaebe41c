from __future__ import annotations

import zlib

import pytest

from roost.gateway.fragments import Allowance, Fragments, UnreadableError
from roost.gateway.inflating import Inflater


def message(is_text: bool, *, bytes_max: int = 1_000, inflater: Inflater | None = None, of: Allowance) -> Fragments:
    return Fragments(is_text, bytes_max, inflater, of)


@pytest.fixture
def allowance() -> Allowance:
    return Allowance(10_000)


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_a_text_may_be_cut_inside_a_character(allowance: Allowance) -> None:
    whole = "naïve ☃"
    data = whole.encode()
    for at in range(len(data) + 1):
        fragments = message(True, of=allowance)
        fragments.add(data[:at], False)
        fragments.add(data[at:], True)
        assert (fragments.joined(), fragments.size) == (whole, len(data))


def test_bytes_stay_as_they_are(allowance: Allowance) -> None:
    fragments = message(False, of=allowance)
    for part in (b"\xff", b"", b"\xfe"):
        fragments.add(part, False)
    assert fragments.joined() == b"\xff\xfe"


@pytest.mark.parametrize("parts", [(b"\xff",), (b"\xc3", b"x"), (b"a", b"\xc3")])
def test_a_text_that_cannot_be_valid_is_refused(parts: tuple[bytes, ...], allowance: Allowance) -> None:
    fragments = message(True, of=allowance)
    *first, last = parts
    for part in first:
        fragments.add(part, False)
    with pytest.raises(UnreadableError) as refused:
        fragments.add(last, True)
    assert refused.value.code == 1007


def test_a_message_that_becomes_too_large_is_refused(allowance: Allowance) -> None:
    fragments = message(False, of=allowance)
    fragments.add(b"x" * 600, False)
    with pytest.raises(UnreadableError, match="larger than 1000 bytes"):
        fragments.add(b"x" * 401, False)


def test_a_frame_that_makes_a_message_too_large_is_refused_at_its_head(allowance: Allowance) -> None:
    fragments = message(False, of=allowance)
    fragments.add(b"x" * 600, False)
    assert fragments.check(400) is None
    with pytest.raises(UnreadableError, match="larger than 1000 bytes"):
        fragments.check(401)


def test_what_comes_of_a_text_is_decoded_from_where_the_last_frame_ended(allowance: Allowance) -> None:
    fragments = message(True, of=allowance)
    fragments.add("é".encode()[:1], False)
    decoder = fragments.check(1)
    assert decoder is not None
    assert decoder.decode("é".encode()[1:]) == "é"
    fragments.add("é".encode()[1:], True)
    assert fragments.joined() == "é", "looking ahead has changed nothing"


def test_a_compressed_message_comes_in_parts(allowance: Allowance) -> None:
    data = deflated("é".encode() * 100)
    for at in range(len(data) + 1):
        fragments = message(True, inflater=Inflater(), of=allowance)
        fragments.add(data[:at], False)
        fragments.add(data[at:], True)
        assert (fragments.joined(), fragments.size) == ("é" * 100, 200)
        fragments.close()
    assert allowance.bytes_used == 0


@pytest.mark.parametrize(
    ("data", "code"), [(deflated(b"x" * 1_001), 1009), (deflated(b"\xff"), 1007), (b"\xff\xff", 1007)]
)
def test_a_compressed_message_that_cannot_be_valid_is_refused(data: bytes, code: int, allowance: Allowance) -> None:
    with pytest.raises(UnreadableError) as refused:
        message(True, inflater=Inflater(), of=allowance).add(data, False)
    assert refused.value.code == code


def test_what_is_inflated_and_not_whole_is_bounded_over_all(allowance: Allowance) -> None:
    half = deflated(b"x" * 1_000)
    under_way = [message(False, inflater=Inflater(), of=allowance) for _ in range(10)]
    for fragments in under_way:
        fragments.add(half, False)
    one_more = message(False, inflater=Inflater(), of=allowance)
    with pytest.raises(UnreadableError) as refused:
        one_more.add(half, False)
    assert refused.value.code == 1013
    under_way[0].close()
    message(False, inflater=Inflater(), of=allowance).add(half, False)
    assert allowance.bytes_used == 10_000
