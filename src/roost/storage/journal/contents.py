"""Tables of contents: which commits an entry of the journal holds, and which those before it held."""

from __future__ import annotations

from collections import deque

import msgspec

_BLOCK_BYTES = 4096
"""What a disk loses at once. An entry repeats the tables of those before it, back to one that ends further away than
this from where the last of them begins: what one bad block can have taken away is named by what stands behind it."""


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the table of contents says of one record."""

    key: bytes
    binding: str
    commit: int
    alarm: int | None = None
    """The earliest due time of the object's alarms after this commit."""


class Echo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The table of contents of an earlier entry, which began at `offset` of the segment `sequence`."""

    sequence: int
    offset: int
    length: int
    """Of the whole entry, its fields included."""
    contents: msgspec.Raw

    def read(self) -> list[Content]:
        """The table."""
        return decode_contents(bytes(self.contents))


class Tables(msgspec.Struct, frozen=True, gc=False):
    """What stands between the fields of an entry and its batch: its own table, and the repeated ones."""

    contents: bytes
    echo: bytes


_encode = msgspec.msgpack.Encoder().encode
decode_contents = msgspec.msgpack.Decoder(list[Content]).decode
decode_echo = msgspec.msgpack.Decoder(list[Echo]).decode
NO_TABLES = Tables(_encode([]), _encode([]))


class TableMaker:
    """Makes the tables of the entries of a journal, remembering those that have to be repeated."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, bytes]] = deque()
        """How long each of the last entries is, and its echo, encoded."""
        self._recent_bytes = 0

    def tables(self, contents: list[Content]) -> Tables:
        """The tables of the next entry."""
        return Tables(_encode(contents), _array_head(len(self._recent)) + b"".join([echo for _, echo in self._recent]))

    def wrote(self, sequence: int, offset: int, length: int, tables: Tables) -> None:
        """An entry with these tables is durable now."""
        recent = self._recent
        recent.append((length, _encode(Echo(sequence, offset, length, msgspec.Raw(tables.contents)))))
        self._recent_bytes += length
        while len(recent) > 1 and self._recent_bytes - recent[0][0] - length >= _BLOCK_BYTES:
            self._recent_bytes -= recent.popleft()[0]


def _array_head(count: int) -> bytes:
    """How an array of so many items begins in MessagePack."""
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
