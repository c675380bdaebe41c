"""RFC 6455 and RFC 7692 section by section: what a client sends, and what it must come to.

Each row goes through the reader whole, byte by byte and in two parts cut at every position, with the same outcome.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import pytest
from tests.conformance.peers import FRESH, KEPT, MESSAGE_BYTES_MAX, NONE, Outcome, ours
from tests.gateway.raw_client import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame

CONTINUATION = 0
HELLO = ("text", "Hello")
_DEFLATED_HELLO = bytes.fromhex("f248cdc9c90700")


class Row(NamedTuple):
    """One demand of the standard."""

    section: str
    demand: str
    data: bytes
    outcome: Outcome
    mode: str = NONE


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


RFC_6455 = [
    Row("5.1", "a frame that is not masked ends the connection", frame(TEXT, b"Hello", masked=False), [("fail", 1002)]),
    Row("5.1", "a frame whose mask is zero is masked", b"\x81\x85\0\0\0\0Hello", [HELLO]),
    *[
        Row("5.2", f"reserved bit {bit} without an extension", frame(TEXT, b"a", rsv=1 << (3 - bit)), [("fail", 1002)])
        for bit in (1, 2, 3)
    ],
    Row("5.2", "reserved bits of a control frame", frame(PING, b"", rsv=4), [("fail", 1002)]),
    *[
        Row("5.2", f"opcode {opcode} is reserved", frame(opcode, b"a"), [("fail", 1002)])
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ],
    *[
        Row("5.2", f"a payload of {size} bytes", frame(BINARY, b"x" * size), [("binary", b"x" * size)])
        for size in (0, 1, 125, 126, 127, 1_999, 2_000)
    ],
    Row("5.2", "16 bits for a short length", struct.pack("!BBH", 0x82, 0xFE, 125) + b"\0" * 129, [("fail", 1002)]),
    Row("5.2", "64 bits for a medium length", struct.pack("!BBQ", 0x82, 0xFF, 65_535), [("fail", 1002)]),
    Row("5.2", "the highest bit of a length is 0", struct.pack("!BBQ", 0x82, 0xFF, 1 << 63), [("fail", 1002)]),
    Row("5.3", "the example of a masked text", bytes.fromhex("818537fa213d7f9f4d5158"), [HELLO]),
    Row("5.4", "two fragments", frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo"), [HELLO]),
    Row(
        "5.4",
        "fragments may be empty",
        b"".join(
            (
                frame(BINARY, fin=False),
                frame(CONTINUATION, b"a", fin=False),
                frame(CONTINUATION, fin=False),
                frame(CONTINUATION),
            )
        ),
        [("binary", b"a")],
    ),
    Row(
        "5.4",
        "control frames come between fragments, and are told at once",
        frame(TEXT, b"Hel", fin=False) + frame(PING, b"p") + frame(PONG, b"q") + frame(CONTINUATION, b"lo"),
        [("ping", b"p"), ("pong", b"q"), HELLO],
    ),
    Row("5.4", "a continuation of nothing", frame(CONTINUATION, b"a"), [("fail", 1002)]),
    Row("5.4", "a continuation after the last", frame(TEXT, b"Hello") + frame(CONTINUATION), [HELLO, ("fail", 1002)]),
    Row("5.4", "a message within a message", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"), [("fail", 1002)]),
    Row("5.4", "also where it is empty", frame(TEXT, fin=False) + frame(TEXT, fin=False), [("fail", 1002)]),
    *[
        Row("5.5", f"opcode {opcode} is never fragmented", frame(opcode, b"a", fin=False), [("fail", 1002)])
        for opcode in (CLOSE, PING, PONG)
    ],
    *[
        Row("5.5", f"opcode {opcode} has at most 125 bytes", frame(opcode, b"\x03\xe8" + b"a" * 124), [("fail", 1002)])
        for opcode in (CLOSE, PING, PONG)
    ],
    Row("5.5.1", "a Close frame may be empty", close_frame(), [("close", None, "")]),
    Row("5.5.1", "a code and a reason", close_frame(1000, "bye ☃".encode()), [("close", 1000, "bye ☃")]),
    Row("5.5.1", "a reason of 123 bytes", close_frame(1000, b"x" * 123), [("close", 1000, "x" * 123)]),
    Row("5.5.1", "half a code", frame(CLOSE, b"\x03"), [("fail", 1002)]),
    Row("5.5.1", "a reason that is no text", close_frame(1000, b"\xff"), [("fail", 1007)]),
    Row("5.5.1", "nothing counts after it", close_frame(1000) + frame(TEXT, b"a") + b"\xff", [("close", 1000, "")]),
    Row("5.5.1", "also within a message", frame(TEXT, b"a", fin=False) + close_frame(1000), [("close", 1000, "")]),
    Row("5.5.2", "a Ping with data", frame(PING, b"x" * 125), [("ping", b"x" * 125)]),
    Row("5.5.2", "a Ping without", frame(PING), [("ping", b"")]),
    Row("5.5.3", "a Pong that nobody asked for", frame(PONG, b"x"), [("pong", b"x")]),
    Row("5.6", "text", frame(TEXT, "κόσμε".encode()), [("text", "κόσμε")]),
    Row("5.6", "bytes", frame(BINARY, bytes(range(256))), [("binary", bytes(range(256)))]),
    Row("5.7", "the example of a Ping, masked", bytes.fromhex("898537fa213d7f9f4d5158"), [("ping", b"Hello")]),
    *[
        Row("7.4.1", f"code {code} may be sent", close_frame(code), [("close", code, "")])
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
    ],
    *[
        Row("7.4.1", f"code {code} may not be sent", close_frame(code), [("fail", 1002)])
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    ],
    *[
        Row("7.4.2", f"code {code} is the application's", close_frame(code), [("close", code, "")])
        for code in (3000, 3999, 4000, 4999)
    ],
    *[
        Row("8.1", f"no text: {bad.hex()}", frame(TEXT, b"a" + bad), [("fail", 1007)])
        for bad in (
            b"\xff",
            b"\x80",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xe2\x82",
        )
    ],
    Row(
        "8.1",
        "a character may lie in two fragments",
        frame(TEXT, b"\xe2\x98", fin=False) + frame(CONTINUATION, b"\x83"),
        [("text", "☃")],
    ),
    Row(
        "8.1",
        "a wrong byte is found in its fragment",
        frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\xff", fin=False) + frame(PING),
        [("fail", 1007)],
    ),
    Row("8.1", "and before its frame is whole", frame(TEXT, b"\xed\xa0" + b"x" * 100)[:20], [("fail", 1007)]),
    Row("8.1", "what may become right is waited for", frame(TEXT, "😀".encode())[:-1], []),
    Row("10.4", "a frame above the bound", frame(BINARY, b"x" * (MESSAGE_BYTES_MAX + 1)), [("fail", 1009)]),
    Row(
        "10.4",
        "a message above it, found at the head of the frame",
        frame(BINARY, b"x" * 1_500, fin=False) + frame(CONTINUATION, b"x" * 501)[:8],
        [("fail", 1009)],
    ),
]

RFC_7692 = [
    Row("6", "the example", frame(TEXT, _DEFLATED_HELLO, rsv=4), [HELLO], FRESH),
    Row(
        "6.1",
        "the bit is set on the first fragment only",
        frame(TEXT, _DEFLATED_HELLO[:3], fin=False, rsv=4) + frame(CONTINUATION, _DEFLATED_HELLO[3:]),
        [HELLO],
        FRESH,
    ),
    Row(
        "6.1",
        "not on a continuation",
        frame(TEXT, _DEFLATED_HELLO[:3], fin=False, rsv=4) + frame(CONTINUATION, _DEFLATED_HELLO[3:], rsv=4),
        [("fail", 1002)],
        FRESH,
    ),
    Row("6.1", "not on a control frame", frame(PING, b"", rsv=4), [("fail", 1002)], FRESH),
    Row("6.1", "not with another bit", frame(TEXT, _DEFLATED_HELLO, rsv=6), [("fail", 1002)], FRESH),
    Row("6.1", "a message may be left as it is", frame(TEXT, b"Hello"), [HELLO], FRESH),
    Row(
        "6.1",
        "control frames come between compressed fragments",
        frame(TEXT, _DEFLATED_HELLO[:3], fin=False, rsv=4) + frame(PING) + frame(CONTINUATION, _DEFLATED_HELLO[3:]),
        [("ping", b""), HELLO],
        FRESH,
    ),
    Row("7.2.2", "an empty message", frame(TEXT, b"\0", rsv=4), [("text", "")], FRESH),
    Row("7.2.2", "no deflated data", frame(TEXT, b"\xff\xff", rsv=4), [("fail", 1007)], FRESH),
    Row("7.2.2", "deflated, and no text", frame(TEXT, deflated(b"\xff"), rsv=4), [("fail", 1007)], FRESH),
    Row("7.2.3.2", "the window is kept", frame(TEXT, _DEFLATED_HELLO, rsv=4) + frame(TEXT, b"\xf2\0\x11\0\0", rsv=4),
        [HELLO, HELLO], KEPT),
    Row("7.2.3.2", "or not", frame(TEXT, _DEFLATED_HELLO, rsv=4) + frame(TEXT, b"\xf2\0\x11\0\0", rsv=4),
        [HELLO, ("fail", 1007)], FRESH),
    Row("7.2.3.3", "a block that is not compressed", frame(TEXT, bytes.fromhex("000500faff48656c6c6f00"), rsv=4),
        [HELLO], FRESH),
    Row("7.2.3.4", "a last block", frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=4) * 2, [HELLO] * 2, KEPT),
    Row("7.2.3.5", "two blocks", frame(TEXT, bytes.fromhex("f24805000000ffffcac9c90700"), rsv=4), [HELLO], FRESH),
    Row("8", "a message inflates to the bound", frame(BINARY, deflated(b"x" * MESSAGE_BYTES_MAX), rsv=4),
        [("binary", b"x" * MESSAGE_BYTES_MAX)], FRESH),
    Row("8", "and not above it", frame(BINARY, deflated(b"x" * (MESSAGE_BYTES_MAX + 1)), rsv=4),
        [("fail", 1009)], FRESH),
    Row("8", "nor in parts", frame(BINARY, deflated(b"x" * 9_000)[:20], fin=False, rsv=4), [("fail", 1009)], FRESH),
]  # fmt: skip


@pytest.mark.parametrize("row", RFC_6455, ids=lambda row: f"{row.section} {row.demand}")
async def test_rfc_6455(row: Row) -> None:
    _check(row)


@pytest.mark.parametrize("row", RFC_7692, ids=lambda row: f"{row.section} {row.demand}")
async def test_rfc_7692(row: Row) -> None:
    _check(row)


def _check(row: Row) -> None:
    data = row.data
    assert ours([data], row.mode) == row.outcome
    assert ours((data[at : at + 1] for at in range(len(data))), row.mode) == row.outcome
    for at in range(1, min(len(data), 150)):
        assert ours([data[:at], data[at:]], row.mode) == row.outcome, f"cut at {at}"
