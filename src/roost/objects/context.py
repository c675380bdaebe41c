"""`ctx`: what an object can ask of the runtime."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from roost.errors import DurableObjectAbort, InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError
from roost.events import AutoRespond
from roost.held_socket import HeldSocket
from roost.ids import ObjectId
from roost.objects.auto_response import WebSocketRequestResponsePair
from roost.objects.critical_section import begin_section
from roost.objects.message import checked_message
from roost.objects.periodic import Periodic
from roost.objects.web_socket import Taken, WebSocket

if TYPE_CHECKING:
    from roost.objects.activation import Activation
    from roost.storage.storage import Storage

T = TypeVar("T")


class DurableObjectState:
    """The first argument of an object's constructor, also `self.ctx`."""

    def __init__(self, activation: Activation, storage: Storage) -> None:
        self._activation = activation
        self._storage = storage

    @property
    def id(self) -> ObjectId:
        """The object's id; `ctx.id.name` is the name that it was made from, where that is known."""
        return self._activation.object_id

    @property
    def storage(self) -> Storage:
        """The object's own durable storage."""
        return self._storage

    # -- the input gate, and the object's life -------------------------------------------------------------------------

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]] | Awaitable[T]) -> Awaitable[T]:
        """Run an async function during which no event is delivered; only what it started itself goes on.

        It starts when the present step is over, and need not be awaited: in a constructor, no event is delivered before
        it is through. Awaited, it gives the function's value. If the function raises, or takes longer than 30 seconds,
        the object is reset.
        """
        return begin_section(self._activation, fn, resets=True)

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Let some work go on after the reply, and keep the object in memory until it is done, for at most 15 minutes.
        A failure of it is logged.
        """
        self._activation.background.wait_until(awaitable)

    def every(self, seconds: float, function: Callable[[], Awaitable[Any] | Any]) -> Periodic:
        """Call a function every so many seconds while something goes on in the object: to write what is kept in memory.

        It is called when events have begun, or were under way, since the last time; not in an object in which nothing
        happens, so it keeps nobody awake. It is also called before hibernation, before a deploy and before the system
        stops; not before a reset or a crash, which lose what is not written. A failure of it is logged, and it is
        called again after the same time; until it succeeds the object does not hibernate.

        The result has `flush()`, to call it now, `touch()`, to tell of a change that came from no event, and `stop()`.
        """
        return self._activation.periodics.add(seconds, function)

    def abort(self, reason: str | None = None, *, retry_alarm: bool = True) -> NoReturn:
        """Reset the object now: its memory is dropped, and what this turn wrote; what it wrote before stays, and so do
        its hibernating WebSockets.

        Callers see an ObjectResetError with the reason. It raises DurableObjectAbort, which `except Exception` does not
        catch; catching it changes nothing. `retry_alarm` False ends an alarm that is running for good.
        """
        error = DurableObjectAbort(reason if reason is not None else "the object asked to be reset")
        self._activation.abort(error, retry_alarm=retry_alarm)
        raise error

    # -- WebSockets ----------------------------------------------------------------------------------------------------

    def accept_web_socket(self, ws: WebSocket, tags: Sequence[str] = ()) -> None:
        """Take an end of a WebSocketPair the hibernating way: its events go to the object's `web_socket_…` methods, and
        the object may sleep meanwhile.

        Call it before the other end goes into the Response. `tags` are labels to find it by with `get_web_sockets`: at
        most 10, of at most 256 bytes of UTF-8; they cannot change later.
        """
        self._activation.sockets.accept(ws, tags)

    def get_web_sockets(self, tag: str | None = None, *, open_only: bool = False) -> list[WebSocket]:
        """The object's hibernating WebSockets, or those with a tag, in the order of their acceptance.

        Those that the object closed are among them until their client has answered; `open_only` leaves them out.
        """
        return self._activation.sockets.listed(tag, open_only=open_only)

    def get_tags(self, ws: WebSocket) -> list[str]:
        """The tags of a hibernating WebSocket. Raises InvalidStateError for any other."""
        self._require_hibernating(ws, "get_tags")
        return ws.tags

    def broadcast(
        self, message: str | bytes, tag: str | None = None, exclude: WebSocket | Iterable[WebSocket] | None = None
    ) -> None:
        """Send a message to all hibernating WebSockets that are open, or to those with a tag, but for one or some.

        However many they are, it costs the object one message to each gateway.
        """
        if tag is not None and not isinstance(tag, str):
            raise WrongTypeError(f"a tag must be a str, got {type(tag).__name__}")
        self._activation.sockets.broadcast(
            checked_message(message, self._activation.surroundings.limits), tag, _excluded(exclude)
        )

    def set_web_socket_auto_response(self, pair: WebSocketRequestResponsePair | None = None) -> None:
        """Let the gateway answer every text message that is equal to `pair.request` with `pair.response`, without
        waking the object. None ends that.

        One pair for all hibernating WebSockets of the object; it survives hibernation.
        """
        if pair is not None and not isinstance(pair, WebSocketRequestResponsePair):
            raise WrongTypeError(f"expected a WebSocketRequestResponsePair or None, got {type(pair).__name__}")
        if pair is not None:
            pair.check(self._activation.surroundings.limits)
        self._activation.sockets.require_life()
        wanted = None if pair is None else (pair.request, pair.response)
        roll = self._activation.surroundings.roll
        if roll.auto_response != wanted:
            roll.auto_response = wanted
            self._activation.outbox.add(AutoRespond(wanted))

    def get_web_socket_auto_response(self) -> WebSocketRequestResponsePair | None:
        """The pair that is set, or None."""
        pair = self._activation.surroundings.roll.auto_response
        return None if pair is None else WebSocketRequestResponsePair(*pair)

    def get_web_socket_auto_response_timestamp(self, ws: WebSocket) -> dt.datetime | None:
        """When the gateway last answered on this WebSocket by itself, in UTC; None if it never did."""
        at_ms = self._require_hibernating(ws, "get_web_socket_auto_response_timestamp").auto_response_ms
        return None if at_ms is None else _EPOCH + dt.timedelta(milliseconds=at_ms)

    def set_hibernatable_web_socket_event_timeout(self, ms: int | None = None) -> None:
        """Reset the object when one event of a hibernating WebSocket takes longer than so many milliseconds; 0 or None
        ends that.
        """
        if ms is not None and (not isinstance(ms, int) or isinstance(ms, bool)):
            raise WrongTypeError(f"the timeout must be an int of milliseconds or None, got {type(ms).__name__}")
        limit = self._activation.surroundings.limits.socket_event_ms_max
        if ms is not None and ms < 0:
            raise InvalidArgumentError(f"the timeout must not be negative, got {ms}")
        if ms is not None and ms > limit:
            raise LimitExceededError(
                f"the timeout may be {limit} milliseconds (seven days), got {ms}", limit=limit, actual=ms
            )
        self._activation.socket_event_ms = ms or None

    def get_hibernatable_web_socket_event_timeout(self) -> int | None:
        """The timeout that is set, in milliseconds, or None."""
        return self._activation.socket_event_ms

    def _require_hibernating(self, ws: WebSocket, what: str) -> HeldSocket:
        if not isinstance(ws, WebSocket):
            raise WrongTypeError(f"{what} takes a WebSocket, got {type(ws).__name__}")
        if ws._taken is not Taken.HIBERNATING or ws._held is None:
            raise InvalidStateError(
                f"{what} is for WebSockets taken with accept_web_socket; this end {ws._taken.value}"
            )
        return ws._held

    def __repr__(self) -> str:
        return f"<DurableObjectState of {self._activation.object_id!r}>"


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _excluded(exclude: WebSocket | Iterable[WebSocket] | None) -> list[HeldSocket]:
    if exclude is None:
        return []
    chosen = [exclude] if isinstance(exclude, WebSocket) else list(exclude)
    for ws in chosen:
        if not isinstance(ws, WebSocket):
            raise WrongTypeError(f"exclude takes a WebSocket or some of them, got {type(ws).__name__}")
    return [ws._held for ws in chosen if ws._held is not None and ws._held.hibernating]
