"""The messages of one turn that all members of a set get, framed and joined once.

(1) Each member gets what a queue of its own would have given it: the messages that came while it was a member and that
    did not leave it out, in order with what is queued for it alone.
(2) Members that get all of the batch and nothing else share one bytes object for each way of coding.
(3) A member with something else in this turn (frames of its own, a message that leaves it out, its joining or leaving
    in the middle) is *apart*: its part of the batch is moved into its `pending`, up to that place, before all else.
(4) A batch is of one set at a time. A message to another set of the same object first moves to each member its part;
    one to a small set is queued as its members' own instead.
(5) A batch is worth waiting for while messages of the object's sockets are with its host. Those that were waited for in
    vain are not waited for again, and when that happens again and again, nothing is for a while.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from roost.gateway.coding import Coding
from roost.link.frames import Message

if TYPE_CHECKING:
    from roost.gateway.cork import Cork

FEW = 8
"""Members, up to which each message is queued for each of them at once: joining once would save less than it costs."""
SMALL_SHARE = 4
"""A set is small beside another that has so many times its members."""
FULL_BYTES = 64 * 1024
"""Of a batch: to join more of them in one write saves nothing."""
VAIN_BATCHES_MAX = 63
"""So many batches are not waited with, when it was in vain several times in a row."""


class Member(Protocol):
    """A connection that frames are queued for."""

    pending: list[bytes]
    """Its own frames of this turn, in order."""
    batch: SharedBatch | None
    """In which it may have a part."""
    coding: Coding

    def flush(self) -> None:
        """Write what is pending."""

    def write_joined(self, data: bytes, count: int) -> None:
        """Write so many frames, joined; nothing is pending."""


class Encoded:
    """A message, as a frame for each way of coding."""

    __slots__ = ("_frames", "_message")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._frames: dict[Coding, bytes] = {}

    def frame(self, coding: Coding) -> bytes:
        """For the client that is next with that coding."""
        if not coding.shared:
            return coding.encode(self._message)
        frame = self._frames.get(coding)
        if frame is None:
            frame = self._frames[coding] = coding.encode(self._message)
        return frame


class _Joined:
    """The messages of a batch, as frames, for each way of coding."""

    __slots__ = ("_frames", "_messages")

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self._frames: dict[Coding, list[bytes]] = {}

    def frames(self, coding: Coding, start: int) -> list[bytes]:
        """All from the one with that number on."""
        if not coding.shared:
            return list(map(coding.encode, self._messages[start:]))
        frames = self._frames.setdefault(coding, [])
        if len(frames) < len(self._messages):
            frames += map(coding.encode, self._messages[len(frames) :])
        return frames[start:]

    def joined(self, coding: Coding) -> bytes:
        """All as one."""
        frames = self.frames(coding, 0)
        return frames[0] if len(frames) == 1 else b"".join(frames)


class SharedBatch:
    """What is due to the members of a set of one object's sockets."""

    __slots__ = (
        "_cork",
        "_impatient",
        "_in_vain",
        "_joined",
        "_members",
        "_overdue",
        "_seen",
        "_size",
        "_taken",
        "held",
        "messages",
        "unfinished",
    )

    def __init__(self, cork: Cork) -> None:
        self._cork = cork
        self.messages: list[Message] = []
        self._size = 0
        self._members: Collection[Member] = ()
        self._joined: _Joined | None = None
        """None while there are few members: then everything is in their `pending` already."""
        self._taken: dict[Member, int] | None = None
        """Of members that are apart: how many of the messages were moved to them, or passed them by."""
        self.held = False
        """Whether the cork waits with it."""
        self.unfinished = 0
        """How many messages of the object's sockets its host has, and has not finished."""
        self._overdue = 0
        """How many of those, the oldest, are not waited for any more."""
        self._in_vain = 0
        self._impatient = 0
        """How many batches will not be waited with."""
        self._seen = 0

    # -- what becomes due ----------------------------------------------------------------------------------------------

    def add(self, members: Collection[Member], message: Message, left_out: Collection[Member] = ()) -> None:
        """A message to all members of a set but those."""
        if self.messages and members is not self._members:
            if len(members) * SMALL_SHARE <= len(self._members):
                self._cork.send_all([member for member in members if member not in left_out], message)
                return
            self._part()
        if not self.messages:
            self._begin(members)
        if self._taken is None:
            self._queue(message, left_out)
        else:
            number = len(self.messages)
            for member in left_out:
                if member in members:
                    self.take(member)
                    self._taken[member] = number + 1
        self.messages.append(message)
        self._size += len(message)
        if self.held and self._size >= FULL_BYTES:
            self._cork.release(self)

    def _begin(self, members: Collection[Member]) -> None:
        self._members = members
        if len(members) > FEW:
            self._taken, self._joined = {}, _Joined(self.messages)
        if not self.held:
            self._cork.queue(self)

    def _queue(self, message: Message, left_out: Collection[Member]) -> None:
        """For each of the few."""
        coding, frame, encoded = None, b"", Encoded(message)
        for member in self._members:
            if member not in left_out:
                if member.coding is not coding or not coding.shared:
                    coding = member.coding
                    frame = encoded.frame(coding)
                member.pending.append(frame)

    def take(self, member: Member) -> None:
        """Move to the member its part so far; then something of its own can be queued."""
        if self._joined is not None and self._taken is not None and member in self._members:
            start, end = self._taken.get(member, 0), len(self.messages)
            if start < end:
                member.pending += self._joined.frames(member.coding, start)
                self._taken[member] = end

    def joins(self, member: Member) -> None:
        """What is due so far is not for the member, which is about to be one."""
        if self._taken is not None:
            self._taken[member] = len(self.messages)

    def leaves(self, member: Member) -> None:
        """The member is about not to be one. What it should still get was taken before, as by its Close frame."""
        if self._taken is not None:
            self._taken.pop(member, None)

    def _part(self) -> None:
        for member in self._members:
            self.take(member)
            self._cork.mark(member)
        self._end()

    def _end(self) -> None:
        self.messages = []
        self._size = 0
        self._joined = self._taken = None

    # -- writing -------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """One write to each member, with what is pending for it."""
        members = list(self._members)  # one that is lost while it is written to leaves the set
        apart, joined, count = self._taken, self._joined, len(self.messages)
        for member in apart or ():
            self.take(member)
        self._end()
        if apart is None or joined is None:
            _flush(members)
        else:
            _write(members, apart, joined, count)

    # -- waiting for more ----------------------------------------------------------------------------------------------

    def may_wait(self) -> bool:
        """Whether more is likely to become due at once; asked for each batch, at the end of a turn."""
        if self.unfinished <= self._overdue or self._size >= FULL_BYTES:
            return False
        if self._impatient:
            self._impatient -= 1
            return False
        self._seen = len(self.messages)
        return True

    def finished(self) -> None:
        """The host has finished the oldest message that it had of the object's sockets."""
        if self.unfinished:
            self.unfinished -= 1
            if self._overdue:
                self._overdue -= 1
            if self.held and self.unfinished <= self._overdue:
                self._in_vain = 0
                self._cork.release(self)

    def give_up(self, in_full: bool) -> None:
        """What the host has is not waited for any more; `in_full`: it was waited as long as one may."""
        self._overdue = self.unfinished
        if len(self.messages) > self._seen:
            self._in_vain = 0
        elif in_full:
            self._impatient = self._in_vain = min(self._in_vain * 2 + 1, VAIN_BATCHES_MAX)

    def forget(self) -> None:
        """The host is gone; nothing of it will finish."""
        self.unfinished = self._overdue = 0
        if self.held:
            self._cork.release(self)


def _flush(members: list[Member]) -> None:
    for member in members:
        if member.pending:
            member.flush()


def _write(members: list[Member], apart: dict[Member, int], joined: _Joined, count: int) -> None:
    shared, data = None, b""
    for member in members:
        coding = member.coding
        if member in apart:
            if member.pending:
                member.flush()
        elif coding is shared and not member.pending:  # as nearly always
            member.write_joined(data, count)
        elif member.pending or not coding.shared:
            member.pending += joined.frames(coding, 0)
            member.flush()
        else:
            shared, data = coding, joined.joined(coding)
            member.write_joined(data, count)
