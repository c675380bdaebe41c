"""One write per socket and loop turn.

(1) Frames leave a socket in the order in which they were queued.
(2) All that was queued for a socket in one turn of the loop is one write.
(3) What a set of sockets gets in one turn is framed and joined once, and shared (`SharedBatch`).
(4) Where more is likely to follow at once, since the object has been given messages that it has not finished, a set's
    batch waits for it: until the host has finished them, or `cork_seconds_max` long. With one message under way nothing
    waits, and what is for a socket alone never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from roost.clock import Clock, Timer
from roost.gateway.shared_batch import Encoded, Member, SharedBatch
from roost.link.frames import Message


class Cork:
    """What the sockets of one loop have to write in this turn. With 0 for `seconds_max` no batch waits."""

    __slots__ = ("_batches", "_clock", "_dirty", "_held", "_loop", "_scheduled", "_seconds_max", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, seconds_max: float) -> None:
        self._loop = loop
        self._clock = clock
        self._seconds_max = seconds_max
        self._dirty: list[Member] = []
        self._batches: list[SharedBatch] = []
        self._held: dict[SharedBatch, bool] = {}
        """Those that wait, or did until this turn; true for one that will have waited as long as there is to wait."""
        self._timer: Timer | None = None
        self._scheduled = False

    # -- for one socket ------------------------------------------------------------------------------------------------

    def write(self, member: Member, frame: bytes) -> None:
        """A frame for one socket."""
        batch = member.batch
        if batch is not None and batch.messages:
            batch.take(member)
            self.mark(member)
        elif not member.pending:
            self.mark(member)
        member.pending.append(frame)

    def send(self, member: Member, message: Message) -> None:
        """A message for one socket."""
        batch = member.batch
        if batch is not None and batch.messages:
            batch.take(member)  # before the message is framed: how, may depend on what came before
            self.mark(member)
        elif not member.pending:
            self.mark(member)
        member.pending.append(member.coding.encode(message))

    def send_all(self, members: Iterable[Member], message: Message) -> None:
        """The same message to each of them, framed once where coding is shared."""
        encoded = Encoded(message)
        for member in members:
            if member.coding.shared:
                self.write(member, encoded.frame(member.coding))
            else:
                self.send(member, message)

    def mark(self, member: Member) -> None:
        """Something may be pending for the socket."""
        if not self._scheduled:
            self._schedule()
        self._dirty.append(member)

    # -- for sets ------------------------------------------------------------------------------------------------------

    def queue(self, batch: SharedBatch) -> None:
        """A batch is no longer empty."""
        if not self._scheduled:
            self._schedule()
        self._batches.append(batch)

    def release(self, batch: SharedBatch) -> None:
        """A batch that waits is looked at again at the end of this turn."""
        batch.held = False
        self.queue(batch)

    def _hold(self, batch: SharedBatch) -> None:
        batch.held = True
        self._held.setdefault(batch, self._timer is None)
        if self._timer is None:
            self._timer = self._clock.call_later(self._seconds_max, self._waited_long_enough)

    def _waited_long_enough(self) -> None:
        self._timer = None
        held, self._held = self._held, {}
        for batch, in_full in held.items():
            if batch.held:
                batch.held = False
                batch.give_up(in_full)
                batch.flush()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what does not wait; called by the loop, and harmless at any other time."""
        self._scheduled = False
        dirty, self._dirty = self._dirty, []
        batches, self._batches = self._batches, []
        for batch in batches:
            if self._seconds_max and batch.messages and batch.may_wait():
                self._hold(batch)
            else:
                self._held.pop(batch, None)
                if batch.messages:
                    batch.flush()
        if self._timer is not None and not self._held:
            self._timer.cancel()
            self._timer = None
        for member in dirty:
            if member.pending:
                member.flush()
