"""One request of a client and its answer, between the client's connection and a host.

(1) The request's body goes to the host as it comes, never more than the host has given credit for; while the host has
    not, the client is not read. The response's body goes the other way by the same rule.
(2) The response is delimited by the gateway: by length where it is known, else in chunks, else by the end of the
    connection. One that breaks off is never made to look whole.
(3) Until the response has begun, anything that goes wrong is an answer with a status. After that, the connection ends.
(4) A request that a lost host had not answered is answered 503, or, being a GET or HEAD without a body, given once
    more to a host that is up: the caller asked for nothing to be changed.
"""

from __future__ import annotations

import enum
import functools
import logging
from typing import Protocol

from roost.gateway.handshake import Offer, chosen_protocol
from roost.gateway.host_link import HostLink
from roost.gateway.host_links import HostLinks
from roost.gateway.http1 import RequestHead
from roost.gateway.refusal import Refusal, bad_gateway, unavailable
from roost.gateway.responses import LAST_CHUNK, encode_chunk, find_bad_header, has_no_body, without_ours
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import SocketGrant
from roost.observer import Observer

Lines = list[tuple[str, str]]

_log = logging.getLogger("roost.gateway")


class Client(Protocol):
    """The connection of the client whose request it is."""

    @property
    def name(self) -> str:
        """Its address, for the application."""

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can be used for a next request."""

    @property
    def body_ended(self) -> bool: ...

    @property
    def is_writable(self) -> bool:
        """Whether it has read what was written to it."""

    def take_body(self, most: int) -> bytes: ...

    def expect_body(self) -> None:
        """The client is to send more of the body now."""

    def expect_host(self, seconds: float) -> None:
        """The host is to do something within that time."""

    def expect_reader(self) -> None:
        """The client is to read on."""

    def send_continue(self) -> None: ...

    def send_head(self, status: int, headers: Lines, keep_alive: bool, first: bytes) -> None:
        """`first` is what the body begins with, as it is sent: one write for both."""

    def send(self, data: bytes) -> None: ...

    def finish(self, keep_alive: bool) -> None:
        """The response is complete."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with this; nothing of the response was sent."""

    def abort(self) -> None:
        """End the connection in a way that shows that the response is not whole."""

    def switch(self, offer: Offer, headers: Lines, link: HostLink | None, grant: SocketGrant, protocol: str) -> None:
        """Answer the handshake and hold the socket; without a link its host is gone."""


class _Framing(enum.Enum):
    """How the end of a response's body is told."""

    NONE = "no body"
    LENGTH = "length"
    CHUNKS = "chunks"
    CLOSE = "close"


class Exchange:
    """Also the Stream of the link that carries it."""

    def __init__(
        self,
        client: Client,
        head: RequestHead,
        url: str,
        offer: Offer | None,
        links: HostLinks,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self._client = client
        self._head = head
        self._url = url
        self._offer = offer
        self._links = links
        self._limits = limits
        self._observer = observer
        self._link: HostLink | None = None
        self._stream = 0
        self._window = limits.body_window_bytes
        self._body_sent = False
        self._again = head.method in ("GET", "HEAD") and not head.chunked and not head.content_length
        self._answered = False
        self._framing = _Framing.NONE
        self._left = 0
        self._owed = 0
        self._over = False

    def begin(self) -> None:
        """Give it to a host, now or as soon as one is there."""
        link = self._links.next_link()
        if link is not None:
            self.on_link(link)
        else:
            self._links.wait(self)
            self._client.expect_host(self._limits.host_wait_seconds_max)

    # -- the request ---------------------------------------------------------------------------------------------------

    def on_link(self, link: HostLink) -> None:
        self._link = link
        self._stream = link.open_stream(self)
        body = self._take_body()
        more = not self._client.body_ended
        self._body_sent = not more
        link.send(
            frames.RequestStart(
                stream=self._stream,
                target=None,
                method=self._head.method,
                url=self._url,
                headers=self._head.headers,
                body=body,
                more=more,
                upgrade=self._offer is not None,
                client=self._client.name,
            )
        )
        if more and self._head.expects_continue and not body:
            self._client.send_continue()
        self._expect()

    def on_body(self) -> None:
        """The client has sent something."""
        if self._link is None or self._body_sent:
            return
        while self._window > 0 and self._link.writable:
            data = self._take_body()
            ended = self._client.body_ended
            if not data and not ended:
                break
            self._link.send(frames.BodyChunk(self._stream, data, not ended))
            if ended:
                self._body_sent = True
                break
        self._expect()

    def _take_body(self) -> bytes:
        data = self._client.take_body(self._window)
        self._window -= len(data)
        return data

    def _expect(self) -> None:
        """Say who is to act next, so that neither can keep the other waiting for ever."""
        if self._answered:
            return
        if not self._body_sent and self._window > 0 and self._link is not None and self._link.writable:
            self._client.expect_body()
        elif self._offer is not None:
            self._client.expect_host(self._limits.handshake_seconds_max)
        else:
            self._client.expect_host(self._limits.response_seconds_max)

    def on_body_credit(self, size: int) -> None:
        self._window += size
        self.on_body()

    def on_link_writable(self) -> None:
        self.on_body()

    def on_client_gone(self) -> None:
        """The connection is lost, or is over for a reason of the client's."""
        self._end("the client went away")

    def on_late(self) -> None:
        """The host did not answer in time."""
        waited = self._link is not None
        self._end("no answer in time")
        if self._answered:
            self._client.abort()
        elif waited:
            self._client.refuse(Refusal(504, "Timeout", "the application did not answer in time", close=True))
        else:
            self._client.refuse(unavailable("no host is there to answer"))

    # -- the response --------------------------------------------------------------------------------------------------

    def on_response_start(self, frame: frames.ResponseStart) -> None:
        if self._answered:
            return
        refusal = self._find_fault(frame)
        if refusal is not None:
            if frame.socket is not None:
                self._links.grant_refused(frame.socket)
            self._note_bad_answer(refusal.message)
            self._end("the answer cannot be sent")
            self._client.refuse(refusal)
        elif frame.socket is not None:
            self._on_grant(frame, frame.socket)
        else:
            self._answer(frame)

    def _find_fault(self, frame: frames.ResponseStart) -> Refusal | None:
        if (frame.socket is not None) != (frame.status == 101):
            return bad_gateway("the application's answer has status 101 without a WebSocket, or the reverse")
        if frame.socket is not None and self._offer is None:
            return bad_gateway("the application accepted a WebSocket, but the request was no handshake")
        if frame.status != 101 and not 200 <= frame.status <= 599:
            return bad_gateway(f"the application answered with status {frame.status}")
        bad = find_bad_header(frame.headers)
        if bad is not None:
            return bad_gateway(f"the application's answer has a header that cannot be sent: {bad[:80]!r}")
        return None

    def _answer(self, frame: frames.ResponseStart) -> None:
        self._answered = True
        headers = self._delimit(frame)
        whole = not frame.more or self._framing is _Framing.NONE
        keep_alive = self._client.keeps_alive and self._body_sent and self._framing is not _Framing.CLOSE
        self._client.send_head(frame.status, headers, keep_alive, self._encoded(frame.body))
        if whole:
            if frame.more:  # a body that is not sent, such as that of a HEAD request
                self._reset("the body is not wanted")
            self._finish()
        else:
            self._client.expect_reader()
            self._credit(len(frame.body))

    def _delimit(self, frame: frames.ResponseStart) -> Lines:
        """Decide how the body ends; the header lines that say so with the application's."""
        headers = without_ours(frame.headers)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        rest = [line for line in headers if line[0].lower() != "content-length"]
        stated = int(lengths[0]) if len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdigit() else None
        if has_no_body(self._head.method, frame.status):
            self._framing = _Framing.NONE
            if stated is None and not frame.more and frame.body:
                stated = len(frame.body)
            said = stated is not None and frame.status not in (204,)
            return [*rest, ("Content-Length", str(stated))] if said else rest
        if not frame.more or stated is not None:
            self._framing = _Framing.LENGTH
            self._left = len(frame.body) if not frame.more or stated is None else stated
            return [*rest, ("Content-Length", str(self._left))]
        if self._head.minor == 1:
            self._framing = _Framing.CHUNKS
            return [*rest, ("Transfer-Encoding", "chunked")]
        self._framing = _Framing.CLOSE
        return rest

    def _encoded(self, data: bytes) -> bytes:
        """A part of the body, as it is sent."""
        if not data or self._framing is _Framing.NONE:
            return b""
        if self._framing is _Framing.LENGTH:
            data = data[: self._left]
            self._left -= len(data)
        return encode_chunk(data) if self._framing is _Framing.CHUNKS else data

    def _send(self, data: bytes) -> None:
        encoded = self._encoded(data)
        if encoded:
            self._client.send(encoded)
            self._client.expect_reader()

    def on_body_chunk(self, frame: frames.BodyChunk) -> None:
        if not self._answered:
            return
        if self._framing is _Framing.LENGTH and len(frame.data) > self._left:
            self._break_off("the body is longer than its Content-Length")
            return
        self._send(frame.data)
        if frame.more:
            self._credit(len(frame.data))
        elif self._framing is _Framing.LENGTH and self._left:
            self._break_off("the body is shorter than its Content-Length")
        else:
            self._finish()

    def _credit(self, size: int) -> None:
        self._owed += size
        if self._link is not None and self._owed and self._client.is_writable:
            self._link.send(frames.BodyCredit(self._stream, self._owed))
            self._owed = 0

    def on_writable(self) -> None:
        """The client has read what was sent to it."""
        if self._answered and not self._over:
            self._credit(0)
            self._client.expect_reader()

    def _finish(self) -> None:
        if self._framing is _Framing.CHUNKS:
            self._client.send(LAST_CHUNK)
        complete = self._body_sent
        if not complete:
            self._reset("the answer came before the end of the request")
        self._end(None)
        self._client.finish(complete and self._framing is not _Framing.CLOSE)

    def _break_off(self, reason: str) -> None:
        self._note_bad_answer(reason)
        self._end(reason)
        self._client.abort()

    def _note_bad_answer(self, reason: str) -> None:
        _log.warning("%s %s: %s", self._head.method, self._url, reason)
        self._observer.notify("gateway.bad_answer", url=self._url, reason=reason)

    def on_reset(self, reason: str) -> None:
        """The host gave the request up."""
        self._end(None)
        if self._answered:
            self._client.abort()
        else:
            self._client.refuse(bad_gateway("the application gave no answer"))

    def on_link_lost(self) -> None:
        self._link = None
        if self._answered:
            self._end(None)
            self._client.abort()
        elif self._again:
            self._again = False
            self.begin()
        else:
            self._end(None)
            message = "the host went away before it answered; whether the request was applied is not known"
            self._client.refuse(unavailable(message, close=not self._client.body_ended))

    # -- the switch to WebSocket ---------------------------------------------------------------------------------------

    def _on_grant(self, frame: frames.ResponseStart, grant: SocketGrant) -> None:
        assert self._offer is not None, "the answer was checked"
        try:
            protocol = chosen_protocol(self._offer, frame.headers)
        except ValueError as error:
            self._links.grant_refused(grant)
            self._note_bad_answer(str(error))
            self._end(None)
            self._client.refuse(bad_gateway(str(error)))
            return
        self._end(None)
        self._links.find_owner(grant, functools.partial(self._switch, frame.headers, grant, protocol))

    def _switch(self, headers: Lines, grant: SocketGrant, protocol: str, link: HostLink | None) -> None:
        assert self._offer is not None, "the answer was checked"
        self._client.switch(self._offer, headers, link, grant, protocol)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _reset(self, reason: str) -> None:
        if self._link is not None:
            self._link.send(frames.StreamReset(self._stream, reason))

    def _end(self, reset: str | None) -> None:
        """Nothing more goes to the host or comes from it."""
        if self._over:
            return
        self._over = True
        self._links.forget(self)
        if self._link is not None:
            if reset is not None:
                self._reset(reset)
            self._link.end_stream(self._stream)
