"""A request, as user code and the rooms see it."""

from __future__ import annotations

import builtins
import re
from typing import Any, TypeVar, overload
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from roost.body import Body, BodyReader, BodySource
from roost.errors import InvalidArgumentError, WrongTypeError
from roost.headers import Headers, HeadersLike, is_token
from roost.json_text import encode_json
from roost.params import Params

T = TypeVar("T")

_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
_KEPT = "".join(chr(code) for code in range(0x21, 0x7F))
_REDIRECTS = ("follow", "manual", "error")
_ABSENT: Any = object()


class Request:
    """An HTTP request: `Request(url, method="POST", body=...)`, or `Request(request, headers=...)` from another one.

    Made from another request it takes over its method, headers, redirect, client and unread body, but for what is
    given; `Request(url, request)` does the same with another URL. The body moves: the first request counts as read
    then; `request.clone()` copies. `json=` sends a value as JSON. Text without a Content-Type of its own is sent as
    `text/plain; charset=utf-8`.

    Raises InvalidArgumentError for a URL that is not absolute, a method that is no token, and a body with GET or HEAD.
    """

    __slots__ = ("_body", "_query", "_split", "_upgrade", "client", "headers", "method", "redirect", "url")

    def __init__(
        self,
        resource: str | Request,
        init: Request | None = None,
        *,
        method: str | None = None,
        headers: HeadersLike | None = None,
        body: BodySource = None,
        json: object = _ABSENT,
        redirect: str | None = None,
    ) -> None:
        base = _checked_init(init) or (resource if isinstance(resource, Request) else _PLAIN)
        self.url: str = resource.url if isinstance(resource, Request) else checked_url(resource)
        """Absolute; what cannot be sent literally is percent-encoded."""
        self.method: str = base.method if method is None else _checked_method(method)
        self.headers: Headers = Headers(base.headers if headers is None else headers)
        self.redirect: str = base.redirect if redirect is None else _checked_redirect(redirect)
        """What a `fetch` to the network does about redirections: `follow`, `manual` or `error`.

        The answers of objects are passed on as they are.
        """
        self.client: str | None = base.client
        """Address of the client as `host:port`, where there is one."""
        self._upgrade: bool = base._upgrade
        self._split: SplitResult | None = None
        self._query: Params | None = None
        self._body: Body = self._chosen_body(base, body, json)

    def _chosen_body(self, base: Request, body: BodySource, json: object) -> Body:
        if body is None and json is _ABSENT:
            return Body(base._body) if base is not _PLAIN else Body()
        if body is not None and json is not _ABSENT:
            raise InvalidArgumentError("a request takes body or json, not both")
        if self.method in ("GET", "HEAD"):
            raise InvalidArgumentError(f"a {self.method} request cannot have a body")
        if json is not _ABSENT:
            self.headers.set_default("Content-Type", "application/json")
            return Body(encode_json(json))
        if isinstance(body, str):
            self.headers.set_default("Content-Type", "text/plain; charset=utf-8")
        return Body(body)

    @classmethod
    def received(
        cls, method: str, url: str, headers: Headers, body: Body, *, client: str | None = None, is_upgrade: bool = False
    ) -> Request:
        """One that came over a connection and was checked there."""
        request = cls.__new__(cls)
        request.method, request.url, request.headers, request._body = method, url, headers, body
        request.client, request._upgrade, request.redirect = client or None, is_upgrade, "manual"
        request._split = request._query = None
        return request

    def handed_on(self) -> Request:
        """The same as `Request(request)`: another one with its own headers, to which the unread body moves."""
        request = Request.received(self.method, self.url, self.headers.copy(), Body(self._body), client=self.client)
        request._upgrade, request.redirect = self._upgrade, self.redirect
        request._split, request._query = self._split, self._query  # they cannot be changed
        return request

    @property
    def path(self) -> str:
        """The path as the URL writes it, percent-encoding kept: `/rooms/a%2Fb`."""
        return self._parts().path or "/"

    @property
    def query_string(self) -> str:
        """What stands behind `?` in the URL, without it."""
        return self._parts().query

    @property
    def query(self) -> Params:
        """The decoded parameters: `request.query.get("room", "default")`, `request.query.get_all("tag")`."""
        if self._query is None:
            self._query = Params(self.query_string)
        return self._query

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket, so that a response with status 101 may answer it."""
        return self._upgrade and self.method == "GET" and (self.headers.get("upgrade") or "").lower() == "websocket"

    @property
    def body(self) -> Body:
        return self._body

    @property
    def body_used(self) -> bool:
        """Whether the body was read, or moved into another request."""
        return self._body.used

    async def bytes(self) -> builtins.bytes:
        """The whole body. A body is read once; a second time raises InvalidStateError."""
        return await self._body.bytes()

    async def text(self) -> str:
        """The whole body as UTF-8 text."""
        return await self._body.text()

    @overload
    async def json(self) -> Any: ...
    @overload
    async def json(self, kind: type[T]) -> T: ...
    async def json(self, kind: Any = Any) -> Any:
        """The body read as JSON, checked against the type `kind` where one is given."""
        return await self._body.json(kind)

    def stream(self) -> BodyReader:
        """The body as it comes: `async for chunk in request.stream()`."""
        return self._body.stream()

    async def form(self) -> Params:
        """The fields of an `application/x-www-form-urlencoded` body. Raises InvalidArgumentError for another type;
        multipart is not read.
        """
        kind = (self.headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise InvalidArgumentError(
                f"form() reads application/x-www-form-urlencoded, this body is {kind or 'of no type'}"
            )
        return Params(await self._body.text())

    def clone(self) -> Request:
        """A copy with a body of its own. Raises InvalidStateError when the body was read before."""
        body = self._body.clone()
        request = Request.received(self.method, self.url, self.headers.copy(), body, client=self.client)
        request._upgrade, request.redirect = self._upgrade, self.redirect
        return request

    def _parts(self) -> SplitResult:
        if self._split is None:
            self._split = urlsplit(self.url)
        return self._split

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


_PLAIN = Request.received("GET", "", Headers(), Body(), is_upgrade=True)
_PLAIN.redirect = "follow"
"""What a request is where nothing else was said."""


def checked_url(url: object) -> str:
    """The absolute URL, ready to be sent.

    Raises WrongTypeError when it is no str, InvalidArgumentError that says what is missing or wrong otherwise.
    """
    if not isinstance(url, str):
        raise WrongTypeError(f"the URL of a request must be a str or a Request, got {type(url).__name__}")
    url = url.strip(" ")
    shown = repr(url[:200])
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidArgumentError(f"the URL {shown} is malformed: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgumentError(f"a request needs an absolute URL such as 'http://object/path', got {shown}")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgumentError(
            "the URL of a request cannot hold a user name or password; send an Authorization header"
        )
    if not parts.netloc.isascii() or _UNSENDABLE.search(parts.netloc):
        raise InvalidArgumentError(f"the host of the URL {shown} must be ASCII; write it in its xn-- form")
    if not parts.path:
        url = urlunsplit(parts._replace(path="/"))
    try:
        return quote(url, safe=_KEPT)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"the URL {shown} has a lone surrogate") from error


def _checked_init(init: object) -> Request | None:
    if init is None or isinstance(init, Request):
        return init
    kind = type(init).__name__
    raise WrongTypeError(f"the second argument must be a Request, got {kind}; give the rest by keyword")


def _checked_method(method: object) -> str:
    if not isinstance(method, str):
        raise WrongTypeError(f"the method of a request must be a str, got {type(method).__name__}")
    if not is_token(method):
        raise InvalidArgumentError(f"the method of a request must be a token such as 'POST', got {method[:80]!r}")
    return method.upper()


def _checked_redirect(redirect: str) -> str:
    if redirect not in _REDIRECTS:
        raise InvalidArgumentError(f"redirect must be one of {', '.join(_REDIRECTS)}, got {redirect!r}")
    return redirect
