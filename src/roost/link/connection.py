"""One end of a link as the rooms use it, and what all kinds of it share.

(1) Frames sent in one turn of the loop leave in one write.
(2) Nothing is handed out before `start`, and never inside of it: what came earlier waits, and no more is read.
(3) `on_lost` is called once, after the last `on_frames`: with None when the stream ended between two batches or this
    end closed it, else with the reason. None does not say that nothing was lost, a killed process ends its stream too;
    only `Goodbye` says that. `send` is ignored afterwards, as everything under way is lost anyway.
(4) Above `link_send_bytes` waiting, `writable` is false and `on_writable(False)` is called; `on_writable(True)` when
    it has drained. Above `link_send_bytes_max` the link is dropped: the other end does not read.
(5) An exception out of `on_frames` drops the link: the frames behind it cannot be trusted to make sense any more.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeAlias

from roost.errors import InvalidStateError, LinkError
from roost.limits import DEFAULTS, Limits
from roost.link.frames import Frame, Hello
from roost.link.session import Session, Side

OnFrames: TypeAlias = Callable[[list[Frame]], None]
OnLost: TypeAlias = Callable[[BaseException | None], None]
OnWritable: TypeAlias = Callable[[bool], None]

POST_BYTES_MAX = 64 * 1024
"""Messages up to this size are posted: they are far below what a frame may have."""


class Connection(Protocol):
    """One end of a link. The first frames that arrive begin with the other end's `Hello`."""

    @property
    def other(self) -> Hello | None:
        """What the other end said of itself; None until it came."""

    @property
    def peername(self) -> str:
        """Where the other end is, for people."""

    @property
    def writable(self) -> bool:
        """Whether more should be sent now."""

    @property
    def closed(self) -> bool:
        """Whether it is closed, closing or lost, so that nothing more can be sent."""

    def start(self, on_frames: OnFrames, on_lost: OnLost, on_writable: OnWritable | None = None) -> None:
        """Begin to receive; to be called once."""

    def send(self, frame: Frame) -> None:
        """Send with all that is sent in this turn of the loop.

        Raises UnserialisableError or LimitExceededError when this frame cannot be sent; the link stays.
        """

    def post(self, frame: Frame, size: int) -> None:
        """Send a frame that is known to be sendable, with a message of about so many bytes: cheaper, and never raises.
        In order with what is sent otherwise."""

    def before_flush(self, add: Callable[[], None]) -> None:
        """Call `add` before each write, so that it can send what was gathered until then; see `flush_soon`."""

    def flush_soon(self) -> None:
        """Have `add` of `before_flush` called in this turn of the loop, though nothing was sent yet."""

    @property
    def sent(self) -> int:
        """How many frames were sent, the Hello not counted; those that could not leave any more included."""

    def close(self) -> None:
        """Send what waits, then close."""

    def abort(self) -> None:
        """Close now; what waits is dropped."""


class SessionConnection(Connection):
    """A connection around a session; what carries its bytes is left to the kinds of it."""

    def __init__(self, side: Side, hello: Hello, limits: Limits = DEFAULTS) -> None:
        self._session = Session(side, hello, limits)
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._on_frames: OnFrames | None = None
        self._on_lost: OnLost | None = None
        self._on_writable: OnWritable | None = None
        self._writable = True
        self._closed = False
        self._flush_due = False
        self._before_flush: Callable[[], None] | None = None
        self._unsent = 0
        """Frames that were given to a link that was closed."""
        self._begun = False
        self._early = bytearray()
        self._lost: tuple[BaseException | None] | None = None
        self._reason: BaseException | None = None

    @property
    def other(self) -> Hello | None:
        return self._session.other

    @property
    def writable(self) -> bool:
        return self._writable and not self._closed

    @property
    def closed(self) -> bool:
        return self._closed

    def start(self, on_frames: OnFrames, on_lost: OnLost, on_writable: OnWritable | None = None) -> None:
        if self._on_frames is not None:
            raise InvalidStateError("the connection was started already")
        self._on_frames, self._on_lost, self._on_writable = on_frames, on_lost, on_writable
        self._loop.call_soon(self._begin)

    def send(self, frame: Frame) -> None:
        if self._closed:
            self._unsent += 1
            return
        self._session.put(frame)
        if not self._flush_due:
            self.flush_soon()

    def post(self, frame: Frame, size: int) -> None:
        if self._closed:
            self._unsent += 1
            return
        self._session.post(frame, size)
        if not self._flush_due:
            self.flush_soon()

    def before_flush(self, add: Callable[[], None]) -> None:
        self._before_flush = add

    @property
    def sent(self) -> int:
        return self._session.sent + self._unsent

    def close(self) -> None:
        if not self._closed:
            self._flush()
            self._closed = True
            self._finish_writing()

    def abort(self) -> None:
        self._closed = True
        self._drop()

    # -- for the kinds of connection -----------------------------------------------------------------------------------

    @abstractmethod
    def _write(self, data: bytearray) -> int:
        """Begin to write; the result is how many bytes wait in all."""

    @abstractmethod
    def _finish_writing(self) -> None:
        """Close once everything is written."""

    @abstractmethod
    def _drop(self) -> None:
        """Close at once. `_end` follows."""

    @abstractmethod
    def _pause_reading(self) -> None:
        """Call `_received` no more, soon."""

    @abstractmethod
    def _resume_reading(self) -> None:
        """Begin to call `_received`."""

    def _begin(self) -> None:
        self._begun = True
        early, self._early = self._early, bytearray()
        lost, self._lost = self._lost, None
        if early:
            self._received(early)
        if lost is None:
            self._resume_reading()
        else:
            self._received_end()
            self._end(lost[0])

    def flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._before_flush is not None:
            self._flush_due = True  # so that what is added asks for no flush of its own
            self._before_flush()
        self._flush_due = False
        if self._closed or not self._session.size:
            return
        try:
            data = self._session.take()
        except LinkError as error:
            self._fail(error)
            return
        waiting = self._write(data)
        if waiting > self._limits.link_send_bytes_max:
            self._fail(LinkError(f"the other end of the link does not read: {waiting} bytes wait"))

    def _set_writable(self, writable: bool) -> None:
        if writable is not self._writable:
            self._writable = writable
            if self._on_writable is not None and not self._closed:
                self._on_writable(writable)

    def _received(self, data: bytes | bytearray) -> None:
        if not self._begun:
            self._early += data
            self._pause_reading()
            return
        if self._reason is not None or self._lost is not None:
            return
        assert self._on_frames is not None, "start comes before _begin"
        try:
            frames = self._session.feed(data)
            if frames:
                self._on_frames(frames)
        except LinkError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - told to the loop's handler; the link cannot go on (5)
            self._loop.call_exception_handler({"message": "a receiver of link frames failed", "exception": error})
            self._fail(error)

    def _received_end(self) -> None:
        """The other end has closed its half."""
        if not self._begun:
            return  # `_begin` asks again
        try:
            self._session.finish()
        except LinkError as error:
            self._fail(error)

    def _fail(self, reason: BaseException) -> None:
        self._reason = self._reason or reason
        self.abort()

    def _end(self, error: BaseException | None) -> None:
        """It is gone."""
        self._closed = True
        if self._lost is None:
            self._lost = (self._reason or error,)
            if self._begun and self._on_lost is not None:
                self._on_lost(self._lost[0])
