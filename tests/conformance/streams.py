"""Streams of bytes that a client might send: good ones, and good ones that were damaged."""

from __future__ import annotations

import random
import struct
import zlib
from typing import NamedTuple

from tests.conformance.peers import FRESH, NONE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

_TEXTS = ["", "a", "naïve", "κόσμε", "😀", "\0", "\ud7ff\ue000\U0010ffff", "x" * 130]
_BAD_TEXTS = [
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"a\x80",
    b"\xf8\x88\x80\x80\x80",
]
_CODES = [1000, 1001, 1003, 1007, 1014, 3000, 4999, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]


class Stream(NamedTuple):
    """What a client sends."""

    data: bytes
    has_last_block: bool
    """Whether a compressed message has a block that says it is the last one (RFC 7692, section 7.2.3.4)."""

    is_damaged: bool


class Head(NamedTuple):
    """What stands before the payload of a frame, as it is read here and nowhere else."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    length: int
    minimal: bool
    payload: bytes
    whole: bool


def read_heads(data: bytes) -> list[Head]:
    """The frames of a stream, the last one perhaps not whole; those behind nonsense are nonsense too."""
    heads = []
    while len(data) >= 2:
        first, second, rest = data[0], data[1], data[2:]
        size = {126: 2, 127: 8}.get(second & 0x7F, 0)
        length = int.from_bytes(rest[:size], "big") if size else second & 0x7F
        minimal = not size or ((length >= 126 if size == 2 else length >= 1 << 16) and length < 1 << 63)
        mask, rest = (rest[size : size + 4], rest[size + 4 :]) if second & 0x80 else (b"\0" * 4, rest[size:])
        complete = len(data) >= 2 + size + (4 if second & 0x80 else 0) + length
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(rest[:length])) if len(mask) == 4 else b""
        heads.append(Head(first >= 128, first >> 4 & 7, first & 15, second >= 128, length, minimal, payload, complete))
        data = rest[length:] if complete else b""
    return heads


class Maker:
    """Makes streams by chance."""

    def __init__(self, chance: random.Random, mode: str) -> None:
        self._chance = chance
        self._mode = mode
        self._deflate = self._new_deflate()
        self._has_last_block = False

    def stream(self) -> Stream:
        chance = self._chance
        frames = [part for _ in range(chance.randrange(1, 5)) for part in self._something()]
        disordered, damaged = chance.random() < 0.3, chance.random() < 0.4
        if disordered:
            self._damage_order(frames)
        data = b"".join(frames)
        if damaged:
            data = self._damage(data)
        return Stream(data, self._has_last_block, disordered or damaged)

    def _something(self) -> list[bytes]:
        kind = self._chance.randrange(10)
        if kind < 6:
            return self._message()
        if kind < 9:
            return [self._control()]
        return [self._frame(CLOSE, self._close_payload())]

    def _message(self) -> list[bytes]:
        """Its frames, with control frames between them."""
        chance = self._chance
        opcode, payload = chance.choice(((TEXT, self._text()), (BINARY, chance.randbytes(chance.choice((0, 5, 130))))))
        if chance.random() < 0.03:
            payload *= 30  # perhaps too large
        compressed = self._mode != NONE and chance.random() < 0.7
        if compressed:
            payload = self._compressed(payload)
        cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.choice((0, 0, 0, 1, 2))))
        parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        frames = []
        for number, part in enumerate(parts):
            rsv = 4 if compressed and not number else 0
            frames.append(self._frame(CONTINUATION if number else opcode, part, fin=part is parts[-1], rsv=rsv))
            if number < len(parts) - 1 and chance.random() < 0.3:
                frames.append(self._control())
        return frames

    def _text(self) -> bytes:
        text = "".join(self._chance.choices(_TEXTS, k=self._chance.randrange(4))).encode()
        if self._chance.random() < 0.05:
            at = self._chance.randrange(len(text) + 1)
            text = text[:at] + self._chance.choice(_BAD_TEXTS) + text[at:]
        return text

    def _control(self) -> bytes:
        size = self._chance.choice((0, 1, 5, 125, 125, 126))
        return self._frame(self._chance.choice((PING, PONG)), self._chance.randbytes(size))

    def _close_payload(self) -> bytes:
        chance = self._chance
        if chance.random() < 0.2:
            return chance.choice((b"", b"\x03"))
        reason = chance.choice(("", "bye", "é" * 61, "x" * 123)).encode()
        if chance.random() < 0.1:
            reason = chance.choice(_BAD_TEXTS)
        return struct.pack("!H", chance.choice(_CODES)) + reason

    # -- compression ---------------------------------------------------------------------------------------------------

    def _new_deflate(self) -> zlib._Compress:
        return zlib.compressobj(level=self._chance.choice((0, 1, 9)), wbits=-self._chance.randrange(9, 13))

    def _compressed(self, payload: bytes) -> bytes:
        if self._mode == FRESH:
            self._deflate = self._new_deflate()
        if self._chance.random() < 0.03:
            self._has_last_block = True
            last, self._deflate = self._deflate, self._new_deflate()
            return last.compress(payload) + last.flush() + b"\0"
        data = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(b"\0\0\xff\xff") or b"\0"

    # -- damage --------------------------------------------------------------------------------------------------------

    def _damage_order(self, frames: list[bytes]) -> None:
        at = self._chance.randrange(len(frames))
        kind = self._chance.randrange(3)
        if kind == 0:
            del frames[at]
        elif kind == 1:
            frames.insert(at, self._chance.choice(frames))
        else:
            self._chance.shuffle(frames)

    def _damage(self, data: bytes) -> bytes:
        if not data:
            return data
        damaged = bytearray(data)
        at = self._chance.randrange(len(damaged))
        kind = self._chance.randrange(4)
        if kind == 0:
            damaged[at] ^= 1 << self._chance.randrange(8)
        elif kind == 1:
            damaged[at] = self._chance.randrange(256)
        elif kind == 2:
            del damaged[at:]
        else:
            del damaged[at : at + self._chance.randrange(1, 4)]
        return bytes(damaged)

    def _frame(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
        chance = self._chance
        if chance.random() < 0.02:
            rsv ^= chance.choice((1, 2, 4))
        size = len(payload)
        form = 0 if size < 126 else 2 if size < 1 << 16 else 8
        if chance.random() < 0.01:
            form = max(form, chance.choice((2, 8)))  # not minimal
        length = bytes((size,)) if not form else bytes((126 if form == 2 else 127,)) + size.to_bytes(form, "big")
        mask = chance.randbytes(4) if chance.random() < 0.99 else None
        head = bytes((fin << 7 | rsv << 4 | opcode, length[0] | (0x80 if mask else 0))) + length[1:]
        if mask is None:
            return head + payload
        return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
