"""Bytes of a client in; whole messages, pings, pongs, a close or a breach of the protocol out (RFC 6455).

(1) What the client sent is told in its order, and messages whole.
(2) After a Close frame or a breach nothing more is told. A breach is told once, after all that was good before it and
    at the end of the read that brought it.
(3) A text that is not UTF-8, a frame that may not come here and a message that is too large are breaches.
(4) It knows no transport: whoever has one sets `protocol` on it, or feeds what was received.
(5) A reader that is `between_frames` has no memory: dropped, and another made in its place, nothing is lost.
"""

from __future__ import annotations

import asyncio
import codecs
from typing import Any, Protocol

from picows import WSFrame, WSListener, WSMsgType

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.fragments import PROTOCOL_ERROR, Allowance, Fragments, UnreadableError, invalid_text
from roost.gateway.framing import CLOSE, CONTINUATION, TEXT, may_be_received
from roost.gateway.partial_frame import FrameHead, PartialFrame
from roost.gateway.picows_reader import feed, make_reader
from roost.link.frames import Message

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE
_RSV1 = 4

_ALL, _ONLY_CLOSE, _NOTHING = 0, 1, 2


class Listener(Protocol):
    """Whoever is told what a client sent. It may not raise: that would end as a breach with 1011."""

    coding: Coding
    """What was agreed on with the client."""

    def on_message(self, data: Message, size: int) -> None:
        """A whole message, with its size in bytes."""

    def on_part(self) -> None:
        """Something of a message has come, and there is more to come."""

    def on_ping(self, payload: bytes) -> None: ...

    def on_pong(self, payload: bytes) -> None: ...

    def on_close(self, code: int | None, reason: str) -> None:
        """A Close frame: the last thing that is told."""

    def on_breach(self, code: int, message: str) -> None:
        """The client broke the protocol, and the connection is to be closed with this code: the last thing told."""

    def on_lost(self) -> None:
        """The transport that has `protocol` is lost."""

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class MessageReader(WSListener):
    """Reads what one client sends."""

    __slots__ = (
        "_allowance",
        "_fragments",
        "_heeds",
        "_message_bytes_max",
        "_partial",
        "breach",
        "listener",
        "passing_bytes",
        "protocol",
        "tail_bytes",
    )

    def __init__(self, listener: Listener, message_bytes_max: int, allowance: Allowance) -> None:
        self.tail_bytes = 0
        """Of a frame of which not everything has come; kept by `protocol` too."""
        self.passing_bytes = 0
        self.breach: tuple[int, str] | None = None
        """Code and message. What picows finds is possibly set before the last good frame, and told by `on_read`."""
        self.listener = listener
        """Another may be set while the reader is `between_frames`."""
        self._message_bytes_max = message_bytes_max
        self._allowance = allowance
        self._fragments: Fragments | None = None
        self._partial: PartialFrame | None = None
        self._heeds = _ALL
        self.protocol: asyncio.BufferedProtocol = make_reader(self, message_bytes_max)
        """To be set on a transport, which then says `on_lost`, `pause_writing` and `resume_writing` too."""

    def feed(self, data: bytes) -> None:
        """Read bytes that came in another way than through `protocol`."""
        feed(self.protocol, data)

    def drop(self) -> None:
        """It will not be used again, and its memory goes at once: `protocol` and what was read of a frame know it as it
        knows them, and would stay until the garbage collector comes by, which with many idle sockets is seldom."""
        del self.protocol
        self._partial = None

    def expect_close(self) -> None:
        """Tell nothing any more but a Close frame or a breach."""
        if self._heeds == _ALL:
            self._heeds = _ONLY_CLOSE
            self._drop_message()

    @property
    def between_frames(self) -> bool:
        """Whether nothing of a frame or of a message has come that was not told."""
        return not self.tail_bytes and self._fragments is None

    # -- what picows tells ---------------------------------------------------------------------------------------------

    def on_ws_frame(self, _: Any, frame: WSFrame) -> None:
        """Whole text messages come first here: there are the most of them."""
        self.tail_bytes = frame.tail_size
        if self._heeds == _ALL:
            kind = frame.msg_type
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._on_reserved(kind, frame)
            elif kind is _TEXT and frame.fin and self._fragments is None:
                try:
                    text = frame.get_payload_as_utf8_text()
                except UnicodeDecodeError:
                    self._fail(invalid_text())
                    return
                self.listener.on_message(text, frame.payload_size)
            elif kind is _BINARY and frame.fin and self._fragments is None:
                self.listener.on_message(frame.get_payload_as_bytes(), frame.payload_size)
            else:
                self._on_rare(kind, frame)
        elif self._heeds == _ONLY_CLOSE and frame.msg_type is _CLOSE:
            self._on_close(frame)

    def on_read(self, before: int, data: bytes) -> None:
        """All frames of a read were told. There is a breach to tell, or a part of a frame to look at."""
        if self.breach is not None:
            self._fail(UnreadableError(*self.breach))
        elif self._heeds == _ALL:
            goes_on = before and self.tail_bytes == before + len(data)
            if self._partial is None or not goes_on:
                self._partial = PartialFrame(self)
                data = data[len(data) - self.tail_bytes :]
            self.listener.on_part()
            self.passing_bytes = self._partial.add(data)

    def on_passed(self) -> None:
        """A part of a frame was read that need not be looked at."""
        self.listener.on_part()

    def on_ws_disconnected(self, _: Any) -> None:
        self._drop_message()
        self.listener.on_lost()

    def pause_writing(self) -> None:
        self.listener.pause_writing()

    def resume_writing(self) -> None:
        self.listener.resume_writing()

    # -- what the frame tells that comes in ----------------------------------------------------------------------------

    def on_head(self, head: FrameHead) -> codecs.IncrementalDecoder | None:
        if not self._may_come(head.opcode, head.rsv) or head.opcode >= CLOSE:
            return None
        try:
            if self._fragments is not None:
                return self._fragments.check(head.length)
            if head.rsv or head.opcode != TEXT:
                return None
            return self._new_message(is_text=True, deflated=False).check(head.length)
        except UnreadableError as error:
            self._fail(error)
            return None

    def on_invalid_text(self) -> None:
        self._fail(invalid_text())

    # -- frames --------------------------------------------------------------------------------------------------------

    def _may_come(self, opcode: int, rsv: int) -> bool:
        """Whether a frame may begin so, after those before it; a breach, if not."""
        wrong = ""
        if rsv & ~_RSV1 or (rsv and (opcode == CONTINUATION or opcode >= CLOSE)):
            wrong = "a reserved bit is set that may not be set here"
        elif rsv and self.listener.coding is PLAIN:
            wrong = "a reserved bit is set, and no extension was negotiated"
        elif opcode < CLOSE and (opcode == CONTINUATION) != (self._fragments is not None):
            wrong = "a fragmented message was not finished" if self._fragments else "no message is there to continue"
        if wrong:
            self._fail(UnreadableError(PROTOCOL_ERROR, wrong))
        return not wrong

    def _on_reserved(self, kind: WSMsgType, frame: WSFrame) -> None:
        if self._may_come(kind.value, frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3):
            self._add(self._new_message(kind is _TEXT, deflated=True), frame)

    def _on_rare(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind is _PING:
            self.listener.on_ping(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self.listener.on_pong(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._on_close(frame)
        elif self._may_come(kind.value, 0):
            self._add(self._fragments or self._new_message(kind is _TEXT, deflated=False), frame)

    def _new_message(self, is_text: bool, *, deflated: bool) -> Fragments:
        inflater = self.listener.coding.inflater() if deflated else None
        return Fragments(is_text, self._message_bytes_max, inflater, self._allowance)

    def _add(self, message: Fragments, frame: WSFrame) -> None:
        """A frame of it has come."""
        self._fragments = message
        try:
            message.add(frame.get_payload_as_bytes(), bool(frame.fin))
        except UnreadableError as error:
            self._fail(error)
            return
        if frame.fin:
            self._drop_message()
            self.listener.on_message(message.joined(), message.size)
        else:
            self.listener.on_part()

    def _on_close(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2], "big") if payload else None
        if code is not None and not may_be_received(code):
            self._fail(UnreadableError(PROTOCOL_ERROR, f"a Close frame cannot have the code {code}"))
            return
        self._end()
        self.listener.on_close(code, payload[2:].decode())  # picows has checked it

    def _fail(self, error: UnreadableError) -> None:
        if self._heeds != _NOTHING:
            self._end()
            self.breach = (error.code, error.message)
            self.listener.on_breach(error.code, error.message)

    def _end(self) -> None:
        self._heeds = _NOTHING
        self._partial = None
        self._drop_message()

    def _drop_message(self) -> None:
        """It is whole, or will never be."""
        if self._fragments is not None:
            self._fragments.close()
            self._fragments = None
