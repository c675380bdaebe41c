"""RFC 6455, sections 5.2 and 7.4: frames of the server."""

from __future__ import annotations

import pytest
from websockets.frames import Frame as OtherFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from roost.gateway.framing import CLOSE, PING, PONG, encode_close, encode_control, encode_message, may_be_received


def parsed(data: bytes) -> OtherFrame:
    """As `websockets` reads it, strictly, as a client."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    parser = OtherFrame.parse(stream.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as stop:
        frame: OtherFrame = stop.value
    with pytest.raises(StopIteration) as ended:
        next(stream.at_eof())
    assert ended.value.value is True, "nothing may be left behind the frame"
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_message_of_any_size_is_one_frame_that_others_read(size: int) -> None:
    text = parsed(encode_message("x" * size))
    binary = parsed(encode_message(b"\xff" * size))
    assert (text.opcode, text.data, text.fin) == (Opcode.TEXT, b"x" * size, True)
    assert (binary.opcode, binary.data, binary.fin) == (Opcode.BINARY, b"\xff" * size, True)


def test_text_is_counted_in_bytes_of_utf8() -> None:
    assert parsed(encode_message("é" * 63)).data == ("é" * 63).encode()


@pytest.mark.parametrize(("opcode", "name"), [(PING, Opcode.PING), (PONG, Opcode.PONG), (CLOSE, Opcode.CLOSE)])
def test_control_frames(opcode: int, name: Opcode) -> None:
    frame = parsed(encode_control(opcode, b"x" * 125))
    assert (frame.opcode, frame.data) == (name, b"x" * 125)


def test_a_close_frame_without_code_is_empty() -> None:
    assert encode_close(None, "not sent") == b"\x88\x00"


def test_a_reason_too_long_is_cut_at_a_character() -> None:
    frame = parsed(encode_close(4000, "é" * 100))
    assert frame.data[:2] == (4000).to_bytes(2, "big")
    assert bytes(frame.data[2:]).decode() == "é" * 61


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_codes_that_a_peer_may_send(code: int) -> None:
    assert may_be_received(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_codes_that_no_peer_may_send(code: int) -> None:
    assert not may_be_received(code)
