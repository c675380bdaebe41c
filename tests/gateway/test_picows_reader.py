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

    def on_ws_frame(self, _: Any, frame: WSFrame) -> None:
        if frame.get_payload_as_bytes() == b"raise":
            raise RuntimeError("the listener fails")
        self.heard.append(frame.get_payload_as_bytes())

    def on_breach(self, code: int, message: str) -> None:
        self.heard.append(code)


@pytest.fixture
async def reader() -> tuple[Any, Listener]:
    listener = Listener()
    return make_reader(listener, listener.on_breach, 1_000), listener


async def test_it_begins_with_frames(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"1") + frame(TEXT, b"2"))
    assert reader[1].heard == [b"1", b"2"]


async def test_frames_may_be_cut_anywhere(reader: tuple[Any, Listener]) -> None:
    for byte in frame(TEXT, b"x" * 300):
        feed(reader[0], bytes([byte]))
    assert reader[1].heard == [b"x" * 300]


async def test_more_than_its_buffer_is_read() -> None:
    listener = Listener()
    feed(make_reader(listener, listener.on_breach, 1 << 20), frame(TEXT, b"x" * (1 << 20)))
    assert listener.heard == [b"x" * (1 << 20)]


async def test_a_read_is_bounded_however_far_ahead_the_client_is() -> None:
    listener = Listener()
    reader: Any = make_reader(listener, listener.on_breach, 1 << 20)
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


async def test_a_breach_is_told_once(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"good") + frame(TEXT, b"bad", masked=False))
    feed(reader[0], frame(TEXT, b"bad", masked=False))
    assert sorted(reader[1].heard, key=str) == [1002, b"good"]


async def test_the_size_of_a_frame_is_bounded_before_it_comes(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"x" * 1_001)[:8])
    assert reader[1].heard == [1009]


async def test_a_failure_of_the_listener_is_a_breach_of_ours(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], frame(TEXT, b"raise"))
    assert reader[1].heard == [1011]


async def test_close_frames_are_handed_on(reader: tuple[Any, Listener]) -> None:
    feed(reader[0], close_frame(4000, b"x"))
    assert reader[1].heard == [(4000).to_bytes(2, "big") + b"x"]
