"""The WebSockets of one activation."""

# The roll has the hibernating sockets and outlives the activation; the active ones live and die with it.
#
#  (1) `list` has the roll's order: that of acceptance, with a tag and without.
#  (2) A socket stays in the roll until its close handler has run to its first await.
#  (3) A broadcast reaches the sockets that were accepted before it, and none accepted after it, also while it is held
#      by the output gate; so it names those whose client is not connected yet, and excludes those that come later.
#  (4) A socket that was accepted in a request whose response does not take its other end along is lost: nobody will
#      ever connect.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError
from roost.events import Event, SendToTagged, SocketClosed
from roost.held_socket import CLOSED, OPEN, HeldSocket
from roost.objects.web_socket import Taken, WebSocket

if TYPE_CHECKING:
    from roost.objects.activation import Activation

LOST = (1006, "the other end was never given to a client")


class _Standing(dict[HeldSocket, WebSocket]):
    """The WebSocket that stands for each hibernating socket, made when it is first asked for."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self._sockets = sockets

    def __missing__(self, held: HeldSocket) -> WebSocket:
        ws = self[held] = WebSocket._of(held, self._sockets)
        return ws

    def let_go(self) -> None:
        """It is not used any more: each knows the other."""
        self.clear()
        del self._sockets


class Sockets:
    """What an activation knows of its sockets beside the roll."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self.outbox = activation.outbox
        self.limits = activation.surroundings.limits
        self.roll = activation.surroundings.roll
        self.standing = _Standing(self)
        self.active: dict[HeldSocket, WebSocket] = {}
        """Taken with `accept`, or on the way to be."""
        self._unanswered: dict[HeldSocket, Any] = {}
        """Accepted, and their other end has not left in a response; with the task that accepted them."""
        self._connecting: dict[HeldSocket, None] | None = None
        """Of the roll, those whose client was not connected when last seen."""

    @property
    def over(self) -> bool:
        """Whether the life of the object has ended."""
        return self._activation.ended

    def require_life(self) -> None:
        """What is to be kept with a socket would be kept for the next life, which did not ask for it."""
        if self._activation.ended:
            raise InvalidStateError("this life of the object has ended; its sockets belong to the next one")

    # -- what a socket needs of its object -----------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        if not self._activation.ended:
            self._activation.deliver(event)

    def deliver_first(self, events: Iterable[Event]) -> None:
        self._activation.deliver_first(events)

    def report(self, what: str, error: BaseException) -> None:
        self._activation.report(what, error)

    # -- hibernating sockets -------------------------------------------------------------------------------------------

    def accept(self, ws: WebSocket, tags: Sequence[str]) -> None:
        """Take the end the hibernating way."""
        self.require_life()
        if not isinstance(ws, WebSocket):
            raise WrongTypeError(f"accept_web_socket takes an end of a WebSocketPair, got {type(ws).__name__}")
        if ws._taken is not Taken.NOT:
            raise InvalidStateError(f"this end of the WebSocket {ws._taken.value}, so accept_web_socket comes too late")
        peer = ws._peer
        if peer is not None and peer._taken is not Taken.NOT:
            raise InvalidStateError(
                f"the other end {peer._taken.value}; accept_web_socket must come before the other end is used"
            )
        if ws._active is not None:
            raise InvalidStateError("this end of the WebSocket has listeners: take it with accept(), or give it none")
        checked = self._checked_tags(tags)
        if len(self.roll) >= self.limits.sockets_per_object_max:
            raise LimitExceededError(
                f"an object may have {self.limits.sockets_per_object_max} hibernating WebSockets, it has them all",
                limit=self.limits.sockets_per_object_max,
                actual=len(self.roll) + 1,
            )
        self._add(ws, HeldSocket(tags=checked))

    def _add(self, ws: WebSocket, held: HeldSocket) -> None:
        held.attachment = ws._early_attachment
        self.roll.add(held)
        self.standing[held] = ws
        ws._take_hibernating(held, self)
        self.expect(held)
        if self._connecting is not None:
            self._connecting[held] = None
        for broadcast in self.outbox.broadcasts():
            if broadcast.tag is None or broadcast.tag in held.tags:
                broadcast.excluded.append(held)

    def expect(self, held: HeldSocket) -> None:
        """The socket's other end is to leave in the response of the request that is being handled."""
        self._unanswered[held] = self._activation.current_task()

    def joined(self, held: HeldSocket) -> None:
        """Both ends are in the object: none of them will leave."""
        self._unanswered.pop(held, None)

    def _checked_tags(self, tags: Sequence[str]) -> tuple[str, ...]:
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise WrongTypeError(f"tags must be a list of str, got {type(tags).__name__}: {tags!r:.80}")
        distinct = tuple(dict.fromkeys(self._checked_tag(tag) for tag in tags))
        if len(distinct) > self.limits.tags_per_socket_max:
            raise LimitExceededError(
                f"a WebSocket may have {self.limits.tags_per_socket_max} tags, got {len(distinct)}",
                limit=self.limits.tags_per_socket_max,
                actual=len(distinct),
            )
        return distinct

    def _checked_tag(self, tag: object) -> str:
        if not isinstance(tag, str):
            raise WrongTypeError(f"a tag must be a str, got {type(tag).__name__}")
        try:
            size = len(tag.encode())
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"the tag {tag!r} has a lone surrogate, which UTF-8 cannot hold") from error
        if size > self.limits.tag_bytes_max:
            raise LimitExceededError(
                f"a tag may have {self.limits.tag_bytes_max} bytes of UTF-8, {tag[:40]!r} has {size}",
                limit=self.limits.tag_bytes_max,
                actual=size,
            )
        return tag

    def listed(self, tag: str | None, *, open_only: bool) -> list[WebSocket]:
        """Those of the roll, with that tag or all, oldest first."""
        if tag is not None and not isinstance(tag, str):
            raise WrongTypeError(f"a tag must be a str, got {type(tag).__name__}")
        found = self.roll.sockets if tag is None else self.roll.tagged(tag)
        if open_only:
            return [self.standing[held] for held in found if held.ready_state == OPEN]
        return list(map(self.standing.__getitem__, found))

    def broadcast(self, data: str | bytes, tag: str | None, excluded: list[HeldSocket]) -> None:
        """One message to all that are open, or to those with the tag, but for some."""
        held = self._connecting_now()
        unnamed = [socket for socket in held if (tag is None or tag in socket.tags) and socket.ready_state == OPEN]
        self.outbox.add(SendToTagged(data, tag, [*excluded, *unnamed]))
        reached = max(0, self.roll.count(tag) - len(excluded) - len(unnamed))
        self._activation.meter.messages_out += reached
        self._activation.meter.bytes_out += reached * len(data)
        for socket in unnamed:
            if socket not in excluded:
                self.standing[socket].send(data)

    def _connecting_now(self) -> dict[HeldSocket, None]:
        candidates = self.roll.sockets if self._connecting is None else self._connecting
        self._connecting = {held: None for held in candidates if held.number == 0}
        return self._connecting

    # -- the end of sockets --------------------------------------------------------------------------------------------

    def knows(self, held: HeldSocket) -> bool:
        """Whether the object has not heard of its end yet."""
        return held in self.roll.sockets if held.hibernating else held in self.active

    def gone(self, held: HeldSocket) -> None:
        """The socket's end was told."""
        ws = self.standing.pop(held, None) or self.active.pop(held, None)
        if ws is not None:
            ws._gone()
        self.roll.discard(held)
        self._unanswered.pop(held, None)
        if self._connecting is not None:
            self._connecting.pop(held, None)

    def answered(self, task: Any, ws: object) -> None:
        """A request ended; its response takes `ws` along. What else it accepted has lost its other end."""
        if not self._unanswered:
            return
        if isinstance(ws, WebSocket) and ws.held_socket is not None:
            self._unanswered.pop(ws.held_socket, None)
        for held in [held for held, by in self._unanswered.items() if by is task]:
            held.ready_state = CLOSED
            del self._unanswered[held]
            self.deliver(SocketClosed(held, *LOST, False))

    def let_go(self) -> None:
        """The life has ended, and nobody will ask for its sockets any more."""
        self.standing.let_go()

    def forget_unanswered(self) -> None:
        """The activation is over, and with it the other ends that nobody was given."""
        for held in self._unanswered:
            self.roll.discard(held)
        self._unanswered.clear()
