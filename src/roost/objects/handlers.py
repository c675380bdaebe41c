"""The methods of a user's object that roost calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from roost.errors import InvalidStateError, ObjectError, WrongTypeError
from roost.objects.durable_object import DurableObject
from roost.request import Request
from roost.response import Response


class Handlers:
    """Bound methods of one instance, looked up once; None where the class has none."""

    __slots__ = ("alarm", "class_name", "close", "error", "fetch", "message", "message_is_async", "pre_shutdown")

    def __init__(self, instance: DurableObject) -> None:
        self.class_name = type(instance).__qualname__
        self.alarm: Callable[..., Any] | None = getattr(instance, "alarm", None)
        self.fetch: Callable[[Request], Any] | None = getattr(instance, "fetch", None)
        self.message: Callable[..., Any] | None = getattr(instance, "web_socket_message", None)
        self.message_is_async = inspect.iscoroutinefunction(self.message)
        """Calling it runs none of its code yet."""
        self.close: Callable[..., Any] | None = getattr(instance, "web_socket_close", None)
        self.error: Callable[..., Any] | None = getattr(instance, "web_socket_error", None)
        self.pre_shutdown: Callable[..., Any] | None = getattr(instance, "pre_shutdown", None)

    def answer(self, request: Request) -> Any:
        """Call `fetch`."""
        if self.fetch is None:
            raise ObjectError(f"{self.class_name} has no method fetch(self, request), so it answers no requests")
        return self.fetch(request)

    def checked(self, result: object, request: Request) -> Response:
        """What `fetch` returned, if it can be sent."""
        where = f"{self.class_name}.fetch"
        if not isinstance(result, Response):
            got = "None: is a `return` missing?" if result is None else f"{type(result).__name__}: {result!r:.80}"
            raise WrongTypeError(f"{where} must return a roost.Response, it returned {got}")
        if result.body_used:
            raise InvalidStateError(
                f"{where} returned a response whose body was read already: clone() it before reading"
            )
        if result.web_socket is not None and not request.is_upgrade:
            raise InvalidStateError(
                f"{where} returned a WebSocket, but the request did not ask for one: it has no `Upgrade: websocket`"
            )
        return result


def as_exception(error: BaseException) -> Exception:
    """What a caller gets of what a handler raised: exceptions as they are, what would stop the caller wrapped."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = ObjectError(f"the handler ended with {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
