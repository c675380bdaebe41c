"""One request of a peer, from its first frame to the last of its response."""

# The request may be for the entrypoint or for an object; here it is the same.
#
#  (1) Exactly one response or error is sent, unless the peer says first that the client went away.
#  (2) A client that went away takes the waiting for its response along, and the rest of its request's body; not the
#      work of an object, which goes on to its end.
#  (3) A gateway gets a page for an error; another host gets the error itself.
#  (4) A WebSocket goes to a client once, and only to one that asked for it.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from roost.body import BodyReader
from roost.errors import ClientGoneError, InvalidStateError, WrongTypeError
from roost.headers import Headers
from roost.host.client_end import GrantedEnd
from roost.host.failure import encode_error, error_response
from roost.host.streams import BodySender, inline_part, receive_body
from roost.link import frames
from roost.link.frames import SocketGrant
from roost.objects.turn import ObjectTask
from roost.request import Request
from roost.response import Response

if TYPE_CHECKING:
    from roost.host.server import PeerSession


class Answer:
    """What a session owes its peer for one request."""

    def __init__(self, session: PeerSession, frame: frames.RequestStart) -> None:
        self._session = session
        self.stream = frame.stream
        body, self._body = receive_body(
            frame.stream, frame.body, more=frame.more, wire=session, window=session.limits.body_window_bytes
        )
        self.request = Request.received(
            frame.method,
            frame.url,
            Headers.trusted(frame.headers),
            body,
            client=frame.client or None,
            is_upgrade=frame.upgrade,
        )
        self.task: ObjectTask | None = None
        """That of the entrypoint, while it waits for something."""
        self._begun = False
        self._over = False
        self._sender: BodySender | None = None
        self._sending: asyncio.Task[None] | None = None

    # -- the answer --------------------------------------------------------------------------------------------------

    def reply(self, response: Response) -> None:
        """Send the response."""
        if self._over:
            drop_end(response)
            self._session.background(response.body.discard())
            return
        try:
            self._send(response)
        except Exception as error:  # noqa: BLE001 - user code may have put anything into a response
            self._session.observer.report("entrypoint.unsendable", "a response could not be sent", error)
            drop_end(response)
            self.fail(error)

    def _send(self, response: Response) -> None:
        grant = self._grant(response)
        headers = response.headers
        if self.request.method == "HEAD":
            rest: BodyReader | None = None
            first = b""
            headers = _with_length(response)
            self._session.background(response.body.discard())
        else:
            first, rest = inline_part(response.body)
        self._session.send_checked(
            frames.ResponseStart(
                stream=self.stream,
                status=response.status,
                headers=headers.items(),
                body=first,
                more=rest is not None,
                socket=grant,
                status_text=response.status_text,
            )
        )
        self._begun = True
        if rest is None:
            self._end()
            return
        self._sender = BodySender(self.stream, self._session, self._session.limits.body_window_bytes)
        self._sending = self._session.background(self._send_body(self._sender, rest))

    def _grant(self, response: Response) -> SocketGrant | None:
        end = response.web_socket
        if end is None:
            return None
        if not isinstance(end, GrantedEnd):
            raise WrongTypeError(
                "the WebSocket of this response belongs to no object: only an object can keep the other end; "
                "make the WebSocketPair in an object's fetch and return its response"
            )
        if not self.request.is_upgrade:
            raise InvalidStateError(
                "the response has a WebSocket, but the request did not ask for one: it was no upgrade"
            )
        return end.take(self._session)

    async def _send_body(self, sender: BodySender, chunks: BodyReader) -> None:
        try:
            await sender.run(chunks)
        except Exception as error:  # noqa: BLE001 - the body's source is the app's, and may raise anything
            self._session.observer.report("entrypoint.body_failed", "the body of a response broke off", error)
            self._break_off(error)
        else:
            self._end()

    def fail(self, error: BaseException) -> None:
        """There is no response, but this error."""
        if self._over:
            return
        if self._begun:
            self._break_off(error)
        elif self._session.role == "host":
            self._session.send(frames.StreamReset(self.stream, encode_error(error)))
            self._end()
        else:
            self._send(error_response(error, self.request, debug=self._session.debug))

    def _break_off(self, error: BaseException) -> None:
        reason = encode_error(error) if self._session.role == "host" else "the body broke off"
        self._session.send(frames.StreamReset(self.stream, reason))
        self._end()

    # -- what the peer says ------------------------------------------------------------------------------------------

    def chunk(self, frame: frames.BodyChunk) -> None:
        if self._body is not None and not self._body.finished:
            self._body.feed(frame.data)
            if not frame.more:
                self._body.end()
                self._forget()

    def credit(self, size: int) -> None:
        if self._sender is not None:
            self._sender.credit(size)

    def abandon(self, reason: str) -> None:
        """Nobody waits for the response any more."""
        if self._body is not None:
            self._body.fail(ClientGoneError(f"the body of the request broke off: {reason}"))
        self._end()
        for task in (self.task, self._sending):
            if task is not None:
                task.cancel()

    def _end(self) -> None:
        """The response is through. The body of the request may still be read, until it ends or the peer resets it."""
        self._over = True
        self._forget()

    def _forget(self) -> None:
        if self._over and (self._body is None or self._body.finished):
            self._session.answers.pop(self.stream, None)


def drop_end(response: Response) -> None:
    """The response will not be sent, so nobody will be the client of its WebSocket."""
    if isinstance(response.web_socket, GrantedEnd):
        response.web_socket.drop()


def _with_length(response: Response) -> Headers:
    """Headers of an answer to HEAD: with the length that the body of a GET would have, where it is known."""
    headers = response.headers.copy()
    whole = response.body.buffered
    if whole:
        headers.set_default("Content-Length", str(len(whole)))
    return headers
