"""What the gateway answers by itself when a request cannot be passed on."""

from __future__ import annotations

import json
from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A request that ends here with a status and a short JSON body.

    `{"error": {"name": ..., "message": ...}}`: the name is for programs, the message for people.
    """

    def __init__(
        self,
        status: int,
        name: str,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message
        self.headers = headers
        self.close = close
        """The connection cannot be used further: where the next request starts is not known, or there is none."""

    def body(self) -> bytes:
        return json.dumps({"error": {"name": self.name, "message": self.message}}, ensure_ascii=False).encode()

    def lines(self) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json; charset=utf-8"), *self.headers]


def bad_request(message: str) -> Refusal:
    """400: these are not the bytes of an HTTP request; nothing after them can be trusted."""
    return Refusal(HTTPStatus.BAD_REQUEST, "BadRequest", message, close=True)


def unavailable(message: str, *, retry_seconds: int = 1, close: bool = False) -> Refusal:
    """503: nothing was applied, or it is not known; come back later."""
    retry = (("Retry-After", str(retry_seconds)),)
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Unavailable", message, headers=retry, close=close)


def bad_gateway(message: str) -> Refusal:
    """502: the application's answer cannot be sent."""
    return Refusal(HTTPStatus.BAD_GATEWAY, "BadGateway", message)
