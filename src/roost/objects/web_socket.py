"""One end of a WebSocket, as user code holds it."""

# An end is new until it is taken: with `accept` (active), with `ctx.accept_web_socket` (hibernating), or by a Response
# (then it is the client's).
#
#  (1) `send` and `close` return at once; what they send leaves in order, through the output gate.
#  (2) After its own `close` an end refuses to send; when the peer has gone, what is sent is ignored silently, since
#      nobody could have known.
#  (3) While the object is awake there is one WebSocket for each of its sockets, so that `is` compares them.

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from roost.codec import decode, encode
from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError
from roost.events import Attach, Close
from roost.held_socket import CLOSED, CLOSING, OPEN, HeldSocket
from roost.json_text import encode_json
from roost.limits import DEFAULTS, Limits
from roost.objects.active_socket import ActiveSocket
from roost.objects.message import check_close, checked_message
from roost.objects.outbox import NO_RUN, Outbox
from roost.objects.tasks import current_activation

if TYPE_CHECKING:
    from roost.objects.sockets import Sockets


class Taken(Enum):
    """What became of an end."""

    NOT = "was not accepted yet"
    ACTIVE = "was accepted with accept()"
    HIBERNATING = "was accepted with ctx.accept_web_socket()"
    CLIENT = "went to the client in a Response"


class WebSocket:
    """A WebSocket of an object: `ws.send(message)`, `ws.close(code, reason)`.

    You get it from `WebSocketPair()`, from `ctx.get_web_sockets()`, and as the first argument of the `web_socket_…`
    methods.
    """

    READY_STATE_CONNECTING, READY_STATE_OPEN, READY_STATE_CLOSING, READY_STATE_CLOSED = range(4)

    __slots__ = (
        "__weakref__",
        "_active",
        "_closed_here",
        "_direct",
        "_early_attachment",
        "_held",
        "_outbox",
        "_peer",
        "_run",
        "_sockets",
        "_taken",
    )

    def __init__(self) -> None:
        raise InvalidStateError("a WebSocket comes from WebSocketPair(), or from ctx.get_web_sockets()")

    @classmethod
    def _new_end(cls) -> WebSocket:
        end = cls.__new__(cls)
        end._taken = Taken.NOT
        end._direct = end._closed_here = False
        end._run = end._held = end._active = end._peer = end._early_attachment = None
        return end

    @classmethod
    def _of(cls, held: HeldSocket, sockets: Sockets) -> WebSocket:
        """The one that stands for a hibernating socket in this activation."""
        ws = cls._new_end()
        ws._take_hibernating(held, sockets)
        return ws

    _taken: Taken
    _held: HeldSocket | None
    _outbox: Outbox
    _sockets: Sockets
    _peer: WebSocket | None
    _active: ActiveSocket | None
    _direct: bool
    """Sends go straight into the outbox: it is taken, the client's end is on its way, and nobody has closed it."""
    _closed_here: bool
    _run: list[HeldSocket] | None
    """The run of sends that it is in, so that no run has it twice."""
    _early_attachment: bytes | None

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> None:
        """Send a text message (str) or a binary one (bytes). It never waits.

        Ignored when the peer is gone. Raises InvalidStateError before the WebSocket is accepted and after its own
        `close`, WrongTypeError for anything else than str or bytes.
        """
        # The loop `for s in ctx.get_web_sockets(): s.send(m)` comes through here once per socket.
        if self._direct:
            outbox = self._outbox
            run = outbox.fold_sockets
            kind = type(data)
            if data is outbox.fold_data and self._run is not run:
                self._run = run
                run.append(self._held)  # type: ignore[arg-type]
                return
            if (kind is bytes or (kind is str and data.isascii())) and len(data) <= outbox.message_bytes_max:
                if outbox.fold_data is NO_RUN:
                    self._run = outbox.begin_run(self._held, data)  # type: ignore[arg-type]
                else:
                    self._join_or_begin_run(data)
                return
        self._send(data)

    def _join_or_begin_run(self, message: str | bytes) -> None:
        """Send a message that was checked, with the sends before it when it is equal to theirs."""
        outbox = self._outbox
        run = outbox.fold_sockets
        if self._run is not run and type(message) is type(outbox.fold_data) and message == outbox.fold_data:
            self._run = run
            run.append(self._held)  # type: ignore[arg-type]
        else:
            self._run = outbox.begin_run(self._held, message)  # type: ignore[arg-type]

    def _send(self, data: str | bytes | bytearray | memoryview) -> None:
        message = checked_message(data, self._limits())
        if self._taken not in (Taken.ACTIVE, Taken.HIBERNATING):
            raise InvalidStateError(f"this end of the WebSocket {self._taken.value}, so nothing can be sent on it")
        held = self._held
        assert held is not None, "an accepted end is a socket"
        if self._closed_here or held.ready_state == CLOSING:
            raise InvalidStateError("send() after close(): this WebSocket was closed by the object")
        if held.ready_state == CLOSED:
            return
        if self._direct:
            self._join_or_begin_run(message)
        elif self._active is not None:
            self._active.send(message)
        # Otherwise the life of the object has ended, and nothing that its code still does reaches anybody.

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message. Raises UnserialisableError when JSON does not carry it."""
        self.send(encode_json(value).decode())

    # -- closing -------------------------------------------------------------------------------------------------------

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection, after all that was sent before. Ignored when it is closed already.

        Without a code the peer sees 1005. Raises InvalidArgumentError for a code outside of 1000-4999 or one that is
        only ever reported (1004, 1005, 1006, 1015), and for a reason without a code; LimitExceededError for a reason of
        more than 123 bytes.
        """
        check_close(code, reason)
        if self._taken not in (Taken.ACTIVE, Taken.HIBERNATING):
            raise InvalidStateError(f"this end of the WebSocket {self._taken.value}, so it cannot be closed")
        held = self._held
        assert held is not None, "an accepted end is a socket"
        if self._closed_here or held.ready_state in (CLOSING, CLOSED):
            return
        if self._sockets.over:
            return
        self._closed_here = True
        held.ready_state = CLOSING
        if self._direct:
            self._direct = False
            self._outbox.add(Close(held, code, reason or ""))
        elif self._active is not None:
            self._active.close(code, reason or "")

    @property
    def ready_state(self) -> int:
        """1 open; 2 closing, as soon as either side began to close; 3 closed. A new end, and one that went to a client,
        are 1 too.
        """
        return OPEN if self._held is None else self._held.ready_state

    # -- attachment ----------------------------------------------------------------------------------------------------

    def serialize_attachment(self, value: Any) -> None:
        """Keep a copy of a small value with the socket, in place of the one before. It survives hibernation and host
        restarts, and ends with the connection.

        Raises UnserialisableError when the value cannot be stored, LimitExceededError when it is larger than 16 384
        bytes.
        """
        raw = encode(value, "attachment")
        limit = self._limits().attachment_bytes_max
        if len(raw) > limit:
            raise LimitExceededError(
                f"an attachment may have {limit} bytes when it is encoded, this one has {len(raw)}",
                limit=limit,
                actual=len(raw),
            )
        if self._held is None:
            self._early_attachment = raw
            return
        self._sockets.require_life()
        self._held.attachment = raw
        if self._taken is Taken.HIBERNATING:
            self._outbox.add(Attach(self._held, raw))

    def deserialize_attachment(self) -> Any:
        """A fresh copy of the value that was kept, or None."""
        raw = self._early_attachment if self._held is None else self._held.attachment
        return None if raw is None else decode(raw)

    # -- about it ------------------------------------------------------------------------------------------------------

    @property
    def tags(self) -> list[str]:
        """The tags that it was accepted with."""
        return [] if self._held is None else list(self._held.tags)

    @property
    def url(self) -> str | None:
        """Always None: only a WebSocket that the object opened itself would have one."""
        return None

    @property
    def protocol(self) -> str:
        """The subprotocol that the response chose with `Sec-WebSocket-Protocol`; empty where there is none, or the
        client is not connected yet.
        """
        return "" if self._held is None else self._held.protocol

    @property
    def extensions(self) -> str:
        return ""

    def __repr__(self) -> str:
        state = ("connecting", "open", "closing", "closed")[self.ready_state]
        return f"<WebSocket {state}, {self._taken.value}>"

    # -- the active way ------------------------------------------------------------------------------------------------

    def accept(self, *, allow_half_open: bool = False) -> None:
        """Take this end the active way: its events go to listeners or to `async for`, and the object stays in memory as
        long as it is open.

        It ends with the object's memory, also at a reload of the code: its client then sees code 1012.
        `ctx.accept_web_socket` takes it the hibernating way. A second call is ignored. Raises InvalidStateError when
        the end was taken otherwise.
        """
        if allow_half_open:
            raise InvalidArgumentError(
                "allow_half_open is not to be had: a client's Close is answered before the object hears of it"
            )
        if self._taken is Taken.ACTIVE:
            return
        if self._taken is not Taken.NOT:
            raise InvalidStateError(f"this end of the WebSocket {self._taken.value}, so accept() comes too late")
        other = self._peer
        if other is not None and other._taken is Taken.HIBERNATING:
            raise InvalidStateError(
                "the other end was accepted with ctx.accept_web_socket(): this one goes into a Response"
            )
        active = self._take_active()
        self._taken = Taken.ACTIVE
        active.accept()
        if other is not None and other._taken is Taken.ACTIVE:
            assert other._active is not None, "an active end has its listeners"
            active.join(other._active)
            other._active.join(active)
            for end in (active, other._active):
                self._sockets.joined(end.held)

    def add_event_listener(self, kind: str, listener: Callable[[Any], Any]) -> None:
        """Call `listener`, a plain or async function, for each "message" (`.data`), "close" (`.code .reason
        .was_clean`) or "error" (`.error`).

        Only for a WebSocket taken with `accept()`, before or after it; those taken with `ctx.accept_web_socket` go to
        the object's methods.
        """
        self._for_listeners().add_listener(kind, listener)

    def remove_event_listener(self, kind: str, listener: Callable[[Any], Any]) -> None:
        """Do not call it any more."""
        self._for_listeners().remove_listener(kind, listener)

    def __aiter__(self) -> WebSocket:
        if self._taken is not Taken.ACTIVE:
            raise InvalidStateError(
                f"this WebSocket {self._taken.value}; only one taken with accept() is read with `async for`"
            )
        return self

    async def __anext__(self) -> str | bytes:
        assert self._active is not None, "it was checked by __aiter__"
        message = await self._active.next_message()
        if message is None:
            raise StopAsyncIteration
        return message

    def _for_listeners(self) -> ActiveSocket:
        if self._taken in (Taken.HIBERNATING, Taken.CLIENT):
            raise InvalidStateError(f"this WebSocket {self._taken.value}, so it has no listeners")
        return self._take_active()

    # -- for the rooms -------------------------------------------------------------------------------------------------

    @property
    def held_socket(self) -> HeldSocket | None:
        """Of an end that went into a response: the socket of the object that its client is to be connected to."""
        if self._taken is not Taken.CLIENT or self._peer is None:
            return None
        return self._peer._held

    def bind_to_response(self) -> None:
        """The end goes into a response. Raises InvalidStateError when it was taken otherwise."""
        if self._peer is None:
            raise InvalidStateError("this WebSocket is no end of a WebSocketPair, so it cannot go into a Response")
        if self._taken is not Taken.NOT:
            raise InvalidStateError(f"this end of the WebSocket {self._taken.value}, so it cannot go into a Response")
        peer = self._peer
        if peer._taken is Taken.CLIENT:
            raise InvalidStateError("the other end of this WebSocketPair went into a Response already")
        if peer._taken is not Taken.HIBERNATING:
            peer._take_active()
        self._taken = Taken.CLIENT
        peer._direct = not peer._closed_here
        if peer._active is not None:
            peer._active.bind()

    def _take_active(self) -> ActiveSocket:
        if self._active is None:
            activation = current_activation()
            if activation is None:
                raise InvalidStateError("a WebSocket is kept by an object: this must happen inside a method of one")
            sockets = activation.sockets
            self._sockets, self._outbox = sockets, sockets.outbox
            self._active = ActiveSocket(sockets)
            self._held = self._active.held
            self._held.attachment = self._early_attachment
            sockets.active[self._held] = self
            if self._peer is not None:
                sockets.expect(self._held)
        return self._active

    def _take_hibernating(self, held: HeldSocket, sockets: Sockets) -> None:
        self._taken = Taken.HIBERNATING
        self._sockets, self._outbox, self._held = sockets, sockets.outbox, held
        self._direct = held.ready_state == OPEN

    def _limits(self) -> Limits:
        return self._sockets.limits if hasattr(self, "_sockets") else DEFAULTS

    def _gone(self) -> None:
        """The connection is closed, or the activation is over."""
        self._direct = False
        self._peer = None  # each end knows the other: neither is to wait for the garbage collector
