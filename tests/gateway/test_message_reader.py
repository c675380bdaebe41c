from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from tests.gateway.raw_client import BINARY, PING, PONG, TEXT, close_frame, frame

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.fragments import Allowance
from roost.gateway.message_reader import MessageReader


class Heard:
    """A Listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.coding: Coding = PLAIN

    def on_message(self, data: str | bytes, size: int) -> None:
        self.heard.append(("message", data, size))

    def on_part(self) -> None:
        self.heard.append(("part",))

    def on_ping(self, payload: bytes) -> None:
        self.heard.append(("ping", payload))

    def on_pong(self, payload: bytes) -> None:
        self.heard.append(("pong", payload))

    def on_close(self, code: int | None, reason: str) -> None:
        self.heard.append(("close", code, reason))

    def on_breach(self, code: int, message: str) -> None:
        self.heard.append(("breach", code))

    def on_lost(self) -> None:
        self.heard.append(("lost",))

    def pause_writing(self) -> None:
        self.heard.append(("pause",))

    def resume_writing(self) -> None:
        self.heard.append(("resume",))


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def reader(heard: Heard) -> MessageReader:
    return MessageReader(heard, 1_000, Allowance(1_000))


async def test_everything_is_told_in_the_order_in_which_it_was_sent(heard: Heard, reader: MessageReader) -> None:
    reader.feed(frame(TEXT, "é".encode()) + frame(PING, b"p") + frame(TEXT, b"a", fin=False) + frame(PONG, b"q"))
    reader.feed(frame(0, b"b") + frame(BINARY, b"\xff") + close_frame(4000, b"bye"))
    assert heard.heard == [
        ("message", "é", 2),
        ("ping", b"p"),
        ("part",),
        ("pong", b"q"),
        ("message", "ab", 2),
        ("message", b"\xff", 1),
        ("close", 4000, "bye"),
    ]


async def test_nothing_is_told_after_a_close(heard: Heard, reader: MessageReader) -> None:
    reader.feed(close_frame() + frame(TEXT, b"late") + close_frame() + frame(3))
    reader.feed(frame(TEXT, b"later"))
    assert heard.heard == [("close", None, "")]


async def test_a_breach_is_told_once_and_last(heard: Heard, reader: MessageReader) -> None:
    reader.feed(frame(TEXT, b"good") + frame(TEXT, b"bad", masked=False) + frame(TEXT, b"late"))
    reader.feed(frame(TEXT, b"later") + frame(3))
    assert heard.heard == [("message", "good", 4), ("breach", 1002)]


async def test_who_expects_a_close_hears_of_nothing_else(heard: Heard, reader: MessageReader) -> None:
    reader.feed(frame(TEXT, b"a", fin=False))
    reader.expect_close()
    reader.feed(frame(0, b"b") + frame(PING) + frame(TEXT, b"c") + close_frame(1000))
    assert heard.heard == [("part",), ("close", 1000, "")]


async def test_it_is_between_frames_exactly_when_nothing_is_half_told(reader: MessageReader) -> None:
    assert reader.between_frames
    data = frame(TEXT, b"abc", fin=False) + frame(PING, b"x") + frame(0, b"def")
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        assert reader.between_frames == (at == len(data) - 1)
    reader.feed(frame(TEXT, b"1") + frame(TEXT, b"2")[:1])
    assert not reader.between_frames


async def test_another_listener_may_take_it_over_between_frames(heard: Heard, reader: MessageReader) -> None:
    reader.feed(frame(TEXT, b"1"))
    reader.listener = other = Heard()
    reader.feed(frame(TEXT, b"2"))
    assert (heard.heard, other.heard) == ([("message", "1", 1)], [("message", "2", 1)])


class Raising(Heard):
    def on_message(self, data: str | bytes, size: int) -> None:
        raise RuntimeError("the listener fails")


async def test_a_listener_that_raises_ends_as_a_breach_of_ours() -> None:
    heard = Raising()
    MessageReader(heard, 1_000, Allowance(1_000)).feed(frame(TEXT, b"1"))
    assert heard.heard == [("breach", 1011)]


async def test_what_came_in_parts_leaves_nothing_to_the_garbage_collector() -> None:
    reader = MessageReader(Heard(), 10_000, Allowance(1_000))
    data = frame(TEXT, b"x" * 5_000)
    reader.feed(data[:3_000])
    reader.feed(data[3_000:])
    known = weakref.ref(reader)
    gc.disable()
    try:
        reader.drop()
        del reader
        assert known() is None
    finally:
        gc.enable()


async def test_its_protocol_tells_of_the_transport(heard: Heard, reader: MessageReader) -> None:
    reader.protocol.pause_writing()
    reader.protocol.resume_writing()
    reader.protocol.connection_lost(None)
    assert heard.heard == [("pause",), ("resume",), ("lost",)]


class TestFramesThatAreNotWhole:
    """What cannot become right any more is told while it comes."""

    LONG = 200

    @pytest.mark.parametrize(
        ("before", "bad", "seen", "code"),
        [
            (b"", frame(TEXT, b"\xff" + b"x" * LONG), 9, 1007),
            (frame(TEXT, b"\xe2", fin=False), frame(0, b"x" * LONG), 9, 1007),
            (b"", frame(0, b"x" * LONG), 8, 1002),
            (frame(TEXT, b"a", fin=False), frame(TEXT, b"x" * LONG), 8, 1002),
            (b"", frame(BINARY, b"x" * LONG, rsv=2), 8, 1002),
            (b"", frame(BINARY, b"x" * LONG, rsv=4), 8, 1002),
            (b"", frame(PING, b"x" * 100, rsv=1), 6, 1002),
            (frame(BINARY, b"x" * 900, fin=False), frame(0, b"x" * LONG), 8, 1009),
            (b"", frame(3), 2, 1002),
        ],
    )
    async def test_a_breach_is_told_with_the_byte_that_makes_it(
        self, heard: Heard, reader: MessageReader, before: bytes, bad: bytes, seen: int, code: int
    ) -> None:
        reader.feed(before)
        for at in range(len(bad)):
            assert (("breach", code) in heard.heard) == (at >= seen), at
            reader.feed(bad[at : at + 1])

    async def test_a_text_is_decoded_on_from_the_frame_before(self, heard: Heard, reader: MessageReader) -> None:
        smile = "😀".encode()
        for byte in frame(TEXT, smile[:2], fin=False) + frame(PING) + frame(0, smile[2:] + smile[:1], fin=False):
            reader.feed(bytes([byte]))
        reader.feed(frame(0, smile[1:]))
        assert [told for told in heard.heard if told[0] == "message"] == [("message", "😀😀", 8)]

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    async def test_many_large_messages_are_read_whole(self, heard: Heard, opcode: int) -> None:
        reader = MessageReader(heard, 1 << 20, Allowance(0))
        reader.feed(b"".join(frame(opcode, b"%d" % n * 100_000) for n in range(10)))
        told = [told[1] for told in heard.heard if told[0] == "message"]
        assert told == [(str(n) if opcode == TEXT else b"%d" % n) * 100_000 for n in range(10)]
        assert reader.between_frames

    async def test_each_read_of_a_message_is_told_as_a_sign_of_life(self, heard: Heard, reader: MessageReader) -> None:
        for kind in (TEXT, BINARY):
            data = frame(kind, b"x" * 300)
            for at in range(0, 300, 50):
                reader.feed(data[at : at + 50])
            assert heard.heard == [("part",)] * 6
            reader.feed(data[300:])
            assert heard.heard.pop()[0] == "message"
            heard.heard.clear()
