"""One client's connection while it speaks HTTP.

(1) Requests are answered in the order in which they came, one at a time. What comes meanwhile waits, at most
    `client_buffer_bytes_max` of it; then the client is not read.
(2) At any time somebody is to act within a bound: the client (a head, more of a body, reading on) or the host.
(3) After a refusal that closes, the client still gets to read it: the connection lingers.
(4) With the answer to a WebSocket handshake the transport goes to a HeldConnection, with what was read ahead, and this
    object is done.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from roost.gateway.coding import PLAIN
from roost.gateway.exchange import Exchange, Lines
from roost.gateway.handshake import Offer, encode_acceptance, read_offer
from roost.gateway.held_sockets import SERVICE_RESTART
from roost.gateway.host_link import HostLink
from roost.gateway.http1 import RequestHead, RequestReader
from roost.gateway.keeper import Nobody
from roost.gateway.refusal import Refusal, unavailable
from roost.gateway.responses import CONTINUE, encode_head
from roost.gateway.static import Sending
from roost.gateway.websocket import HeldConnection
from roost.link.frames import SocketGrant

if TYPE_CHECKING:
    from roost.gateway.server import Gateway


class ClientConnection(asyncio.Protocol):
    """Also the Client of the exchange that is under way."""

    def __init__(self, gateway: Gateway) -> None:
        self.deadline_slot = 0
        self._gateway = gateway
        self._limits = gateway.limits
        self._deadlines = gateway.shared.deadlines
        self._reader = RequestReader(gateway.limits)
        self._transport: asyncio.Transport
        self._head: RequestHead | None = None
        """Of the request under way."""
        self._exchange: Exchange | None = None
        self._sending: Sending | None = None
        self._begun = False
        """Something of the response under way was written."""
        self._over = False
        self._advancing = False
        self._reading = True
        self._writable = True
        self._reading_head = False
        self._is_new = True
        self._fault: Refusal | None = None
        self._secure = False
        self._name = ""
        """As it was told for the first request."""

    # -- what the transport tells --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._secure = transport.get_extra_info("sslcontext") is not None
        if self._gateway.admit(self):
            self._deadlines.set(self, self._limits.head_seconds_max)
        elif self._gateway.can_refuse:
            self.refuse(unavailable("too many connections", close=True))
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._reader.feed(data)
        self._advance()

    def eof_received(self) -> bool:
        return False  # who ends its half is taken to be gone, as its answer has perhaps nobody to read it

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._exchange is not None:
            self._exchange.on_writable()
        elif self._sending is not None:
            self.expect_reader()
            self._sending.go_on()

    # -- requests, one after the other ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Go on with what has come; returns when bytes are missing or somebody else is to act."""
        if self._advancing:
            return
        self._advancing = True
        try:
            if self._exchange is not None:
                self._exchange.on_body()
            while self._head is None and not self._over and self._read_head():
                pass
        finally:
            self._advancing = False
        if not self._over:
            self._balance_reading()

    def _read_head(self) -> bool:
        try:
            head = self._reader.next_head()
            if head is None:
                self._expect_head()
                return False
            self._is_new = self._reading_head = self._begun = False
            self._head = head
            self._begin(head)
        except Refusal as refusal:
            self.refuse(refusal)
        return True

    def _expect_head(self) -> None:
        if not self._reader.buffered:
            if not self._is_new and not self.deadline_slot:
                self._deadlines.set(self, self._limits.keep_alive_seconds)
        elif not self._reading_head:
            self._reading_head = True
            if not self._is_new:
                self._deadlines.set(self, self._limits.head_seconds_max)

    def _begin(self, head: RequestHead) -> None:
        self._deadlines.clear(self)
        offer = read_offer(head)
        if offer is None and self._gateway.answer(self, head):
            return
        url = f"{self._scheme(head)}://{head.host or self._own_address()}{head.target}"
        if not head.target.startswith("/"):
            url = head.target
        gateway = self._gateway
        exchange = Exchange(self, head, url, offer, gateway.links, gateway.limits, gateway.observer)
        self._exchange = exchange
        exchange.begin()

    def _scheme(self, head: RequestHead) -> str:
        if self._gateway.trusts(self._transport.get_extra_info("peername")):
            forwarded = head.values("x-forwarded-proto")
            if forwarded and forwarded[-1].lower() in ("http", "https"):
                return forwarded[-1].lower()
        return "https" if self._secure else "http"

    def _own_address(self) -> str:
        return _address(self._transport.get_extra_info("sockname"))

    def _balance_reading(self) -> None:
        """Read on, unless enough waits here."""
        wanted = self._reader.buffered <= self._limits.client_buffer_bytes_max
        if wanted and not self._reading:
            self._transport.resume_reading()
        elif self._reading and not wanted:
            self._transport.pause_reading()
        self._reading = wanted

    # -- deadlines -----------------------------------------------------------------------------------------------------

    def on_deadline(self) -> None:
        exchange = self._exchange
        if self._sending is not None:
            self.abort()
        elif exchange is None:
            self._on_late_head()
        elif self._awaits_host:
            exchange.on_late()
        else:
            exchange.on_client_gone()
            if self._begun:
                self.abort()
            else:
                self.refuse(_too_slow("the request's body"))

    def _on_late_head(self) -> None:
        if self._reader.buffered:
            self.refuse(_too_slow("the request's head"))
        else:
            self._close()

    _awaits_host = False

    # -- what the exchange asks ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        if not self._name:
            self._name = _address(self._transport.get_extra_info("peername"))
        return self._name

    @property
    def keeps_alive(self) -> bool:
        return self._head is not None and self._head.keep_alive and not self._gateway.is_draining

    @property
    def body_ended(self) -> bool:
        return self._reader.body_ended

    @property
    def is_writable(self) -> bool:
        return self._writable

    def take_body(self, most: int) -> bytes:
        if self._fault is not None:
            return b""
        try:
            data = self._reader.take_body(most)
        except Refusal as refusal:
            self._fault = refusal
            asyncio.get_running_loop().call_soon(self._on_fault, refusal)
            return b""
        if not self._advancing:
            self._balance_reading()
        return data

    def _on_fault(self, refusal: Refusal) -> None:
        """The body under way turned out to be malformed or too large."""
        if self._over or self._exchange is None:
            return
        self._exchange.on_client_gone()
        if self._begun:
            self.abort()
        else:
            self.refuse(refusal)

    def expect_body(self) -> None:
        self._awaits_host = False
        self._deadlines.set(self, self._limits.body_idle_seconds_max)

    def expect_host(self, seconds: float) -> None:
        if not self._awaits_host or not self.deadline_slot:
            self._awaits_host = True
            self._deadlines.set(self, seconds)

    def expect_reader(self) -> None:
        self._awaits_host = False
        if self._writable:
            self._deadlines.clear(self)
        else:
            self._deadlines.set(self, self._limits.body_idle_seconds_max)

    def send_continue(self) -> None:
        self._transport.write(CONTINUE)

    def send_head(self, status: int, headers: Lines, keep_alive: bool, first: bytes = b"") -> None:
        self._begun = True
        if not any(name.lower() == "date" for name, _ in headers):
            headers.append(("Date", self._gateway.date()))
        if not keep_alive:
            headers.append(("Connection", "close"))
        elif self._head is not None and self._head.minor == 0:
            headers.append(("Connection", "keep-alive"))
        self._transport.write(encode_head(status, headers) + first)

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def send_file(self, sending: Sending) -> None:
        self._sending = sending
        sending.go_on()

    def finish(self, keep_alive: bool) -> None:
        keep_alive = keep_alive and self.keeps_alive and self._reader.body_ended
        self._head = self._exchange = self._sending = None
        self._deadlines.clear(self)
        if keep_alive:
            self._advance()
        else:
            self._linger()

    def refuse(self, refusal: Refusal) -> None:
        if self._over:
            return
        close = refusal.close or not self.keeps_alive or not self._reader.body_ended
        body = refusal.body()
        lines = [*refusal.lines(), ("Content-Length", str(len(body)))]
        unwanted = self._head is not None and self._head.method == "HEAD"
        self.send_head(refusal.status, lines, not close, b"" if unwanted else body)
        self._gateway.observer.notify("gateway.refused", status=refusal.status, name=refusal.name)
        self.finish(not close)

    def abort(self) -> None:
        self._leave()
        self._transport.abort()

    def switch(self, offer: Offer, headers: Lines, link: HostLink | None, grant: SocketGrant, protocol: str) -> None:
        if self._over:
            self._gateway.links.grant_refused(grant)
            return
        received = self._reader.take_rest()
        transport, gateway = self._transport, self._gateway
        self._leave()
        extensions, coding = gateway.shared.deflate.agree(offer.extensions) or ("", PLAIN)
        transport.write(encode_acceptance(offer, headers, gateway.date(), extensions))
        if link is None:
            gone = HeldConnection(transport, gateway.shared, Nobody(), coding=coding, behind=not self._writable)
            gone.start(received)
            gone.close(SERVICE_RESTART, "service restart")
            return
        socket = link.open_socket(grant, protocol)
        socket.connection = HeldConnection(transport, gateway.shared, socket, coding=coding, behind=not self._writable)
        socket.connection.start(received)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close_if_idle(self) -> None:
        """For a gateway that stops: a connection without a request under way has no reason to stay."""
        if self._head is None and not self._over:
            self._close()

    def _close(self) -> None:
        if self._transport.get_write_buffer_size():
            self._linger()  # it has an answer to read, and may not do so
        else:
            self._leave()
            self._transport.close()

    def _linger(self) -> None:
        self._leave()
        self._gateway.shared.lingerers.take(self._transport)

    def _leave(self) -> None:
        """Nothing of the connection is this object's business any more."""
        if self._over:
            return
        self._over = True
        self._deadlines.clear(self)
        self._gateway.forget(self)
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.on_client_gone()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None


def _too_slow(what: str) -> Refusal:
    message = f"{what} did not come in time"
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "RequestTimeout", message, close=True)


def _address(name: object) -> str:
    """`host:port` of a socket's name."""
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
