from __future__ import annotations

from typing import Any

import pytest
from picows import WSFrame, WSListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # not in its type hints
from tests.gateway.raw_client import TEXT, close_frame, frame

from roost.gateway.picows_reader import READ_BYTES_MAX, feed, make_reader


class Listener(WSListener):
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.tail_bytes = 0
        self.passing_bytes = 0
        self.reads: list[tuple[int, bytes]] = []
        self.breach: tuple[int, str] | None = None

    def on_ws_frame(self, _: Any, frame: WSFrame) -> None:
        self.tail_bytes = frame.tail_size
        if frame.get_payload_as_bytes() == b"raise":
            raise RuntimeError("the listener fails")
        self.heard.append(frame.get_payload_as_bytes())

    def on_passed(self) -> None:
        self.heard.append("passed")

    def on_read(self, before: int, data: bytes) -> None:
        self.reads.append((before, data))
        if self.breach is not None:
            self.heard.append(self.breach[0])


@pytest.fixture
async def reader() -> tuple[Any, Listener]:
    listener = Listener()
    return make_reader(listener, 1_000), listener


async def test_it_begins_with_frames(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"1") + frame(TEXT, b"2"))
    assert reader[1].heard == [b"1", b"2"]


async def test_frames_may_be_cut_anywhere(reader: tuple[Any, Listener]) -> None:
    for byte in frame(TEXT, b"x" * 300):
        feed(reader[0], bytes([byte]))
    assert reader[1].heard == [b"x" * 300]


async def test_more_than_its_buffer_is_read() -> None:
    listener = Listener()
    feed(make_reader(listener, 1 << 20), frame(TEXT, b"x" * (1 << 20)))
    assert listener.heard == [b"x" * (1 << 20)]


async def test_a_read_is_bounded_however_far_ahead_the_client_is() -> None:
    listener = Listener()
    reader: Any = make_reader(listener, 1 << 20)
    left = memoryview(frame(TEXT, b"x" * 10_000) * 1_000)
    while left:
        buffer = memoryview(reader.get_buffer(-1))
        assert 0 < len(buffer) <= READ_BYTES_MAX
        size = min(len(buffer), len(left))
        buffer[:size] = left[:size]
        reader.buffer_updated(size)
        left = left[size:]
    assert len(listener.heard) == 1_000
    assert len(WSProtocol.get_buffer(reader, -1)) <= 4 * READ_BYTES_MAX, "the buffer behind it has not grown either"


async def test_it_counts_what_belongs_to_no_frame_yet(reader: tuple[Any, Listener]) -> None:
    data = frame(TEXT, b"1") + frame(TEXT, b"22")
    for size in range(1, len(data) + 1):
        feed(reader[0], data[size - 1 : size])
        assert reader[1].tail_bytes == (size if size < 7 else size - 7 if size < len(data) else 0)
    feed(reader[0], data + data[:3])
    assert reader[1].tail_bytes == 3


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 300])
async def test_reads_of_one_frame_and_of_its_parts_are_the_same(reader: tuple[Any, Listener], size: int) -> None:
    data = frame(TEXT, b"x" * size)
    for parts in ([data], [data[:1], data[1:]], [data[:-1], data[-1:]], [data, data], [data + data[:2], data[2:]]):
        reader[1].heard.clear()
        for part in parts:
            feed(reader[0], part)
        assert reader[1].heard == [b"x" * size] * (sum(map(len, parts)) // len(data))
        assert reader[1].tail_bytes == 0


async def test_a_read_of_one_byte_is_no_frame_whatever_the_buffer_held_before(reader: tuple[Any, Listener]) -> None:
    data = frame(TEXT, b"x" * 50)
    buffer = reader[0].get_buffer(-1)
    buffer[0], buffer[1] = data[0], 0x80 - 6 + 1  # the second as if a frame could have one byte
    reader[0].buffer_updated(1)
    assert reader[1].tail_bytes == 1
    feed(reader[0], data[1:])
    assert reader[1].heard == [b"x" * 50]


async def test_a_breach_in_one_short_frame_is_told(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(3, b"x"))
    assert reader[1].heard == [1002]


async def test_it_shows_what_was_read_of_a_frame_that_is_not_whole(reader: tuple[Any, Listener]) -> None:
    first, second = frame(TEXT, b"1"), frame(TEXT, b"x" * 50)
    feed(reader[0], first + second[:10])
    feed(reader[0], second[10:20])
    feed(reader[0], second[20:] + first)
    assert reader[1].reads == [(0, first + second[:10]), (10, second[10:20])]


async def test_bytes_that_pass_are_not_shown(reader: tuple[Any, Listener]) -> None:
    data = frame(TEXT, b"x" * 50)
    feed(reader[0], data[:20])
    reader[1].passing_bytes = 36
    feed(reader[0], data[20:40])
    feed(reader[0], data[40:] + data[:9])
    assert reader[1].heard == ["passed", b"x" * 50]
    assert reader[1].reads == [(0, data[:20]), (40, data[40:] + data[:9])]


async def test_a_breach_is_told_after_the_good_frames_before_it(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"good") + frame(TEXT, b"bad", masked=False))
    assert reader[1].heard == [b"good", 1002]


async def test_the_size_of_a_frame_is_bounded_before_it_comes(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"x" * 1_001)[:8])
    assert reader[1].heard == [1009]


async def test_a_failure_of_the_listener_is_a_breach_of_ours(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"raise"))
    assert reader[1].heard == [1011]


async def test_close_frames_are_handed_on(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], close_frame(4000, b"x"))
    assert reader[1].heard == [(4000).to_bytes(2, "big") + b"x"]
