"""A WebSocket taken the plain way: with listeners, or read with `async for`."""

# What makes a socket *active*: its listeners live in memory, so the object stays in memory, and the socket ends with
# it.
#
#  (1) What came before `accept`, or before anybody listened, waits. A message that waits is not finished, so beyond a
#      bound its client is not read.
#  (2) Messages go to the message listeners; where there are none, to `async for`.
#  (3) What is sent before it is known where the other end goes waits, and is sent first: to the client when the other
#      end goes into a response, to the other end itself when that is accepted in the same object.

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec

from roost.errors import InvalidArgumentError, InvalidStateError, WrongTypeError
from roost.events import Close, Event, SocketClosed, SocketFailed, SocketMessage
from roost.held_socket import HeldSocket
from roost.objects.outbox import Outbox

LISTENED = ("open", "message", "close", "error")

KEPT = object()
"""Result of `receive` for a message that waits to be read."""


class OpenEvent(msgspec.Struct, frozen=True):
    """The connection is there."""


class MessageEvent(msgspec.Struct, frozen=True):
    """A message: `data` is str for text, bytes for binary."""

    data: str | bytes


class CloseEvent(msgspec.Struct, frozen=True):
    """The connection is closed; code 1006 and not clean when it was lost."""

    code: int
    reason: str
    was_clean: bool


class ErrorEvent(msgspec.Struct, frozen=True):
    """The connection failed."""

    error: Exception


class Home(Protocol):
    """What an active socket needs of its object."""

    outbox: Outbox

    def deliver(self, event: Event) -> None:
        """An event for the object, behind all others."""

    def deliver_first(self, events: Iterable[Event]) -> None:
        """Events that came before all others and were set aside."""

    def report(self, what: str, error: BaseException) -> None:
        """A listener failed."""


class ActiveSocket:
    """The listeners of one end, what waits for them, and where its messages go."""

    __slots__ = ("_listeners", "_queue", "_reader", "_unsent", "accepted", "closed", "held", "home", "partner")

    def __init__(self, home: Home) -> None:
        self.home = home
        self.held = HeldSocket(hibernating=False)
        self.accepted = False
        self.closed = False
        self.partner: ActiveSocket | None = None
        """The other end, where that is in the same object."""
        self._listeners: dict[str, list[Callable[[Any], Any]]] = {}
        self._queue: deque[SocketMessage] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._unsent: list[Callable[[], None]] | None = []

    # -- listening -----------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        self.accepted = True
        self._hand_on()

    def add_listener(self, kind: str, listener: Callable[[Any], Any]) -> None:
        """Call the listener for each event of the kind."""
        if kind not in LISTENED:
            raise InvalidArgumentError(f"a WebSocket has events {', '.join(LISTENED)}, got {kind!r}")
        if not callable(listener):
            raise WrongTypeError(f"a listener must be a function, got {type(listener).__name__}")
        listeners = self._listeners.setdefault(kind, [])
        if listener not in listeners:
            listeners.append(listener)
        self._hand_on()

    def remove_listener(self, kind: str, listener: Callable[[Any], Any]) -> None:
        listeners = self._listeners.get(kind, [])
        if listener in listeners:
            listeners.remove(listener)

    def _hand_on(self) -> None:
        """Messages that waited for a listener are delivered, before those that come."""
        if self._queue and self.accepted and self._listeners.get("message"):
            events = list(self._queue)
            self._queue.clear()
            self.home.deliver_first(events)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, event: SocketMessage) -> Any:
        """A message. The result is KEPT when it waits, or what is left to await of the listeners."""
        if self.accepted and self._listeners.get("message"):
            return self._call("message", MessageEvent(event.data))
        self._queue.append(event)
        self._wake_reader()
        return KEPT

    def receive_any_end(self, event: SocketClosed | SocketFailed) -> Coroutine[Any, Any, None] | None:
        """The socket is closed, or failed."""
        self.closed = True
        self._wake_reader()
        if isinstance(event, SocketFailed):
            return self._call("error", ErrorEvent(event.error))
        return self._call("close", CloseEvent(event.code, event.reason, event.was_clean))

    def _call(self, kind: str, event: Any) -> Coroutine[Any, Any, None] | None:
        """Call every listener; one that fails does not keep the others from it."""
        pending = []
        for listener in tuple(self._listeners.get(kind, ())):
            try:
                result = listener(event)
            except Exception as error:  # noqa: BLE001 - it is reported; the next listener is to hear the event too
                self.home.report(f"a listener for {kind} failed", error)
            else:
                if inspect.isawaitable(result):
                    pending.append(result)
        return self._await_all(kind, pending) if pending else None

    async def _await_all(self, kind: str, pending: list[Awaitable[Any]]) -> None:
        for awaitable in pending:
            try:
                await awaitable
            except Exception as error:  # noqa: BLE001 - as above
                self.home.report(f"a listener for {kind} failed", error)

    async def next_message(self) -> str | bytes | None:
        """The next message for `async for`; None when the socket is closed and everything was read."""
        if self._listeners.get("message"):
            raise InvalidStateError("this WebSocket has message listeners, so it cannot be read with `async for` too")
        while not self._queue:
            if self.closed:
                return None
            await self._wait_for_message()
        event = self._queue.popleft()
        self.home.outbox.finish(event.socket)
        return event.data

    async def _wait_for_message(self) -> None:
        if self._reader is not None:
            raise InvalidStateError("this WebSocket is read by somebody else already")
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- sending, where the client is not known yet or there is none ---------------------------------------------------

    def bind(self) -> None:
        """The other end goes to a client."""
        unsent, self._unsent = self._unsent or [], None
        for leave in unsent:
            leave()

    def join(self, partner: ActiveSocket) -> None:
        """The other end was accepted in the same object."""
        self.partner = partner
        unsent, self._unsent = self._unsent or [], None
        for leave in unsent:
            leave()

    def send(self, data: str | bytes) -> None:
        self._leave(functools.partial(self._send_now, data))

    def close(self, code: int | None, reason: str) -> None:
        self._leave(functools.partial(self._close_now, code, reason))

    def _leave(self, leave: Callable[[], None]) -> None:
        if self._unsent is not None:
            self._unsent.append(leave)
        else:
            leave()

    def _send_now(self, data: str | bytes) -> None:
        if self.partner is None:
            self.home.outbox.begin_run(self.held, data)
            return
        event = SocketMessage(self.partner.held, data)
        self.home.outbox.add_departure(functools.partial(self.home.deliver, event))

    def _close_now(self, code: int | None, reason: str) -> None:
        if self.partner is None:
            self.home.outbox.add(Close(self.held, code, reason))
            return
        for end in (self.partner, self):
            event = SocketClosed(end.held, 1005 if code is None else code, reason, True)
            self.home.outbox.add_departure(functools.partial(self.home.deliver, event))
