"""The answer that a gateway gives by itself, so that a heartbeat does not wake its object."""

from __future__ import annotations

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import Limits


class WebSocketRequestResponsePair:
    """A text message and what answers it: give it to `ctx.set_web_socket_auto_response`."""

    __slots__ = ("_request", "_response")

    def __init__(self, request: str, response: str) -> None:
        self._request = _checked(request, "request")
        self._response = _checked(response, "response")

    @property
    def request(self) -> str:
        """The message that is answered; only one that is equal to it."""
        return self._request

    @property
    def response(self) -> str:
        return self._response

    def check(self, limits: Limits) -> None:
        """Raises LimitExceededError when one of the two is too long."""
        for what, text in (("request", self._request), ("response", self._response)):
            size = len(text.encode())
            if size > limits.auto_response_bytes_max:
                raise LimitExceededError(
                    f"the {what} of an automatic response may have {limits.auto_response_bytes_max} bytes of UTF-8, "
                    f"this one has {size}",
                    limit=limits.auto_response_bytes_max,
                    actual=size,
                )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WebSocketRequestResponsePair):
            return NotImplemented
        return (self._request, self._response) == (other._request, other._response)

    def __hash__(self) -> int:
        return hash((self._request, self._response))

    def __repr__(self) -> str:
        return f"WebSocketRequestResponsePair({self._request!r}, {self._response!r})"


def _checked(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise WrongTypeError(f"the {what} of an automatic response must be a str, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"the {what} of an automatic response has a lone surrogate") from error
    return text
