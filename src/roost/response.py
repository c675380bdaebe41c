"""A response, as user code makes it and the rooms carry it."""

from __future__ import annotations

import builtins
import functools
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, overload

from roost.body import Body, BodyReader, BodySource
from roost.errors import InvalidArgumentError, InvalidStateError, WrongTypeError
from roost.headers import Headers, HeadersLike
from roost.json_text import encode_json

T = TypeVar("T")

NULL_BODY_STATUSES = frozenset((101, 204, 205, 304))
REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))
_NOT_A_PHRASE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class ClientEnd(Protocol):
    """The end of a WebSocket pair that goes to the client in a response."""

    def bind_to_response(self) -> None:
        """The end goes into a response. Raises when it was used, accepted, or is no end of a pair."""


class JsonMaker(Protocol):
    """What `Response.json` is on the class."""

    def __call__(
        self, value: object, *, status: int = 200, status_text: str = "", headers: HeadersLike | None = None
    ) -> Response: ...


class JsonReader(Protocol):
    """What `response.json` is on an instance."""

    @overload
    def __call__(self) -> Coroutine[Any, Any, Any]: ...
    @overload
    def __call__(self, kind: type[T]) -> Coroutine[Any, Any, T]: ...


class _Json:
    """`Response.json(value)` makes a response, `await response.json()` reads one: one name, as on the platform."""

    @overload
    def __get__(self, response: None, owner: type[Response]) -> JsonMaker: ...
    @overload
    def __get__(self, response: Response, owner: type[Response]) -> JsonReader: ...
    def __get__(self, response: Response | None, owner: type[Response]) -> Callable[..., Any]:
        return functools.partial(_json_response, owner) if response is None else response.body.json


class Response:
    """An HTTP response: `Response("text")`, `Response.json(value)`, `Response(None, status=101, web_socket=client)`.

    The body is bytes, text (sent as UTF-8, with `text/plain; charset=utf-8` unless another Content-Type is given), an
    iterable or async iterable of those, which is streamed, or another response's `body`. Headers may be changed until
    it is sent.

    Raises InvalidArgumentError for a status that is neither 101 nor 200-599, a body with a status that cannot have one,
    and a `web_socket` without status 101 or the other way round.
    """

    __slots__ = ("_body", "headers", "status", "status_text", "web_socket")

    def __init__(
        self,
        body: BodySource = None,
        *,
        status: int = 200,
        status_text: str = "",
        headers: HeadersLike | None = None,
        web_socket: ClientEnd | None = None,
    ) -> None:
        self.status = _checked_status(status)
        self.status_text = _checked_status_text(status_text)
        """The reason phrase; empty stands for the usual one of the status."""
        self.headers = Headers(headers)
        if body is not None and status in NULL_BODY_STATUSES:
            raise InvalidArgumentError(f"a response with status {status} cannot have a body")
        if isinstance(body, str):
            self.headers.set_default("Content-Type", "text/plain; charset=utf-8")
        self._body = Body(body)
        _check_web_socket(status, web_socket)
        self.web_socket = web_socket
        """The client's end of a WebSocket pair, with status 101."""
        if web_socket is not None:
            web_socket.bind_to_response()

    @classmethod
    def received(
        cls, status: int, headers: Headers, body: Body, *, status_text: str = "", web_socket: ClientEnd | None = None
    ) -> Response:
        """One that came over the link and was checked where it was made."""
        response = cls.__new__(cls)
        response.status, response.status_text, response.headers = status, status_text, headers
        response._body, response.web_socket = body, web_socket
        return response

    json = _Json()
    """`Response.json(value, status=, headers=)` makes a response of JSON; `await response.json()` reads this one's
    body.
    """

    @classmethod
    def from_json(
        cls, value: object, *, status: int = 200, status_text: str = "", headers: HeadersLike | None = None
    ) -> Response:
        """The same as `Response.json(value)`."""
        return _json_response(cls, value, status=status, status_text=status_text, headers=headers)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Response:
        """Send the client elsewhere; `status` is 301, 302, 303, 307 or 308."""
        if status not in REDIRECT_STATUSES:
            raise InvalidArgumentError(f"a redirection has status 301, 302, 303, 307 or 308, got {status!r}")
        return cls(None, status=status, headers={"Location": url})

    @property
    def ok(self) -> bool:
        """Whether the status is 200-299."""
        return 200 <= self.status <= 299

    @property
    def body(self) -> Body:
        return self._body

    @property
    def body_used(self) -> bool:
        """Whether the body was read, or moved into another response."""
        return self._body.used

    async def bytes(self) -> builtins.bytes:
        """The whole body. A body is read once; a second time raises InvalidStateError."""
        return await self._body.bytes()

    async def text(self) -> str:
        """The whole body as UTF-8 text."""
        return await self._body.text()

    def stream(self) -> BodyReader:
        """The body as it comes: `async for chunk in response.stream()`."""
        return self._body.stream()

    def clone(self) -> Response:
        """A copy with a body of its own. Raises InvalidStateError when the body was read, or with a WebSocket."""
        if self.web_socket is not None:
            raise InvalidStateError("a response with a WebSocket cannot be cloned: a client has one connection")
        return self.received(self.status, self.headers.copy(), self._body.clone(), status_text=self.status_text)

    def __repr__(self) -> str:
        return f"<Response {self.status}{' with a WebSocket' if self.web_socket is not None else ''}>"


def _json_response(
    owner: type[Response],
    value: object,
    *,
    status: int = 200,
    status_text: str = "",
    headers: HeadersLike | None = None,
) -> Response:
    response = owner(encode_json(value), status=status, status_text=status_text, headers=headers)
    response.headers.set_default("Content-Type", "application/json")
    return response


def _checked_status(status: object) -> int:
    if not isinstance(status, int) or isinstance(status, bool):
        raise WrongTypeError(f"the status of a response must be an int, got {type(status).__name__}")
    if status != 101 and not 200 <= status <= 599:
        raise InvalidArgumentError(f"the status of a response must be 101 or 200-599, got {status}")
    return status


def _checked_status_text(status_text: object) -> str:
    if not isinstance(status_text, str):
        raise WrongTypeError(f"the status_text of a response must be a str, got {type(status_text).__name__}")
    if _NOT_A_PHRASE.search(status_text):
        raise InvalidArgumentError(
            f"the status_text {status_text[:80]!r} holds a character that a status line cannot carry"
        )
    return status_text


def _check_web_socket(status: int, web_socket: object) -> None:
    if web_socket is None and status == 101:
        raise InvalidArgumentError("status 101 needs web_socket, the client's end of a WebSocketPair")
    if web_socket is not None and status != 101:
        raise InvalidArgumentError(f"a response with web_socket has status 101, got {status}")
    if web_socket is not None and not callable(getattr(web_socket, "bind_to_response", None)):
        kind = type(web_socket).__name__
        raise WrongTypeError(f"web_socket must be the client's end of a WebSocketPair, got {kind}")
