"""The protocol of a link, without a socket: frames become bytes to send, received bytes become frames.

A batch is its length in 4 bytes, big-endian, and that many bytes of MessagePack: an array of frames.

(1) `put` encodes at once, so a frame that cannot be sent fails at its sender and harms no other. `post` is for what is
    known to be sendable, messages that were checked and numbers: those that follow each other are encoded in one call.
    Should one not be after all, `take` raises LinkError from then on, since what follows would have a gap before it.
(2) A batch is closed above `link_batch_bytes`; only a single frame can make it larger, up to `link_frame_bytes_max`.
    What is posted counts with the size that its sender says, and may be some times larger in UTF-8.
(3) `feed` takes bytes cut anywhere and gives out whole batches, in order.
(4) The first frame each way is `Hello`. Another version, another role than the side has, a second Hello: LinkError.
(5) After a LinkError the session is broken; every later `feed` raises the same one.
"""

from __future__ import annotations

import enum
import struct
from types import GenericAlias
from typing import Any, Union, get_args

import msgspec

from roost.errors import LimitExceededError, LinkError, UnserialisableError
from roost.limits import DEFAULTS, Limits
from roost.link import frames
from roost.link.frames import Frame, Hello

_LENGTH_BYTES = 4
_HEAD = struct.Struct(">IBI")  # length of what follows, MessagePack's mark of a long array, count
_ARRAY = 0xDD
_SLACK = 64 * 1024  # a full batch and the frame that closed it
_FRAME_BYTES = 32  # what a posted frame is counted as beside its message


class Side(enum.Enum):
    """Which of the two ends this is."""

    PEER = "peer"
    """It asks: a gateway, or a host that calls an object of another host."""
    OWNER = "owner"
    """It answers, and is always a host."""


class Session:
    """One end of a link: `put` frames and `take` bytes; `feed` bytes and get frames. The own Hello goes by itself."""

    def __init__(self, side: Side, hello: Hello, limits: Limits = DEFAULTS) -> None:
        self.side = side
        self.other: Hello | None = None
        """What the other end said of itself; None until it came."""
        self._limits = limits
        self._receive_max = limits.link_batch_bytes + limits.link_frame_bytes_max + _SLACK
        self._encode_into = msgspec.msgpack.Encoder().encode_into
        self._decode = _decoder(side, greeting=True).decode
        self._error: LinkError | None = None
        self._in = bytearray()
        self._out = bytearray()
        self._start = 0
        self._count = 0
        self._posted: list[Frame] = []
        self._posted_size = 0
        self._sent = -1
        """Frames of the batches and of the batch that is open, the Hello not counted."""
        self._gap: LinkError | None = None
        self._batch_bytes = limits.link_batch_bytes
        self.put(hello)

    @property
    def size(self) -> int:
        """Bytes that wait to be taken, about."""
        return len(self._out) + self._posted_size

    @property
    def sent(self) -> int:
        """How many frames were put and posted in all, without the Hello."""
        return self._sent + len(self._posted)

    def put(self, frame: Frame) -> None:
        """Add a frame to the batch.

        Raises UnserialisableError or LimitExceededError when this frame cannot be sent; nothing was added then.
        """
        if self._posted:
            self._encode_posted()
        out = self._out
        if not self._count:
            self._start = len(out)
            out += bytes(_HEAD.size)
        before = len(out)
        try:
            self._encode_into(frame, out, -1)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._withdraw(before)
            raise UnserialisableError(f"a {type(frame).__name__} frame cannot be sent: {error}") from error
        size = len(out) - before
        if size > self._limits.link_frame_bytes_max:
            self._withdraw(before)
            raise LimitExceededError(
                f"a {type(frame).__name__} frame of {size} bytes; {self._limits.link_frame_bytes_max} are allowed",
                limit=self._limits.link_frame_bytes_max,
                actual=size,
            )
        self._count += 1
        self._sent += 1
        if len(out) - self._start >= self._batch_bytes:
            self._seal()

    def post(self, frame: Frame, size: int) -> None:
        """Add a frame that is known to be sendable; see (1). `size` is that of the message in it."""
        self._posted.append(frame)
        self._posted_size = total = self._posted_size + size + _FRAME_BYTES
        if total >= self._batch_bytes:
            self._encode_posted()
            if self._count:
                self._seal()

    def _encode_posted(self) -> None:
        posted, self._posted = self._posted, []
        self._posted_size = 0
        out = self._out
        if not self._count:
            self._start = len(out)
            out += bytes(_HEAD.size)
        before, count = len(out), len(posted)
        try:
            self._encode_into(posted, out, -1)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._withdraw(before)
            self._gap = LinkError(f"one of {count} frames that were posted cannot be sent: {error}")
            self._gap.__cause__ = error
            return
        del out[before : before + (1 if count < 16 else 3 if count < 65_536 else 5)]  # the batch has a head of its own
        self._count += count
        self._sent += count
        if len(out) - self._start >= self._batch_bytes:
            self._seal()

    def take(self) -> bytearray:
        """All that was put since the last time, ready to be written; the caller's to keep.

        Raises LinkError once a posted frame could not be sent; see (1).
        """
        if self._posted:
            self._encode_posted()
        if self._gap is not None:
            raise self._gap
        if self._count:
            self._seal()
        out, self._out = self._out, bytearray()
        return out

    def feed(self, data: bytes | bytearray) -> list[Frame]:
        """The frames that are complete with these bytes. Raises LinkError when they are not those of our protocol."""
        if self._error is not None:
            raise self._error
        try:
            if not self._in and len(data) == _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES]):
                return self._batch(memoryview(data)[_LENGTH_BYTES:])  # one whole batch, as nearly always
            if not self._in:
                received, used = self._read(data)
                self._in += memoryview(data)[used:]
            else:
                self._in += data
                received, used = self._read(self._in)
                del self._in[:used]
        except LinkError as error:
            self._error = error
            self._in.clear()
            raise
        return received

    def finish(self) -> None:
        """The other end has closed. Raises LinkError when that cut a batch."""
        if self._in and self._error is None:
            self._error = LinkError(f"the link broke off {len(self._in)} bytes into a batch")
            raise self._error

    def _withdraw(self, size: int) -> None:
        del self._out[size if self._count else self._start :]

    def _seal(self) -> None:
        length = len(self._out) - self._start - _LENGTH_BYTES
        _HEAD.pack_into(self._out, self._start, length, _ARRAY, self._count)
        self._count = 0

    def _read(self, data: bytes | bytearray) -> tuple[list[Frame], int]:
        received: list[Frame] = []
        used, size = 0, len(data)
        with memoryview(data) as view:
            while size - used >= _LENGTH_BYTES:
                begin = used + _LENGTH_BYTES
                end = begin + self._checked_length(int.from_bytes(view[used:begin]))
                if end > size:
                    break
                received += self._batch(view[begin:end])
                used = end
        return received, used

    def _checked_length(self, length: int) -> int:
        if length > self._receive_max:
            raise LinkError(f"a batch of {length} bytes; {self._receive_max} are allowed")
        return length

    def _batch(self, data: memoryview) -> list[Frame]:
        try:
            batch: list[Frame] = self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise LinkError(f"a batch of {len(data)} bytes holds what is no frame: {error}") from error
        finally:
            data.release()
        if self.other is None and batch:
            self._greet(batch[0], batch[1:])
        return batch

    def _greet(self, first: Frame, rest: list[Frame]) -> None:
        if not isinstance(first, Hello):
            raise LinkError(f"the first frame of a link must be Hello, got {type(first).__name__}")
        if first.version != frames.VERSION:
            raise LinkError(f"the other end speaks version {first.version} of the link, this one {frames.VERSION}")
        roles = ("host",) if self.side is Side.PEER else ("gateway", "host")
        if first.role not in roles:
            raise LinkError(f"the other end must be a {' or '.join(roles)}, it says {first.role!r}")
        if any(type(frame) is Hello for frame in rest):
            raise LinkError("a second Hello on one link")
        self.other = first
        self._decode = _decoder(self.side, greeting=False).decode


def _decoder(side: Side, *, greeting: bool) -> msgspec.msgpack.Decoder[list[Frame]]:
    """For what this side receives; behind the greeting a Hello is as wrong as any unknown frame."""
    kinds: Any = frames.FromOwner if side is Side.PEER else frames.FromPeer
    if not greeting:
        kinds = Union[tuple(kind for kind in get_args(kinds) if kind is not Hello)]  # noqa: UP007
    return msgspec.msgpack.Decoder(GenericAlias(list, (kinds,)))
