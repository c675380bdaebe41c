"""One request to an object of another host, until its response is complete."""

# (1) The caller gets exactly one response or error, and the body of the response to its end or an error.
# (2) A call may be repeated, once, when its owner went away before it answered: if it is a GET or HEAD without a body,
#     handshakes of WebSockets included. Their repetition is harmless by their meaning (RFC 9110 section 9.2.2); it is
#     what the gateways do too.
# (3) An answer that nobody waits for any more is told to the owner, and dropped.

from __future__ import annotations

import asyncio
from typing import Protocol

from roost.body import BodyReader, BodyStream
from roost.headers import Headers
from roost.host.failure import decode_error
from roost.host.router import Reply
from roost.host.streams import BodySender, Wire, inline_part, receive_body
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import ObjectRef, SocketGrant
from roost.request import Request
from roost.response import ClientEnd, Response

REPEATABLE = frozenset({"GET", "HEAD"})


class EndMaker(Protocol):
    """Makes client ends of the sockets that other hosts grant."""

    def end_of(self, grant: SocketGrant) -> ClientEnd: ...


class CallWire(Wire, Protocol):
    """The link that the call goes over."""

    limits: Limits
    calls: dict[int, RemoteCall]
    """Those under way, by stream."""


class RemoteCall:
    """A request on its way to its owner and back."""

    def __init__(self, link: CallWire, ref: ObjectRef, request: Request, reply: Reply) -> None:
        self._link = link
        self._ref = ref
        self._request = request
        self._reply = reply
        self._stream = 0
        self._repeated = False
        self._is_bodyless = False
        self._sender: BodySender | None = None
        self._sending: asyncio.Task[None] | None = None
        self._body: BodyStream | None = None
        reply.add_done_callback(self._replied)

    @property
    def what(self) -> str:
        """The object that is called, in words."""
        return f"{self._ref.binding} {self._ref.key.hex()[:12]}…"

    @property
    def over(self) -> bool:
        """Whether the caller has its response, its error, or no interest any more."""
        return self._reply.done()

    # -- the request ---------------------------------------------------------------------------------------------------

    def start(self, stream: int) -> None:
        """Send the request as that stream. Raises RoostError when it is none that the link carries."""
        self._stream = stream
        first, rest = (b"", None) if self._is_bodyless else inline_part(self._request.body)
        self._is_bodyless = not first and rest is None
        self._send_head(first, more=rest is not None)
        if rest is not None:
            self._sender = BodySender(stream, self._link, self._link.limits.body_window_bytes)
            self._sending = asyncio.ensure_future(self._send_body(self._sender, rest))

    def _send_head(self, first: bytes, *, more: bool) -> None:
        request = self._request
        self._link.send(
            frames.RequestStart(
                stream=self._stream,
                target=self._ref,
                method=request.method,
                url=request.url,
                headers=request.headers.items(),
                body=first,
                more=more,
                upgrade=request.is_upgrade,
                client=request.client or "",
            )
        )

    async def _send_body(self, sender: BodySender, chunks: BodyReader) -> None:
        try:
            await sender.run(chunks)
        except Exception as error:  # noqa: BLE001 - the body's source may raise anything, and the caller gets it
            self._sending = None
            self._link.send(frames.StreamReset(self._stream, "the body of the request broke off"))
            self.fail(error)

    def credit(self, size: int) -> None:
        """The owner has read so much of the body."""
        if self._sender is not None:
            self._sender.credit(size)

    def repeat(self) -> bool:
        """The owner is gone: whether to `start` again with its successor; see (2). True once at the most."""
        may = self._is_bodyless and self._request.method in REPEATABLE and not self._repeated and not self.over
        self._repeated = self._repeated or may
        return may

    # -- the response --------------------------------------------------------------------------------------------------

    def started(self, frame: frames.ResponseStart, ends: EndMaker) -> None:
        """The response begins."""
        end = ends.end_of(frame.socket) if frame.socket is not None else None
        if self._reply.done():
            return  # the end, which nobody holds, drops its grant
        body, self._body = receive_body(
            self._stream,
            frame.body,
            more=frame.more,
            wire=self._link,
            window=self._link.limits.body_window_bytes,
            on_closed=self._abandon,
        )
        headers = Headers.trusted(frame.headers)
        self._reply.set_result(
            Response.received(frame.status, headers, body, status_text=frame.status_text, web_socket=end)
        )
        if self._body is None:
            self._end()

    def chunk(self, frame: frames.BodyChunk) -> None:
        """The response goes on."""
        if self._body is not None:
            self._body.feed(frame.data)
            if not frame.more:
                self._body.end()
                self._end()

    def reset(self, reason: str) -> None:
        """The owner tells why there is no response, or no more of it."""
        self.fail(decode_error(reason))

    def fail(self, error: BaseException) -> None:
        """No response comes, or no more of it."""
        self._end()
        if not self._reply.done():
            self._reply.set_exception(error)
        elif self._body is not None:
            self._body.fail(error)

    def _replied(self, reply: Reply) -> None:
        if reply.cancelled():
            self._abandon()

    def _abandon(self) -> None:
        if self._link.calls.get(self._stream) is self:
            self._link.send(frames.StreamReset(self._stream, "nobody waits for the answer"))
        self._end()

    def _end(self) -> None:
        if self._link.calls.get(self._stream) is self:
            del self._link.calls[self._stream]
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            self._link.send(frames.StreamReset(self._stream, "the answer came before the end of the request"))
