from __future__ import annotations

import random
import zlib

import pytest

from roost.gateway.coding import Coding
from roost.gateway.deflate import Deflate, KeptDeflate, SharedDeflate, deflating_bytes, inflating_bytes
from roost.gateway.extensions import read_extensions
from roost.gateway.framing import encode_message
from roost.limits import Limits

WORDS = "the same words again, " * 20
PLENTY = 1 << 30


def agree(offer: str, **limits: int) -> tuple[str, Coding] | None:
    limits = {"deflate_bytes_min": 100} | limits
    return Deflate(Limits(**limits)).agree(read_extensions([offer]))


def agreed(offer: str, **limits: int) -> tuple[str, Coding]:
    found = agree(offer, **limits)
    assert found is not None
    return found


def read(frame: bytes, inflate: zlib._Decompress | None = None) -> bytes:
    """The payload of a frame that a server compressed."""
    assert frame[0] & 0x70 == 0x40, "it says that it is compressed"
    short = frame[1]
    payload = frame[2 if short < 126 else 4 if short == 126 else 10 :]
    return (inflate or zlib.decompressobj(wbits=-15)).decompress(payload + b"\0\0\xff\xff")


BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class TestNegotiation:  # RFC 7692, sections 5 and 7.1
    @pytest.mark.parametrize(
        ("offer", "answer"),
        [
            ("permessage-deflate", BOTH),
            ("Permessage-Deflate", BOTH),
            ("permessage-deflate; client_max_window_bits", BOTH),
            ("permessage-deflate; client_max_window_bits=10", BOTH),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", BOTH),
            ("permessage-deflate; server_max_window_bits=10", BOTH + "; server_max_window_bits=10"),
            ('permessage-deflate; server_max_window_bits="15"', BOTH + "; server_max_window_bits=12"),
            ("permessage-deflate; server_max_window_bits=8", BOTH + "; server_max_window_bits=8"),
            ("other, permessage-deflate; no_such, permessage-deflate", BOTH),
            ("permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9",
             BOTH + "; server_max_window_bits=9"),
        ],
    )  # fmt: skip
    def test_by_default_no_window_is_kept(self, offer: str, answer: str) -> None:
        header, coding = agreed(offer)
        assert header == answer
        assert isinstance(coding, SharedDeflate)
        assert coding.inflater() is not coding.inflater(), "each message has its own"

    @pytest.mark.parametrize(
        ("offer", "answer"),
        [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=12"),
            ("permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
            ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
            ("permessage-deflate; client_no_context_takeover; client_max_window_bits",
             "permessage-deflate; client_no_context_takeover"),
            ("permessage-deflate; server_max_window_bits=8",
             "permessage-deflate; server_no_context_takeover; server_max_window_bits=8"),
        ],
    )  # fmt: skip
    def test_windows_are_kept_where_there_is_memory_for_them(self, offer: str, answer: str) -> None:
        header, coding = agreed(offer, deflate_contexts_bytes_max=PLENTY)
        assert header == answer
        assert isinstance(coding, KeptDeflate)
        assert (coding.inflater() is coding.inflater()) == ("client_no_context_takeover" not in answer)

    @pytest.mark.parametrize(
        "offer",
        [
            "",
            "other",
            "x-webkit-deflate-frame",
            "permessage-deflate; no_such",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            *[f"permessage-deflate; server_max_window_bits={bits}" for bits in ("7", "16", "08", "+9", "x", "10.0")],
            *[f"permessage-deflate; client_max_window_bits={bits}" for bits in ("7", "16", "08", "x")],
            "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
        ],
    )
    def test_what_cannot_be_kept_is_declined(self, offer: str) -> None:
        assert agree(offer) is None

    def test_nothing_is_agreed_on_where_nothing_is_compressed(self) -> None:
        assert agree("permessage-deflate", deflate_bytes_min=0) is None

    @pytest.mark.parametrize(("limit", "bits"), [(1, 9), (9, 9), (15, 15), (99, 15)])
    def test_a_window_is_never_of_a_size_that_zlib_lacks(self, limit: int, bits: int) -> None:
        header, coding = agreed("permessage-deflate; server_max_window_bits=15", deflate_window_bits=limit)
        assert header.endswith(f"server_max_window_bits={bits}")
        assert read(coding.encode(WORDS)).decode() == WORDS


class TestMemory:
    def test_all_windows_together_stay_below_their_bound(self) -> None:
        size = deflating_bytes(12) + inflating_bytes(15)
        deflate = Deflate(Limits(deflate_contexts_bytes_max=3 * size + 5))
        offer = read_extensions(["permessage-deflate"])
        headers, codings = zip(*[deflate.agree(offer) or ("", None) for _ in range(5)], strict=True)
        assert headers == ("permessage-deflate",) * 3 + (BOTH,) * 2
        assert deflate.contexts_bytes == 3 * size
        codings[0].close()
        codings[0].close()
        assert deflate.contexts_bytes == 2 * size, "given back once"
        assert (deflate.agree(offer) or ("",))[0] == "permessage-deflate"

    def test_clients_with_the_same_window_share_one_coding(self) -> None:
        deflate = Deflate(Limits())
        found = set()
        for parameter in ("", "; client_max_window_bits", "; server_max_window_bits=14"):
            _, coding = deflate.agree(read_extensions(["permessage-deflate" + parameter])) or ("", None)
            found.add(id(coding))
        assert len(found) == 1


class TestMessages:  # section 7.2.1
    @pytest.mark.parametrize("message", [WORDS, WORDS.encode(), "é" * 50, "é" * 70_000, b"\0" * 3_000_000])
    @pytest.mark.parametrize("kept", [0, PLENTY])
    def test_they_are_compressed_and_can_be_read(self, message: str | bytes, kept: int) -> None:
        _, coding = agreed("permessage-deflate", deflate_contexts_bytes_max=kept)
        frame = coding.encode(message)
        plain = message.encode() if isinstance(message, str) else message
        assert frame[0] == (0xC1 if isinstance(message, str) else 0xC2)
        assert len(frame) < len(plain)
        assert read(frame) == plain

    @pytest.mark.parametrize("message", ["", "x" * 99, "é" * 49, b"x" * 99, b""])
    def test_small_ones_are_left_as_they_are(self, message: str | bytes) -> None:
        for kept in (0, PLENTY):
            _, coding = agreed("permessage-deflate", deflate_contexts_bytes_max=kept)
            assert coding.encode(message) == encode_message(message)

    def test_one_that_would_not_become_smaller_is_left_as_it_is(self) -> None:
        message = random.Random(1).randbytes(500)
        _, coding = agreed("permessage-deflate")
        assert coding.encode(message) == encode_message(message)

    def test_no_message_refers_to_one_before_it_where_no_window_is_kept(self) -> None:
        _, coding = agreed("permessage-deflate")
        assert [read(coding.encode(WORDS + str(n))) for n in range(5)] == [(WORDS + str(n)).encode() for n in range(5)]
        assert len({coding.encode(WORDS) for _ in range(5)}) == 1, "and the same message has the same bytes"

    def test_messages_refer_to_those_before_them_where_the_window_is_kept(self) -> None:
        _, coding = agreed("permessage-deflate", deflate_contexts_bytes_max=PLENTY)
        inflate = zlib.decompressobj(wbits=-15)
        frames = [coding.encode(WORDS) for _ in range(5)]
        assert [read(frame, inflate).decode() for frame in frames] == [WORDS] * 5
        assert len(frames[1]) < len(frames[0]) / 2

    @pytest.mark.parametrize("bits", range(9, 16))
    @pytest.mark.parametrize("kept", [0, PLENTY])
    def test_no_message_needs_a_larger_window_than_was_agreed_on(self, bits: int, kept: int) -> None:
        _, coding = agreed(
            f"permessage-deflate; server_max_window_bits={bits}",
            deflate_window_bits=15,
            deflate_contexts_bytes_max=kept,
        )
        inflate = zlib.decompressobj(wbits=-bits)
        for n in range(20):
            message = b"".join(b"%d " % (n * at) for at in range(3_000))
            assert read(coding.encode(message), inflate if kept else zlib.decompressobj(wbits=-bits)) == message

    def test_a_client_with_a_window_of_256_bytes_is_sent_nothing_compressed(self) -> None:
        for kept in (0, PLENTY):
            _, coding = agreed("permessage-deflate; server_max_window_bits=8", deflate_contexts_bytes_max=kept)
            assert coding.encode(WORDS) == encode_message(WORDS)
