"""How an error leaves a host: as a response for a client, as text for another host."""

# docs/concepts/errors.md holds the same table for people.
#
#  (1) A client learns the status, and with `debug` also the error and its traceback; without it, nothing of the code.
#  (2) A caller on another host gets an error of the class it had, where roost has that class, else a RemoteError. The
#      first of its causes that has a class of roost's comes along: a full disk is a full disk there too.

from __future__ import annotations

import html
import traceback
from typing import Any

import msgspec

from roost import errors
from roost.errors import (
    HostLostError,
    OutputGateBrokenError,
    OverloadedError,
    RemoteError,
    RoostError,
    StorageFullError,
    UnavailableError,
)
from roost.request import Request
from roost.response import Response

RETRY_SECONDS = 1
"""What Retry-After says: a host is replaced well within it."""

_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (OverloadedError, 503),
    (HostLostError, 503),
    (UnavailableError, 503),
    (StorageFullError, 507),
    (TimeoutError, 504),
)
"""The first that fits; anything else is 500: whoever was wrong, it was the app's code and not the client's request."""

_TEXTS = {
    500: "The app failed to answer this request.",
    503: "The app cannot take this request now. Try again in a moment.",
    504: "The app took too long to answer this request.",
    507: "The app has no room left to store what this request would write.",
}


def status_of(error: BaseException) -> int:
    """The HTTP status that stands for the error. A broken output gate stands for what broke it."""
    if isinstance(error, OutputGateBrokenError) and error.__cause__ is not None:
        error = error.__cause__
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_response(error: BaseException, request: Request | None = None, *, debug: bool = False) -> Response:
    """What a client gets when the app failed: JSON where it asks for JSON, a page where it asks for one, else text."""
    status = status_of(error)
    text = _TEXTS[status]
    accept = (request.headers.get("accept") or "") if request is not None else ""
    if "application/json" in accept:
        response = Response.json(_as_json(error, text, debug=debug), status=status)
    elif debug and "text/html" in accept:
        response = Response(_as_page(error), status=status, headers={"Content-Type": "text/html; charset=utf-8"})
    else:
        response = Response(f"{_trace(error) if debug else text}\n", status=status)
    if status == 503:
        response.headers.set("Retry-After", str(RETRY_SECONDS))
    response.headers.set("Cache-Control", "no-store")
    return response


def _as_json(error: BaseException, text: str, *, debug: bool) -> dict[str, Any]:
    if not debug:
        return {"error": text}
    return {"error": str(error), "type": type(error).__name__, "traceback": _trace(error).splitlines()}


def _as_page(error: BaseException) -> str:
    title = html.escape(f"{type(error).__name__}: {error}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:16px/1.5 system-ui;margin:2rem}pre{background:#f4f4f4;padding:1rem;overflow:auto}"
        "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}pre{background:#222}}</style>"
        f"<h1>{title}</h1><pre>{html.escape(_trace(error))}</pre></html>\n"
    )


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


# -- between hosts -----------------------------------------------------------------------------------------------------


class _Told(msgspec.Struct, array_like=True):
    """An error as it crosses a link, in the reason of a StreamReset."""

    kind: str
    message: str
    traceback: str
    retryable: bool
    overloaded: bool
    roosts: bool
    """The class is one of roost.errors."""
    cause: tuple[str, str] | None = None
    """Class and message of the first cause that has a class of roost.errors."""


def encode_error(error: BaseException) -> str:
    """The error as text for another host."""
    remote = isinstance(error, RemoteError)
    cause = _roosts_cause(error)
    told = _Told(
        kind=error.kind if isinstance(error, RemoteError) else type(error).__name__,
        message=error.remote_message if isinstance(error, RemoteError) else str(error),
        traceback=error.remote_traceback if isinstance(error, RemoteError) else _trace(error),
        retryable=bool(getattr(error, "retryable", False)),
        overloaded=bool(getattr(error, "overloaded", False)),
        roosts=_is_roosts(error) and not remote,
        cause=None if cause is None else (type(cause).__name__, str(cause)),
    )
    return msgspec.json.encode(told).decode()


def decode_error(text: str) -> Exception:
    """The error that another host told of; HostLostError with the text itself where it told of none."""
    try:
        told = msgspec.json.decode(text, type=_Told)
    except msgspec.MsgspecError:
        return HostLostError(f"the answer broke off: {text}")
    error = _made(told.kind, told.message) if told.roosts else None
    if error is not None:
        error.add_note(f"on the object's host:\n{told.traceback}")
    else:
        error = RemoteError(
            told.kind, told.message, told.traceback, retryable=told.retryable, overloaded=told.overloaded
        )
    error.__cause__ = None if told.cause is None else _made(*told.cause)
    return error


def _is_roosts(error: BaseException) -> bool:
    return getattr(errors, type(error).__name__, None) is type(error)


def _roosts_cause(error: BaseException) -> BaseException | None:
    cause, seen = error.__cause__, {error}
    while cause is not None and cause not in seen:
        if _is_roosts(cause) and not isinstance(cause, RemoteError):
            return cause
        seen.add(cause)
        cause = cause.__cause__
    return None


def _made(name: str, message: str) -> RoostError | None:
    """The error of that class of roost's, or None when there is no such class."""
    kind = getattr(errors, name, None)
    if not isinstance(kind, type) or not issubclass(kind, RoostError) or kind is RemoteError:
        return None
    error = kind.__new__(kind)  # some take more than a message; what they carry beside it stays on their host
    Exception.__init__(error, message)
    return error
