"""`roost.fetch`: HTTP requests to the network, out of an object or an entrypoint."""

# What an outgoing request may rely on, and what its object may:
#
#  (1) It leaves through the object's output gate: not before everything written before the call is durable. Chunks of a
#      streamed body are effects too, each in its turn.
#  (2) It is sent when it is called, not when it is awaited. The answer comes in through the input gate: other events
#      may be delivered meanwhile.
#  (3) Until the answer's head is there the object stays awake, for at most `wait_until_seconds_max`.
#  (4) Connections are shared by all objects of a host, cookies by none: nothing is remembered of an answer.
#  (5) The exchange runs outside of the object, so that one whose gate is closed keeps no connection from another.

from __future__ import annotations

import asyncio
import functools
import http.cookiejar
from collections.abc import AsyncIterable, Awaitable
from typing import TYPE_CHECKING, Any

from roost.body import Body, BodyStream
from roost.errors import InvalidStateError, NetworkError
from roost.headers import Headers
from roost.host.outside import leave
from roost.limits import Limits
from roost.objects.streamed_body import StreamedBody
from roost.objects.tasks import current_activation
from roost.request import Request
from roost.response import REDIRECT_STATUSES, Response

if TYPE_CHECKING:
    import httpx

Reply = asyncio.Future[Response]

_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
"""Of one connection only (RFC 9110, section 7.6.1); a request that is passed on must not carry them along."""
_OF_THE_CODING = ("content-encoding", "content-length", "transfer-encoding")
"""True of the bytes on the wire, not of the decoded ones that the answer's body gives."""


def fetch(resource: str | Request, init: Request | None = None, **changes: Any) -> Awaitable[Response]:
    """Send an HTTP request to the network: `await fetch("https://example.org/", method="POST", json=value)`.

    Takes what `Request` takes; the result gives the response, whatever its status. Redirections are followed unless
    `redirect` is `manual` or `error`. Compressed bodies come decoded. Give it a time limit with `asyncio.timeout`.

    Raises InvalidArgumentError for what is no request, and InvalidStateError where no host runs. Awaited,
    raises NetworkError when the other end cannot be reached, breaks off, or redirects where it must not.
    """
    return _network().send(Request(resource, init, **changes))


class Network:
    """The connections of the hosts on one loop to the world. `acquire` and `release` count who needs it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._users = 0
        self._client: httpx.AsyncClient | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, request: Request) -> Reply:
        """Send the request as soon as the current object's output gate lets it."""
        reply: Reply = asyncio.get_running_loop().create_future()
        content = _content(request.body)
        activation = current_activation()
        if activation is not None:
            activation.background.keep_awake_for(reply)
        leave(functools.partial(self._begin, request, content, reply))
        return reply

    def _begin(self, request: Request, content: bytes | AsyncIterable[bytes] | None, reply: Reply) -> None:
        if reply.done():
            return  # nobody waits for it any more
        task = asyncio.ensure_future(self._exchange(request, content, reply))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

        def replied(reply: Reply) -> None:
            if reply.cancelled():
                task.cancel()

        reply.add_done_callback(replied)

    async def _exchange(self, request: Request, content: bytes | AsyncIterable[bytes] | None, reply: Reply) -> None:
        import httpx

        try:
            answer = await self._opened().send(
                httpx.Request(request.method, request.url, headers=_headers(request), content=content),
                stream=True,
                follow_redirects=request.redirect == "follow",
            )
        except httpx.HTTPError as error:
            _fail(reply, _network_error(request, error))
        except asyncio.CancelledError:
            _fail(reply, NetworkError(f"the host stopped before {request.url} had answered"))
            raise
        except Exception as error:  # noqa: BLE001 - a streamed body may raise anything, and the caller gets it
            _fail(reply, error)
        else:
            await self._answer(request, answer, reply)

    async def _answer(self, request: Request, answer: httpx.Response, reply: Reply) -> None:
        try:
            if request.redirect == "error" and answer.status_code in REDIRECT_STATUSES:
                _fail(reply, NetworkError(f"{request.url} redirects to {answer.headers.get('location', 'nowhere')!r}"))
            elif not reply.done():
                body = _AnswerBody(self._limits.body_window_bytes)
                head = _response_headers(answer)
                reply.set_result(
                    Response.received(answer.status_code, head, Body(body.stream), status_text=answer.reason_phrase)
                )
                await body.feed(request, answer)
        finally:
            await answer.aclose()

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            limits = self._limits
            no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
            self._client = httpx.AsyncClient(
                cookies=no_cookies,
                timeout=httpx.Timeout(limits.response_seconds_max, connect=limits.connect_seconds_max, pool=None),
                limits=httpx.Limits(max_connections=limits.outgoing_connections_max, max_keepalive_connections=100),
                headers={"User-Agent": "roost"},
            )
        return self._client

    # -- whose it is -------------------------------------------------------------------------------------------------

    def acquire(self) -> None:
        self._users += 1

    async def release(self) -> None:
        """One user less; the last one ends what is under way, and the connections."""
        self._users -= 1
        if self._users:
            return
        _NETWORKS.pop(asyncio.get_running_loop(), None)
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._client is not None:
            await self._client.aclose()


_NETWORKS: dict[asyncio.AbstractEventLoop, Network] = {}


def network_of_loop(limits: Limits) -> Network:
    """That of the running loop, made when there is none; to be acquired."""
    loop = asyncio.get_running_loop()
    if loop not in _NETWORKS:
        _NETWORKS[loop] = Network(limits)
    return _NETWORKS[loop]


def _network() -> Network:
    try:
        return _NETWORKS[asyncio.get_running_loop()]
    except (KeyError, RuntimeError) as error:
        raise InvalidStateError(
            "fetch can be called where roost runs: in an object or an entrypoint, on the event loop"
        ) from error


class _AnswerBody:
    """The body of an answer, read from the network no faster than it is read here."""

    def __init__(self, window: int) -> None:
        self._room = asyncio.Event()
        self.stream = BodyStream(window=window, on_consumed=lambda _: self._room.set(), on_closed=self._room.set)

    async def feed(self, request: Request, answer: httpx.Response) -> None:
        """Until it is through, breaks off, or nobody reads any more."""
        import httpx

        try:
            async for chunk in answer.aiter_bytes(chunk_size=min(self.stream.window, 64 * 1024)):
                await self._room_for(len(chunk))
                if self.stream.finished:
                    return
                self.stream.feed(chunk)
        except httpx.HTTPError as error:
            self.stream.fail(_network_error(request, error))
        except asyncio.CancelledError:
            self.stream.fail(NetworkError(f"the host stopped while {request.url} was answering"))
            raise
        else:
            self.stream.end()

    async def _room_for(self, size: int) -> None:
        while self.stream.size + size > self.stream.window and not self.stream.finished:
            self._room.clear()
            await self._room.wait()


def _content(body: Body) -> bytes | AsyncIterable[bytes] | None:
    """What is sent; a body that is streamed out of an object is produced inside it."""
    if body.buffered is not None:
        whole, _ = body.buffered, body.stream()
        return whole or None
    activation = current_activation()
    if activation is None:
        return body.stream()
    stream = StreamedBody(activation, body.stream())
    activation.streams[stream] = None
    return stream


def _headers(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers.items() if name.lower() not in (*_HOP_BY_HOP, "host")]


def _response_headers(answer: httpx.Response) -> Headers:
    decoded = "content-encoding" in answer.headers
    lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw]
    gone = _OF_THE_CODING if decoded else ("transfer-encoding",)
    return Headers.trusted((name, value) for name, value in lines if name.lower() not in gone)


def _network_error(request: Request, error: Exception) -> NetworkError:
    import httpx

    reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    what = str(error) or type(error).__name__
    failed = NetworkError(f"{request.method} {request.url} failed: {what}", retryable=not reached)
    failed.__cause__ = error
    return failed


def _fail(reply: Reply, error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
