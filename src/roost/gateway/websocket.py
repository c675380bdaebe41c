"""One client's open WebSocket (RFC 6455): its transport, what is written to it, its silence, and the closing handshake.

What the client sends is read by a `MessageReader`: of its own while it speaks, else by one that all silent ones share.
One that is silent for longer is parked: it has neither transport nor reader.

 (1) Messages reach the keeper in the order in which the client sent them, each whole.
 (2) Frames leave in the order in which they were written; after a Close frame, none.
 (3) The keeper hears `on_closed` once, after everything else, and nothing after it.
 (4) A client that breaks the protocol gets a Close frame with the code that says so. Before that its good messages were
     handed over, and what is sent while they are worked at still leaves, for at most `close_seconds_max`. The keeper
     hears `on_failed`, then `on_closed`, not clean.
 (5) A client that has gone without a word is found by the next Ping or the deadline for its answer, also while flow
     control keeps it from being read.
 (6) At most `socket_send_bytes_max` wait for a client that does not read; one message alone is always let through to a
     client that has read everything before it.
 (7) It is parked when the client has said nothing for `park_seconds`, is read, owes and is owed nothing and has no
     message half sent. All of the above holds while it is, and the keeper cannot tell. A new client has no reader yet
     and a parked one none any more. What they say is read by one that all of them share: a lone message, or a Pong,
     makes neither reader nor transport.
 (8) It gets both by a message that did not come whole and by the second message within `park_seconds`, and a transport
     by what the kernel does not take at once. Over TLS, where nothing is parked, its reader alone comes and goes.
 (9) What is written goes to the descriptor itself while nothing waits in the transport, and to the transport otherwise.
     asyncio's and uvloop's close a descriptor after `connection_lost`, so until then the number is no other client's.
     Not over TLS; and not while parked, when the descriptor is the parked transport's.

States: OPEN -> CLOSING (our Close frame is sent) -> CLOSED (the keeper was told; the transport may live on a little).
After a breach nothing is read any more; the state is as it was until the Close frame.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, cast

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.framing import PING, PONG, encode_close, encode_control
from roost.gateway.keeper import Keeper, Nobody
from roost.gateway.message_reader import MessageReader
from roost.gateway.parking import NOBODY
from roost.gateway.parking_transport import ParkedTransport
from roost.gateway.shared import Shared
from roost.gateway.shared_batch import SharedBatch
from roost.gateway.vital_signs import has_spoken, is_there
from roost.held_socket import CLOSED, CLOSING, OPEN
from roost.link.frames import Message

TRY_AGAIN_LATER = 1013
LOST = (1006, "disconnected without sending Close", False)
SHRINK_BYTES = 256 * 1024
"""After a message of this size its reader is made anew: picows keeps the largest buffer it ever needed."""

_PING_FRAME = encode_control(PING)


_NOBODY = Nobody()


class HeldConnection(asyncio.BufferedProtocol):
    """The connection of a client whose handshake was answered with 101.

    Others know `write`, `is_open`, `close`, `pause_reading`, `resume_reading`, `abort`, and the keeper's calls. It is
    the Listener of its MessageReader, and while it has none of its own the protocol of its transport: the Sleeper of a
    ParkedTransport.
    """

    __slots__ = (
        "_behind",
        "_descriptor",
        "_heard_slot",
        "_is_plain",
        "_keeper",
        "_may_read",
        "_pinged_slot",
        "_reader",
        "_reading",
        "_shared",
        "_transport",
        "batch",
        "coding",
        "deadline_slot",
        "pending",
        "state",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        shared: Shared,
        keeper: Keeper,
        *,
        coding: Coding = PLAIN,
        behind: bool = False,
    ) -> None:
        self.state = OPEN
        self.coding = coding
        self.pending: list[bytes] = []
        self.batch: SharedBatch | None = None
        self.deadline_slot = 0
        self._transport = transport
        self._shared = shared
        self._keeper = keeper
        self._reader: MessageReader | None = None
        """Its own, or the shared one until what was read is between frames again."""
        self._may_read = True
        """What flow control says."""
        self._reading = False
        """Whether the transport reads."""
        self._is_plain = transport.get_extra_info("sslcontext") is None
        """Without TLS, which has a state beside the descriptor."""
        self._behind = behind
        self._descriptor = -1
        """To write to while nothing waits in the transport; -1: not now, or never."""
        self._pinged_slot = 0
        self._heard_slot = 0

    def start(self, received: bytes) -> None:
        """Take the transport over, and read first what was received behind the handshake."""
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=0)  # so that pause and resume say exactly whether it is behind
        self._transport.set_protocol(NOBODY)  # uvloop keeps how the one before was fed, and so all of the handshake
        self._share_reader()
        self._watch_silence()
        if received:
            self._read_alone().feed(received)
        self._read_on()
        self._write_past_transport()

    # -- what others ask of it -----------------------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        """Queue a frame for this turn; dropped unless open."""
        if self.state == OPEN:
            self._shared.cork.write(self, frame)

    def close(self, code: int | None, reason: str = "") -> None:
        """Begin the closing handshake; the keeper hears `on_closed` when the client has answered, or too late."""
        if self.state != OPEN:
            return
        if self._is_breached:
            self._fail()  # the client will not answer any other Close frame
            return
        self._shared.cork.write(self, encode_close(code, reason))
        self.state = CLOSING
        if self._reader is not None:
            self._reader.expect_close()
        self._shared.deadlines.set(self, self._shared.close_seconds)
        self.resume_reading()  # its Close frame must be seen, and what comes before it is dropped

    @property
    def is_open(self) -> bool:
        """Whether what is written now will be sent."""
        return bool(self.state == OPEN)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Leave what the client sends with the kernel; a connection that is closing is read all the same."""
        if self.state == OPEN:
            self._may_read = False
            self._stop_reading()

    def resume_reading(self) -> None:
        if not self._may_read:
            self._may_read = True
            self._heard_slot = self._shared.deadlines.slot  # its silence was ours
        self._read_on()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _read_on(self) -> None:
        readable = self.state in (OPEN, CLOSING) and not self._transport.is_closing()
        if readable and not self._is_breached and self._may_read and not self._reading:
            self._reading = True
            self._transport.resume_reading()

    # -- writing -------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Called by the cork."""
        pending, count = self.pending, len(self.pending)
        data = pending[0] if count == 1 else b"".join(pending)
        pending.clear()
        self.write_joined(data, count)

    def write_joined(self, data: bytes, count: int) -> None:
        """Write so many frames, joined; called by the cork when nothing is pending."""
        descriptor = self._descriptor
        if descriptor >= 0:
            try:
                sent = os.write(descriptor, data)
            except OSError:
                sent = 0  # whatever it was, the transport meets it too, and knows what to do
            if sent == len(data):
                return
            data = data[sent:]
        elif self._behind:
            waiting = self._transport.get_write_buffer_size()
            if waiting and self._is_over(waiting + len(data)):
                self._overflow()
                return
        self._transport.write(data)
        if self._behind and count > 1 and self._is_over(self._transport.get_write_buffer_size()):
            self._overflow()

    def _is_over(self, size: int) -> bool:
        return size > self._shared.limits.socket_send_bytes_max

    def pause_writing(self) -> None:
        self._behind = True
        self._descriptor = -1

    def resume_writing(self) -> None:
        self._behind = False
        self._write_past_transport()

    def _write_past_transport(self) -> None:
        """From now on, where nothing waits in it and it is one that adds nothing."""
        transport = self._transport
        waits = self._behind or transport.get_write_buffer_size()
        if self._is_plain and self.state != CLOSED and not waits and not self.is_parked:
            self._descriptor = transport.get_extra_info("socket").fileno()

    def _overflow(self) -> None:
        """The client does not read. What waits for it is in order, so the Close frame can only come behind it."""
        self.pending.clear()
        was, self.state = self.state, CLOSED
        if was == OPEN:
            self._transport.write(encode_close(TRY_AGAIN_LATER, "too slow"))
        self._part()
        self._tell_closed(TRY_AGAIN_LATER, "too slow: what was sent to it was not read", False)

    # -- what its reader tells -----------------------------------------------------------------------------------------

    def on_message(self, data: Message, size: int) -> None:
        self._heard_slot = self._shared.deadlines.slot
        self._keeper.on_message(data, size)
        if size >= SHRINK_BYTES:
            self._shrink()

    def on_part(self) -> None:
        self._heard_slot = self._shared.deadlines.slot

    def on_ping(self, payload: bytes) -> None:
        self._heard_slot = self._shared.deadlines.slot
        self.write(encode_control(PONG, payload))

    def on_pong(self, payload: bytes) -> None:
        self._heard_slot = self._shared.deadlines.slot

    def on_close(self, code: int | None, reason: str) -> None:
        if self.state == OPEN:
            self._shared.cork.write(self, encode_close(code, reason))
        self.state = CLOSED
        self._stop_reading()
        asyncio.get_running_loop().call_soon(self._part)  # the reader is still at work
        self._tell_closed(1005 if code is None else code, reason, True)

    def on_breach(self, code: int, message: str) -> None:
        """The client broke the protocol: read nothing more."""
        self._stop_reading()
        asyncio.get_running_loop().call_soon(self._begin_to_fail)  # the reader is still at work

    @property
    def _is_breached(self) -> bool:
        return self._reader is not None and self._reader.breach is not None

    def _begin_to_fail(self) -> None:
        if self.state == OPEN:
            self._shared.deadlines.set(self, self._shared.close_seconds)
            self._keeper.when_finished(self._fail)
        else:
            self._fail()

    def _fail(self) -> None:
        if self.state == CLOSED or self._reader is None or self._reader.breach is None:
            return
        code, message = self._reader.breach
        if self.state != CLOSING:
            self._shared.cork.write(self, encode_close(code, message))
        self.state = CLOSED
        self._part()
        self._keeper.on_failed(message)
        self._tell_closed(code, message, False)

    # -- silence -------------------------------------------------------------------------------------------------------

    def _watch_silence(self) -> None:
        now = self._heard_slot = self._shared.deadlines.now()
        self._shared.deadlines.set_slot(self, self._or_parking(now + self._shared.ping_slots, now))

    def on_deadline(self) -> None:
        """The client was silent for some time, or owes its half of the closing handshake."""
        if self.state == CLOSED:
            return  # its Close frame is to leave at the end of this turn of the loop
        if self.state != OPEN:
            self._transport.abort()
            return
        if self._is_breached:
            self._fail()
            return
        shared = self._shared
        now = shared.deadlines.now()
        pinged = self._heard_slot < self._pinged_slot
        due = self._pinged_slot + shared.pong_slots if pinged else self._heard_slot + shared.ping_slots
        if due > now:
            shared.deadlines.set_slot(self, self._or_parking(due, now))
        elif not self._may_read:
            self._look_whether_it_is_there(now, pinged)
        elif pinged and not has_spoken(self._transport):
            self._transport.abort()
        else:
            self._ping(now)

    def _ping(self, now: int) -> None:
        self._pinged_slot = now
        self._heard_slot = min(self._heard_slot, now - 1)  # not since this Ping
        self.write(_PING_FRAME)
        self._shared.deadlines.set_slot(self, self._or_parking(now + self._shared.pong_slots, now))

    def _look_whether_it_is_there(self, now: int, pinged: bool) -> None:
        """Its answer could not be read; but the kernel hears of it."""
        deadlines = self._shared.deadlines
        if not is_there(self._transport, deadlines.seconds(now - self._pinged_slot - 1) if pinged else None):
            self._transport.abort()
        elif pinged:
            self._heard_slot = now
            deadlines.set_slot(self, now + self._shared.ping_slots)
        else:
            self._ping(now)

    # -- parking -------------------------------------------------------------------------------------------------------

    @property
    def is_parked(self) -> bool:
        return isinstance(self._transport, ParkedTransport)

    def _or_parking(self, due: int, now: int) -> int:
        """The earlier of that slot and the one at which to look whether to park; parks when that is over."""
        if not self._shared.park_slots or self.is_parked:
            return due
        slot = self._heard_slot + self._shared.park_slots
        if slot > now:
            return min(due, slot)
        if self._is_plain:
            self._shared.parking.soon(self._park)
        elif self.state == OPEN and self._reader is not None and self._reader.between_frames:
            self._share_reader()
        return due

    def _park(self) -> None:
        """Called when it is its turn."""
        if self.state != OPEN or self.is_parked:
            return
        deadlines, shared = self._shared.deadlines, self._shared
        reader, silent = self._reader, deadlines.slot - self._heard_slot >= shared.park_slots
        if silent and self._reading and not self.pending and (reader is None or reader.between_frames):
            parked = None
            if not self._transport.is_closing() and not self._transport.get_write_buffer_size():
                parked = shared.parking.park(self._transport, self)
            if parked is not None:
                self._transport = parked
                self._descriptor = -1
                self._drop_reader()
                return
        self._look_again()

    def _look_again(self) -> None:
        """See whether to park, after `park_slots` at the latest."""
        deadlines = self._shared.deadlines
        if self.state == OPEN and self.deadline_slot and not self._is_breached:
            deadlines.set_slot(self, min(self.deadline_slot, deadlines.slot + self._shared.park_slots))

    def get_buffer(self, sizehint: int) -> Any:
        """The client has said something, or ends: where to read it to."""
        if self._reader is None:
            self._reader = self._take_shared_reader()
        return self._reader.protocol.get_buffer(sizehint)

    def _take_shared_reader(self) -> MessageReader:
        reader, self._shared.reader = self._shared.reader, None
        if reader is None:
            reader = self._new_reader()
        reader.listener = self
        if self.state != OPEN:
            reader.expect_close()
        return reader

    def buffer_updated(self, nbytes: int) -> None:
        reader, heard_slot = self._reader, self._heard_slot
        assert reader is not None, "the buffer is its"
        reader.protocol.buffer_updated(nbytes)
        if self.state != OPEN or reader.breach is not None or self._reader is not reader:
            return  # it is closing, and this reader knows what to heed
        park_slots = self._shared.park_slots
        busy = not park_slots or self._heard_slot - heard_slot < park_slots
        if reader.between_frames:
            self._shared.reader, self._reader = reader, None
        else:
            busy = True
        if busy:
            self._wake()

    def _wake(self) -> None:
        transport = self._transport
        if isinstance(transport, ParkedTransport):
            transport.wake()
        elif not transport.is_closing():
            self._read_alone()
            self._look_again()

    def eof_received(self) -> bool:
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is awake."""
        self._transport = cast(asyncio.Transport, transport)
        self._read_alone()
        self._write_past_transport()
        self._look_again()
        if not self._reading:
            self._stay_stopped()
            asyncio.get_running_loop().call_soon(self._stay_stopped)  # uvloop starts reading when this returns

    def _stay_stopped(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is lost, and there is no reader that would be told."""
        self.on_lost()

    # -- the end -------------------------------------------------------------------------------------------------------

    def on_lost(self) -> None:
        """The transport is lost."""
        self._descriptor = -1
        self._shared.deadlines.clear(self)
        self._drop_reader()
        self.pending.clear()
        if self.state != CLOSED:
            self.state = CLOSED
            self._tell_closed(*LOST)

    def _tell_closed(self, code: int, reason: str, was_clean: bool) -> None:
        self.coding.close()
        keeper, self._keeper = self._keeper, _NOBODY
        keeper.on_closed(code, reason, was_clean)

    def _part(self) -> None:
        """The client still has to learn that it is over."""
        self._descriptor = -1
        self._write_rest()
        self._shared.deadlines.clear(self)
        self._shared.lingerers.take(self._transport)
        self._drop_reader()

    def _write_rest(self) -> None:
        if self.pending:
            self._transport.write(b"".join(self.pending))
            self.pending.clear()

    # -- the reader ----------------------------------------------------------------------------------------------------

    def _new_reader(self) -> MessageReader:
        return MessageReader(self, self._shared.limits.message_bytes_max, self._shared.allowance)

    def _read_alone(self) -> MessageReader:
        """Read with a reader of its own from now on."""
        if self._reader is None:
            self._reader = self._new_reader()
        self._transport.set_protocol(self._reader.protocol)
        return self._reader

    def _share_reader(self) -> None:
        """Have none, as nothing of a next frame is in it."""
        self._transport.set_protocol(self)
        self._drop_reader()

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.drop()
            self._reader = None

    def _shrink(self) -> None:
        """Let go of a large buffer, where nothing of a next frame is in it."""
        if self.state == OPEN and self._reader is not None and self._reader.between_frames:
            self._share_reader()
