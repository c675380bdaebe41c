"""The bytes of server-side WebSocket frames (RFC 6455, section 5.2): never masked, never fragmented."""

from __future__ import annotations

from roost.link.frames import Message

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

CONTROL_BYTES_MAX = 125
REASON_BYTES_MAX = CONTROL_BYTES_MAX - 2

_SHORT = {opcode: tuple(bytes((0x80 | opcode, n)) for n in range(126)) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)}
_TEXT_HEADS, _BINARY_HEADS = _SHORT[TEXT], _SHORT[BINARY]


def encode_message(data: Message) -> bytes:
    """One whole message: a `str` as text, `bytes` as binary."""
    if type(data) is str:
        payload = data.encode()
        size = len(payload)
        return _TEXT_HEADS[size] + payload if size < 126 else _long_head(TEXT, size) + payload
    size = len(data)
    head = _BINARY_HEADS[size] if size < 126 else _long_head(BINARY, size)
    return head + bytes(data)


def encode_frame(opcode: int, payload: bytes, *, deflated: bool = False) -> bytes:
    """The frame of a whole message; a deflated one says so with the first reserved bit (RFC 7692, section 6)."""
    size = len(payload)
    head = _SHORT[opcode][size] if size < 126 else _long_head(opcode, size)
    return (bytes((head[0] | 0x40,)) + head[1:] if deflated else head) + payload


def encode_control(opcode: int, payload: bytes = b"") -> bytes:
    """A Close, Ping or Pong frame; the payload has at most 125 bytes."""
    assert len(payload) <= CONTROL_BYTES_MAX, "the payload of a control frame is at most 125 bytes"
    return _SHORT[opcode][len(payload)] + payload


def encode_close(code: int | None, reason: str = "") -> bytes:
    """A Close frame, empty without a code; a reason too long is cut at a character."""
    if code is None:
        return encode_control(CLOSE)
    cut = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
    return encode_control(CLOSE, code.to_bytes(2, "big") + cut)


def may_be_received(code: int) -> bool:
    """Whether a Close frame may carry that code (RFC 6455, section 7.4, and the registry of IANA)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))


def _long_head(opcode: int, size: int) -> bytes:
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
