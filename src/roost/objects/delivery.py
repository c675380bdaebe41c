"""How each kind of event is handed to an object, and what follows from its end."""

# An event begins when the input gate lets it in, and ends when its handler does.
#
#  (1) A request gets exactly one answer: the response, or the error, through the output gate.
#  (2) `Finished` follows every message, after all else that it caused, whatever became of its handler.
#  (3) What a socket's handler raises is reported and changes nothing else: the socket stays open.
#  (4) The end of a socket is told once. In the handler's synchronous part the socket is still listed, afterwards not.
#  (5) After a failure of a socket its close is not told.

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from roost.body import Body
from roost.errors import DurableObjectAbort
from roost.events import Event, Fetch, Ring, SocketClosed, SocketFailed, SocketMessage
from roost.held_socket import CLOSED, HeldSocket
from roost.objects.active_socket import KEPT
from roost.objects.current_task import restore_current_task, set_current_task
from roost.objects.handlers import Handlers, as_exception
from roost.objects.streamed_body import StreamedBody
from roost.objects.turn import RETURNED, ObjectTask
from roost.response import Response

if TYPE_CHECKING:
    from roost.objects.activation import Activation

_new = object.__new__


class Delivery:
    """Begins events; `unanswered` and `unfinished` are what a reset must still settle."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._sockets = activation.sockets
        self._standing = self._sockets.standing
        self._outbox = activation.outbox
        self._meter = activation.meter
        self._handlers: Handlers | None = None
        self._on_message: Callable[..., Any] | None = None
        self._on_message_is_async = False
        self._on_message_done = self._message_done
        self._loop = activation.loop
        self._new_context = activation.tasks.base.copy
        self._root = activation.gate.root
        self._counted = self._meter.messages_in
        """Messages that the meter has by kind of event; it keeps those in a dict, which each message would pay for."""
        self.unanswered: dict[Fetch, None] = {}
        """Requests that began and have not ended."""
        self.leaving: dict[Fetch, None] = {}
        """Requests whose answer is in the outbox."""
        self.unfinished: dict[ObjectTask, HeldSocket] = {}
        """Messages whose handler was suspended."""
        self.begin: dict[type, Callable[[Any], None]] = {
            Fetch: self._fetch,
            Ring: activation.alarms.ring,
            SocketMessage: self.message,
            SocketClosed: self._closed,
            SocketFailed: self._failed,
        }

    def construct(self, handlers: Handlers) -> None:
        """The object is there."""
        self._handlers = handlers
        self._on_message = handlers.message
        self._on_message_is_async = handlers.message_is_async
        if handlers.alarm is None:
            self._activation.storage.alarms.refusal = (
                f"{handlers.class_name} has no method alarm(self, info), so no alarm can be set"
            )

    @property
    def handlers(self) -> Handlers:
        assert self._handlers is not None, "no event begins before the object is constructed"
        return self._handlers

    @property
    def pre_shutdown(self) -> Callable[..., Any] | None:
        """The method of that name, if the object was constructed and has one."""
        return None if self._handlers is None else self._handlers.pre_shutdown

    def forget_all(self) -> None:
        """The activation has settled what was left."""
        self.unanswered.clear()
        self.unfinished.clear()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _fetch(self, event: Fetch) -> None:
        self._meter.event("fetch")
        self.unanswered[event] = None
        task = self._activation.event_task(self._fetch_done, event)
        task.begin(self.handlers.answer, (event.request,))

    def _fetch_done(self, task: ObjectTask) -> None:
        activation = self._activation
        activation.event_ended(task)
        if activation.ended or activation.doom is not None:
            return  # the request gets the reason of the end
        event: Fetch = task.event
        del self.unanswered[event]
        self.leaving[event] = None
        try:
            if task.error is not None:
                raise task.error
            response = self._placed(self.handlers.checked(task.result_value, event.request))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the caller gets it
            self._sockets.answered(task, None)
            self._meter.error(type(error).__name__)
            self._outbox.add_departure(functools.partial(self._refuse, event, as_exception(error)))
        else:
            self._sockets.answered(task, response.web_socket)
            self._outbox.add_departure(functools.partial(self._answer, event, response))

    def _placed(self, response: Response) -> Response:
        """The response, its streamed body bound to run inside the object."""
        if response.body.buffered is not None:
            return response
        stream = StreamedBody(self._activation, response.body.stream())
        self._activation.streams[stream] = None
        return Response.received(
            response.status,
            response.headers,
            Body(stream),
            status_text=response.status_text,
            web_socket=response.web_socket,
        )

    def _answer(self, event: Fetch, response: Response) -> None:
        del self.leaving[event]
        event.reply(response)

    def _refuse(self, event: Fetch, error: Exception) -> None:
        del self.leaving[event]
        event.fail(error)

    # -- messages ------------------------------------------------------------------------------------------------------

    def message(self, event: SocketMessage) -> None:
        """A message that had to wait for its turn."""
        previous = asyncio.current_task(self._loop)
        try:
            if self.begin_message(event.socket, event.data):
                self._outbox.finish(event.socket)
        finally:
            restore_current_task(self._loop, previous)

    def begin_message(self, socket: HeldSocket, data: str | bytes) -> bool:
        """Run a message's handler to its first suspension. True when it has returned: that the message is finished is
        then for the caller to tell. A task of the object is the loop's current one afterwards; the caller puts back
        what was before.
        """
        # The way of nearly every event, so it is written out: see `benchmarks/host.py` before changing it.
        meter = self._meter
        meter.messages_in += 1
        meter.bytes_in += len(data)
        handler = self._on_message
        if not socket.hibernating or handler is None:
            return self._unhandled(socket, data)
        task = _new(ObjectTask)  # as its __init__ would make it
        task._driver = self._activation
        task.context = context = self._new_context()
        task.section = self._root
        task.on_done = self._on_message_done
        if not self._on_message_is_async:
            task.event = SocketMessage(socket, data)
            task.begin(handler, (self._standing[socket], data))
        else:
            set_current_task(self._loop, task)
            try:
                task._coroutine = coroutine = handler(self._standing[socket], data)
                # `next` with a default is told of the end without an exception: `send` makes one, and it costs more
                # than all the rest of a step.
                yielded = context.run(next, coroutine.__await__(), RETURNED)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the outcome of the handler
                task.event = SocketMessage(socket, data)
                task._finish(None, error)
                return False
            if yielded is RETURNED:
                task.is_done = True
                if task._outcome is not None:
                    task._tell(task._outcome)
                return True
            task.event = SocketMessage(socket, data)
            task._suspend(yielded)
        if not task.is_done:
            self.unfinished[task] = socket
        return False

    def _unhandled(self, socket: HeldSocket, data: str | bytes) -> bool:
        """A message for which no method of the object is called. True when nobody else hears it either."""
        if socket.hibernating:
            return True
        self._active_message(SocketMessage(socket, data))
        return False

    def count(self) -> None:
        """Tell the meter of the messages since the last time."""
        messages, self._counted = self._meter.messages_in - self._counted, self._meter.messages_in
        if messages:
            self._meter.event("socket_message", messages)

    def _message_done(self, task: ObjectTask) -> None:
        if task.seen:
            self._activation.event_ended(task)
            if self.unfinished.pop(task, None) is None:
                return  # settled by the end of the activation
        if task.error is not None:
            self._report(task, "web_socket_message")
        self._outbox.finish(task.event.socket)

    def _active_message(self, event: SocketMessage) -> None:
        ws = self._sockets.active.get(event.socket)
        if ws is None or ws._active is None:
            self._outbox.finish(event.socket)
            return
        task = self._activation.event_task(self._active_message_done, event)
        task.begin(ws._active.receive, (event,))
        if not task.is_done:
            self.unfinished[task] = event.socket

    def _active_message_done(self, task: ObjectTask) -> None:
        if task.result_value is not KEPT:
            self._message_done(task)

    # -- the end of a socket -------------------------------------------------------------------------------------------

    def _closed(self, event: SocketClosed) -> None:
        self._meter.event("socket_closed")
        arguments = (event.code, event.reason, event.was_clean)
        self._end(event, self.handlers.close, arguments, "web_socket_close")

    def _failed(self, event: SocketFailed) -> None:
        self._meter.event("socket_failed")
        self._end(event, self.handlers.error, (event.error,), "web_socket_error")

    def _end(
        self,
        event: SocketClosed | SocketFailed,
        handler: Callable[..., Any] | None,
        arguments: tuple[Any, ...],
        name: str,
    ) -> None:
        socket = event.socket
        if not self._sockets.knows(socket):
            return
        if not socket.hibernating:
            self._active_end(event)
        elif handler is not None:
            ws = self._standing[socket]
            ws._gone()
            task = self._activation.event_task(functools.partial(self._end_done, name), event)
            task.begin(handler, (ws, *arguments))
        self._sockets.gone(socket)

    def _active_end(self, event: SocketClosed | SocketFailed) -> None:
        ws = self._sockets.active[event.socket]
        ws._gone()
        active = ws._active
        assert active is not None, "it is among the active ones"
        task = self._activation.event_task(functools.partial(self._end_done, "a listener"), event)
        task.begin(active.receive_any_end, (event,))

    def _end_done(self, name: str, task: ObjectTask) -> None:
        self._activation.event_ended(task)
        if task.error is not None:
            self._report(task, name)

    def _report(self, task: ObjectTask, handler: str) -> None:
        assert task.error is not None
        if not self._activation.ended and not isinstance(task.error, DurableObjectAbort):
            self._activation.report(f"{handler} failed", task.error)


def note_arrival(event: Event) -> None:
    """What is true as soon as the news of a socket is here, whatever waits before it: its peer is gone."""
    if type(event) is SocketClosed or type(event) is SocketFailed:
        event.socket.ready_state = CLOSED
