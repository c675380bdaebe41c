"""The sessions of a host with its peers: gateways, and other hosts that call its objects."""

# What a peer sends becomes events; what the objects do becomes frames.
#
#  (1) Nothing is delivered before this peer's `RollEnd`, nor before the roll call of all gateways is complete.
#  (2) Frames are taken in the order in which they came; those that came too early keep theirs.
#  (3) `Finished` goes out after everything that was sent before it, gathered: one frame for each write.
#  (4) A peer whose link breaks may come back; see `absences`. A peer that is lost takes its sockets along, and the
#      grants that were on their way to it. A peer that this host leaves keeps them: the successor will be told of them,
#      and the objects hear nothing.
#  (5) After `Drain` whatever still comes is taken, until `Drained` says that no more will.

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from roost.clock import Clock
from roost.errors import RoostError
from roost.events import SocketMessage
from roost.host.absences import Absences, Grants
from roost.host.answer import Answer
from roost.host.arrival import Arrival
from roost.host.failure import encode_error
from roost.host.roll_call import RollCall
from roost.host.sockets import Sockets, close_unserved
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.frames import Frame, ObjectRef, SocketGrant
from roost.objects.current_task import restore_current_task
from roost.objects.turn_loop import FINISH
from roost.observer import Observer
from roost.request import Request
from roost.response import Response

if TYPE_CHECKING:
    from roost.objects.activation import Activation


class Callee(Protocol):
    """Who answers requests."""

    def enter(self, answer: Answer) -> None:
        """Let the entrypoint answer."""

    def fetch(
        self,
        ref: ObjectRef,
        request: Request,
        reply: Callable[[Response], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Let an object answer. Raises when it is none of this host."""


class Served(Protocol):
    """What a session needs of its host."""

    clock: Clock
    limits: Limits
    observer: Observer
    debug: bool
    sockets: Sockets
    absences: Absences
    roll_call: RollCall

    number: int
    incarnation: int

    @property
    def calls(self) -> Callee: ...

    def session_ended(self, session: PeerSession) -> None: ...


class PeerSession:
    """One peer, from its Hello to its loss."""

    def __init__(self, connection: Connection, host: Served) -> None:
        self.limits = host.limits
        self.observer = host.observer
        self.debug = host.debug
        self.role = ""
        self.number = -1
        self.incarnation = 0
        self.answers: dict[int, Answer] = {}
        self.drained: asyncio.Future[None] | None = None
        self._host = host
        self._arrival = Arrival(self, host)
        self._connection = connection
        self._by_number = host.sockets.by_number
        self._loop = asyncio.get_running_loop()
        self._early: list[Frame] | None = []
        """What came before it may be delivered; None once it may."""
        self.grants: Grants = {}
        self.sent_before = 0
        """How many frames came to the peer over the links before this one."""
        self.post = connection.post
        self._finished: list[int] = []
        self._leaving = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self._connection.before_flush(self._add_finished)
        self._connection.start(self._on_frames, self._on_lost, self._on_writable)

    # -- out ---------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Send a frame. One that cannot be sent is reported and costs nothing else."""
        try:
            self._connection.send(frame)
        except RoostError as error:
            self.observer.report("link.refused", f"a {type(frame).__name__} frame could not be sent", error)

    def send_checked(self, frame: Frame) -> None:
        """Send a frame; raises when it cannot be sent, for instance because it is too large."""
        self._connection.send(frame)

    def finished(self, number: int) -> None:
        if not self._finished:
            self._connection.flush_soon()
        self._finished.append(number)

    def _add_finished(self) -> None:
        if self._finished:
            finished = self._finished.copy()  # the list stays the same one: `_take` has it in hand
            self._finished.clear()
            self._connection.post(frames.Finished(finished), 8 * len(finished))

    @property
    def sent(self) -> int:
        """How many frames this host has sent to the peer, over all links since it knows it."""
        return self.sent_before + self._connection.sent

    async def ready(self) -> None:
        """Wait until the peer reads."""
        await self._writable.wait()

    def _on_writable(self, writable: bool) -> None:
        if writable:
            self._writable.set()
        else:
            self._writable.clear()

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else, and not after the session's end."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # -- in ----------------------------------------------------------------------------------------------------------

    def _on_frames(self, batch: list[Frame]) -> None:
        if self._leaving:
            return
        if self._early is not None:
            self._take_early(batch)
            return
        self._take(batch)

    def _take(self, batch: list[Frame]) -> None:
        previous = asyncio.current_task(self._loop)
        try:
            self._take_all(batch, previous)
        finally:
            restore_current_task(self._loop, previous)

    def _take_all(self, batch: list[Frame], current_task: Any) -> None:
        """Take a batch with the loop's current task as it is left by its messages, but for what is no message."""
        # The way of every message, so it calls as little as can be: see `benchmarks/host.py` before changing it.
        by_number, finished = self._by_number, self._finished
        sending: dict[Activation, None] = {}
        """Those whose messages have sent what waits for the end of the messages."""
        for frame in batch:
            if type(frame) is frames.SocketMessage:
                number = frame.socket
                known = by_number.get(number)
                if known is None:
                    self._unknown_socket(number)
                    continue
                place, socket = known
                activation = place.activation
                if activation is not None:
                    try:
                        owed = activation.deliver_message(socket, frame.data)
                    except Exception as error:  # noqa: BLE001 - the frames behind it must be taken all the same
                        message = SocketMessage(socket, frame.data)
                        self._host.sockets.objects.undelivered(place, activation, message, error)
                        continue
                    if owed:
                        sending[activation] = None
                        if owed == FINISH:
                            finished.append(number)
                elif socket.hibernating:
                    self._host.sockets.message(place, socket, frame.data)
                else:
                    finished.append(number)  # its listeners are gone, and it is being closed
            else:
                restore_current_task(self._loop, current_task)
                if sending:
                    self._let_leave(sending)
                _TAKERS[type(frame)](self, frame)
        if sending:
            restore_current_task(self._loop, current_task)
            self._let_leave(sending)
        if finished:
            self._connection.flush_soon()

    def _let_leave(self, sending: dict[Activation, None]) -> None:
        for activation in sending:
            try:
                activation.end_turns()
            except Exception as error:  # noqa: BLE001 - it has ended the object, and must end nothing else
                what = "what an object sent could not leave"
                self.observer.report("object.undelivered", what, error, id=activation.object_id)
        sending.clear()

    def _unknown_socket(self, number: int) -> None:
        close_unserved(self, number, "this socket is not known to its host")
        self.finished(number)

    def _take_early(self, batch: list[Frame]) -> None:
        for at, frame in enumerate(batch):
            if self._early is None:
                self._on_frames(batch[at:])
                return
            if isinstance(frame, frames.Hello | frames.Roll | frames.RollEnd) and not self._early:
                _TAKERS[type(frame)](self, frame)
            else:
                self._early.append(frame)

    def _hello(self, frame: frames.Hello) -> None:
        self.role, self.number, self.incarnation = frame.role, frame.number, frame.incarnation
        self._arrival.hello()
        self.observer.notify("peer.connected", role=frame.role, number=frame.number)

    def _roll(self, frame: frames.Roll) -> None:
        self._arrival.roll(frame)

    def _roll_end(self, frame: frames.RollEnd) -> None:
        self._host.roll_call.when_complete(functools.partial(self._arrival.complete, frame.received))
        if self.role == "gateway":
            self._host.roll_call.rolled(self.number)
        self._host.roll_call.when_complete(self._admit)

    def _admit(self) -> None:
        early, self._early = self._early, None
        if early:
            self._on_frames(early)

    def _request(self, frame: frames.RequestStart) -> None:
        try:
            answer = self.answers[frame.stream] = Answer(self, frame)
        except Exception as error:  # noqa: BLE001 - a request that cannot be read ends itself, not the link
            self.observer.report("peer.bad_request", "a request could not be read", error, url=frame.url)
            self.send(frames.StreamReset(frame.stream, encode_error(error)))
            return
        try:
            if frame.target is None:
                self._host.calls.enter(answer)
            else:
                self._host.calls.fetch(frame.target, answer.request, answer.reply, answer.fail)
        except RoostError as error:
            answer.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the request gets an answer
            self.observer.report("peer.request_failed", "a request could not be taken", error, url=frame.url)
            answer.fail(error)

    def _chunk(self, frame: frames.BodyChunk) -> None:
        answer = self.answers.get(frame.stream)
        if answer is not None:
            answer.chunk(frame)

    def _credit(self, frame: frames.BodyCredit) -> None:
        answer = self.answers.get(frame.stream)
        if answer is not None:
            answer.credit(frame.size)

    def _reset(self, frame: frames.StreamReset) -> None:
        answer = self.answers.get(frame.stream)
        if answer is not None:
            answer.abandon(frame.reason)

    def _opened(self, frame: frames.SocketOpened) -> None:
        self.grants.pop((self._host.number, frame.grant), None)
        if not self._host.sockets.opened(frame.grant, frame.socket, frame.protocol):
            close_unserved(self, frame.socket, "the object of this socket waited too long for its client")

    def _grant_dropped(self, frame: frames.GrantDropped) -> None:
        self._host.sockets.drop_grant(frame.grant)

    def _socket_closed(self, frame: frames.SocketClosed) -> None:
        self._host.sockets.closed(frame.socket, frame.code, frame.reason, frame.was_clean)

    def _socket_failed(self, frame: frames.SocketFailed) -> None:
        self._host.sockets.failed(frame.socket, frame.message)

    def _auto_answered(self, frame: frames.AutoAnswered) -> None:
        self._host.sockets.auto_answered(frame.socket, frame.at_ms)

    def _was_drained(self, _: frames.Drained) -> None:
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    # -- grants ------------------------------------------------------------------------------------------------------

    def granted(self, grant: SocketGrant, drop: Callable[[], None]) -> None:
        """A grant is on its way to this peer; `drop` is for the case that it is lost first."""
        since = self._host.clock.monotonic()
        limit = since - self.limits.handshake_seconds_max
        for key in [key for key, (time, _) in self.grants.items() if time < limit]:
            del self.grants[key]  # opened at another host long ago, or dropped there
        self.grants[grant.host, grant.grant] = (since, drop)

    # -- the end -----------------------------------------------------------------------------------------------------

    def drain(self) -> asyncio.Future[None]:
        """Ask the peer to send nothing more; done when it has agreed, or is gone."""
        if self.drained is None:
            self.drained = asyncio.get_running_loop().create_future()
            if self._connection.closed:
                self.drained.set_result(None)
            else:
                self.send(frames.Drain())
        return self.drained

    @property
    def agreed(self) -> bool:
        """Whether the peer has said that it sends nothing more, and everything that it sent is here."""
        return self.drained is not None and self.drained.done()

    def give_up(self, error: Exception) -> None:
        """Answer with the error whatever has no answer yet."""
        for answer in list(self.answers.values()):
            answer.fail(error)
            answer.abandon("the host stopped")

    def close(self, *, goodbye: bool) -> None:
        """End the link; with `goodbye` the peer knows that nothing is missing. Its sockets live on."""
        self._leaving = True
        self._add_finished()
        if goodbye:
            self.send(frames.Goodbye())
        self._connection.close()

    def _on_lost(self, error: BaseException | None) -> None:
        self.observer.notify("peer.lost", role=self.role, number=self.number, error=error)
        self._writable.set()
        self._early = None
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        for answer in list(self.answers.values()):
            answer.abandon("the link to the client's gateway was lost")
        if not self._leaving:
            self.leave_sockets()
        for task in list(self.tasks):
            task.cancel()
        self._host.session_ended(self)

    def leave_sockets(self) -> None:
        """The link broke. What was on its way to the peer, or is held by it, waits for it to come back."""
        if self._host.sockets.peers.get(self.incarnation) is self:
            grants, self.grants = self.grants, {}
            self._host.absences.left(self.role, self.number, self.incarnation, sent=self.sent, grants=grants)


_TAKERS: dict[type, Callable[[PeerSession, Any], None]] = {
    frames.Hello: PeerSession._hello,
    frames.Roll: PeerSession._roll,
    frames.RollEnd: PeerSession._roll_end,
    frames.RequestStart: PeerSession._request,
    frames.BodyChunk: PeerSession._chunk,
    frames.BodyCredit: PeerSession._credit,
    frames.StreamReset: PeerSession._reset,
    frames.SocketOpened: PeerSession._opened,
    frames.GrantDropped: PeerSession._grant_dropped,
    frames.SocketClosed: PeerSession._socket_closed,
    frames.SocketFailed: PeerSession._socket_failed,
    frames.AutoAnswered: PeerSession._auto_answered,
    frames.Drained: PeerSession._was_drained,
}
