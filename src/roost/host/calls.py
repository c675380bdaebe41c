"""The calls that reach a host: requests for its entrypoint, and for its objects, from here and from elsewhere."""

# Whoever calls, and whatever the code behind does:
#
#  (1) Each request gets one answer or one error. What an app raises, returns or cancels ends its own request only.
#  (2) A WebSocket leaves an object as a grant, which can travel; the object's own end stays where it is.
#  (3) What nobody waits for any more is let go of: bodies are discarded, sockets are dropped.

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from roost.errors import InvalidStateError, ObjectError, OverloadedError, UnavailableError
from roost.host.activations import Activations
from roost.host.answer import Answer, drop_end
from roost.host.client_end import GrantedEnd
from roost.host.client_ends import ClientEnds
from roost.host.entry_task import EntryTasks
from roost.host.entrypoint import Entrypoint, checked_response
from roost.host.place import Place
from roost.host.router import Reply
from roost.host.sockets import Sockets
from roost.ids import ObjectId
from roost.link.directory import Directory
from roost.link.frames import ObjectRef
from roost.objects.turn import ObjectTask
from roost.objects.web_socket import WebSocket
from roost.observer import Observer
from roost.request import Request
from roost.response import Response


class Calls:
    """Takes requests to where they are answered."""

    entrypoint: Entrypoint
    """Given by the host once `env`, which needs these calls, is made."""

    def __init__(
        self,
        *,
        number: int,
        directory: Directory,
        activations: Activations,
        sockets: Sockets,
        ends: ClientEnds,
        observer: Observer,
        entered_max: int,
    ) -> None:
        self._number = number
        self._directory = directory
        self._activations = activations
        self._sockets = sockets
        self._ends = ends
        self._observer = observer
        self._entered_max = entered_max
        self._tasks: EntryTasks | None = None
        """Made on the loop, with the first request."""
        self._discarding: set[asyncio.Task[None]] = set()

    def under_way(self) -> list[asyncio.Future[None]]:
        """What the entrypoint has begun and not ended."""
        entered = [] if self._tasks is None else [task.expose() for task in self._tasks.live]
        return [*entered, *self._discarding, *self.entrypoint.work]

    def cancel(self) -> None:
        """Stop what is under way."""
        for entered in [] if self._tasks is None else list(self._tasks.live):
            entered.cancel()
        for task in (*self._discarding, *self.entrypoint.work):
            task.cancel()

    def enter(self, answer: Answer) -> None:
        """Let the app's entrypoint answer."""
        tasks = self._tasks
        if tasks is None:
            tasks = self._tasks = EntryTasks()
        if len(tasks.live) >= self._entered_max:
            answer.fail(OverloadedError(f"{len(tasks.live)} requests are in the entrypoint, which is its limit"))
            return
        task = tasks.new(functools.partial(self._entered, answer))
        task.begin(self.entrypoint, (answer.request,))
        if not task.is_done:
            answer.task = task

    def _entered(self, answer: Answer, task: ObjectTask) -> None:
        """The entrypoint is through with a request."""
        answer.task = None
        if task.seen and self._tasks is not None:
            self._tasks.live.pop(task, None)
        error = task.error
        if error is None:
            answer.reply(task.result_value)
        elif isinstance(error, asyncio.CancelledError):
            answer.fail(ObjectError("the entrypoint was cancelled"))  # nothing, where that is because the client left
        else:
            if not isinstance(error, UnavailableError):
                what = f"{self.entrypoint.name} failed"
                self._observer.report("entrypoint.failed", what, error, url=answer.request.url)
            answer.fail(error)

    def fetch(
        self,
        ref: ObjectRef,
        request: Request,
        reply: Callable[[Response], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Give a request to an object of this host. Raises when the object is none of this host's."""
        place = self._activations.find(ref)
        owner = self._directory.owner(ref.key)
        if owner != self._number:
            raise UnavailableError(f"{place.object_id!r} lives on host {owner}, this is host {self._number}")
        self._fetch(place, request, reply, fail)

    def fetch_local(self, object_id: ObjectId, request: Request, reply: Reply) -> None:
        """Give a request to an object for a stub of this host."""
        if reply.done():
            return

        def replied(response: Response) -> None:
            if not reply.done():
                reply.set_result(response)
            else:
                drop_end(response)
                task = asyncio.ensure_future(response.body.discard())
                self._discarding.add(task)
                task.add_done_callback(self._discarding.discard)

        def failed(error: BaseException) -> None:
            if not reply.done():
                reply.set_exception(error)

        try:
            self._fetch(self._activations.place(object_id), request, replied, failed)
        except Exception as error:  # noqa: BLE001 - the loop calls this: raising here would leave the caller waiting
            self._observer.report("object.uncalled", "a call could not be delivered", error, id=object_id)
            failed(error)

    def _fetch(
        self,
        place: Place,
        request: Request,
        reply: Callable[[Response], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        def replied(response: Response) -> None:
            try:
                answer = self._with_grant(place, checked_response(response, f"{place.cls.__name__}.fetch"))
            except Exception as error:  # noqa: BLE001 - what an object returned may be wrong in any way
                fail(error)
            else:
                reply(answer)

        self._activations.fetch(place, request, replied, fail)

    def _with_grant(self, place: Place, response: Response) -> Response:
        """The response, its client end replaced by one that can travel."""
        end = response.web_socket
        if end is None or isinstance(end, GrantedEnd):
            return response
        socket = end.held_socket if isinstance(end, WebSocket) else None
        if socket is None:
            raise InvalidStateError(
                f"{place.cls.__name__}.fetch returned {end!r} as web_socket, which is no end of a WebSocketPair: "
                "client, server = WebSocketPair(), then accept server and return client"
            )
        granted = self._ends.end_of(self._sockets.grant(place, socket))
        return Response.received(
            response.status, response.headers, response.body, status_text=response.status_text, web_socket=granted
        )
