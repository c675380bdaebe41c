"""permessage-deflate (RFC 7692): what is agreed on with a client, and messages to it, compressed.

(1) An offer is taken when all of its parameters can be kept; the first such offer of a client counts.
(2) By default neither side keeps its window from one message to the next (`no_context_takeover`). Then a client costs
    no memory between messages, and a broadcast is compressed once for all clients with the same size of the window.
(3) Windows are kept where `deflate_contexts_bytes_max` allows it, as long as all of them together stay below it.
(4) A message below `deflate_bytes_min`, or that would not become smaller, is sent as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec

from roost.gateway.coding import Coding
from roost.gateway.extensions import Extension
from roost.gateway.framing import BINARY, TEXT, encode_frame, encode_message
from roost.gateway.inflating import Inflater
from roost.limits import Limits
from roost.link.frames import Message

NAME = "permessage-deflate"
LEVEL = 1
"""zlib's fastest: the loop stands still meanwhile."""
WINDOW_BITS_MIN, WINDOW_BITS_MAX = 9, zlib.MAX_WBITS
"""Of zlib; RFC 7692 has 8 too, and a client that demands it is sent nothing compressed."""
UTF8_BYTES_MAX = 4
_FLUSHED = b"\x00\x00\xff\xff"
"""With which a flush ends, and which is left out (section 7.2.1)."""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """The four parameters of an offer, or of what was agreed on."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    """In an offer: None where the client cannot be told a size, 15 where it named none."""

    def header(self) -> str:
        """The value of Sec-WebSocket-Extensions in the answer."""
        parts = [NAME]
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value is not False:
                parts.append(name if value is True else f"{name}={value}")
        return "; ".join(parts)


def read_terms(extension: Extension) -> Terms | None:
    """The parameters of an offer of this extension; None for one that must be declined (section 7.1)."""
    given = dict(extension.parameters)
    if extension.name.lower() != NAME or len(given) != len(extension.parameters):
        return None
    flags = {name: given.pop(name, "") for name in ("server_no_context_takeover", "client_no_context_takeover")}
    if any(value not in (None, "") for value in flags.values()):
        return None
    server_bits, client_bits = None, None
    if "server_max_window_bits" in given:
        server_bits = _read_bits(given.pop("server_max_window_bits"))
        if server_bits is None:
            return None
    if "client_max_window_bits" in given:
        value = given.pop("client_max_window_bits")
        client_bits = WINDOW_BITS_MAX if value is None else _read_bits(value)
        if client_bits is None:
            return None
    if given:
        return None  # a parameter that is not defined
    server_flag, client_flag = (value is None for value in flags.values())
    return Terms(server_flag, client_flag, server_bits, client_bits)


def _read_bits(value: str | None) -> int | None:
    """A size of a window, as it must be written: 8 to 15, with no leading zero."""
    return int(value) if value in {str(bits) for bits in range(8, WINDOW_BITS_MAX + 1)} else None


class Deflate:
    """What all connections of a gateway have in common."""

    def __init__(self, limits: Limits) -> None:
        self._bytes_min = limits.deflate_bytes_min
        self._window_bits = min(max(limits.deflate_window_bits, WINDOW_BITS_MIN), WINDOW_BITS_MAX)
        self.contexts_bytes = 0
        """What all windows that are kept take."""
        self._contexts_bytes_max = limits.deflate_contexts_bytes_max
        self._shared: dict[int, SharedDeflate] = {}

    def agree(self, extensions: tuple[Extension, ...]) -> tuple[str, Coding] | None:
        """What to answer to these offers, and how the connection is then coded; None where none is taken."""
        if not self._bytes_min:
            return None
        for extension in extensions:
            offered = read_terms(extension)
            if offered is not None:
                return self._agree(offered)
        return None

    def _agree(self, offered: Terms) -> tuple[str, Coding]:
        server_bits = min(offered.server_max_window_bits or WINDOW_BITS_MAX, self._window_bits)
        client_bits = min(offered.client_max_window_bits or WINDOW_BITS_MAX, self._window_bits)
        if offered.client_max_window_bits is None:
            client_bits = WINDOW_BITS_MAX  # it cannot be told any other
        server_keeps = not offered.server_no_context_takeover and server_bits >= WINDOW_BITS_MIN
        client_keeps = not offered.client_no_context_takeover
        size = server_keeps * deflating_bytes(server_bits) + client_keeps * inflating_bytes(client_bits)
        if self.contexts_bytes + size > self._contexts_bytes_max:
            server_keeps = client_keeps = False
        agreed = Terms(
            server_no_context_takeover=not server_keeps,
            client_no_context_takeover=not client_keeps,
            server_max_window_bits=offered.server_max_window_bits and server_bits,
            client_max_window_bits=offered.client_max_window_bits and client_bits if client_keeps else None,
        )
        coding: Coding = self._shared_coding(server_bits)
        if server_keeps or client_keeps:
            self.contexts_bytes += size
            encode = _Deflater(server_bits, self._bytes_min, keeps=True).encode if server_keeps else coding.encode
            inflater = Inflater(client_bits, keeps=True) if client_keeps else None
            coding = KeptDeflate(self, encode, inflater, size)
        return agreed.header(), coding

    def _shared_coding(self, bits: int) -> SharedDeflate:
        if bits not in self._shared:
            self._shared[bits] = SharedDeflate(bits, self._bytes_min)
        return self._shared[bits]


def deflating_bytes(bits: int) -> int:
    """The memory of a compressor that keeps such a window (zlib's zconf.h)."""
    return (1 << bits + 2) + (1 << _memory_level(bits) + 9)


def inflating_bytes(bits: int) -> int:
    """The memory of a decompressor that keeps such a window, and of the copy of it that a last block needs."""
    return (2 << bits) + 7_168


def _memory_level(bits: int) -> int:
    return bits - 7  # then the table of hashes is as large as the window's part


class _Deflater:
    """Compresses messages."""

    __slots__ = ("_bytes_min", "_deflate", "_keeps")

    def __init__(self, bits: int, bytes_min: int, *, keeps: bool) -> None:
        self._bytes_min = bytes_min
        self._keeps = keeps
        """Whether a message may refer to those before it."""
        self._deflate = zlib.compressobj(level=LEVEL, wbits=-bits, memLevel=_memory_level(bits))

    def encode(self, message: Message) -> bytes:
        if len(message) * UTF8_BYTES_MAX < self._bytes_min:
            return encode_message(message)
        opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, bytes(message))
        if len(payload) < self._bytes_min:
            return encode_frame(opcode, payload)
        flush = zlib.Z_SYNC_FLUSH if self._keeps else zlib.Z_FULL_FLUSH  # a full flush forgets what was before it
        deflated = (self._deflate.compress(payload) + self._deflate.flush(flush)).removesuffix(_FLUSHED)
        if len(deflated) >= len(payload) and not self._keeps:
            return encode_frame(opcode, payload)
        return encode_frame(opcode, deflated, deflated=True)


class SharedDeflate:
    """Without windows that are kept: one for all connections with the same size of the window."""

    __slots__ = ("_deflater",)
    shared = True

    def __init__(self, bits: int, bytes_min: int) -> None:
        self._deflater = _Deflater(bits, bytes_min, keeps=False) if bits >= WINDOW_BITS_MIN else None

    def encode(self, message: Message) -> bytes:
        return encode_message(message) if self._deflater is None else self._deflater.encode(message)

    def inflater(self) -> Inflater:
        return Inflater()

    def close(self) -> None:
        pass


class KeptDeflate:
    """With a window that at least one side keeps: of one connection."""

    __slots__ = ("_bytes", "_deflate", "_inflater", "encode")
    shared = False

    def __init__(self, deflate: Deflate, encode: Callable[[Message], bytes], inflater: Inflater | None, size: int):
        self.encode = encode
        self._deflate = deflate
        self._inflater = inflater
        """None where the client does not keep its window."""
        self._bytes = size

    def inflater(self) -> Inflater:
        return self._inflater or Inflater()

    def close(self) -> None:
        """Give the memory back."""
        self._deflate.contexts_bytes -= self._bytes
        self._bytes = 0
