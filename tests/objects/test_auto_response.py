from __future__ import annotations

from typing import Any

import pytest

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import Limits
from roost.objects.auto_response import WebSocketRequestResponsePair


def test_a_pair_has_its_two_texts_and_is_equal_to_the_same_pair() -> None:
    pair = WebSocketRequestResponsePair("ping", "pong")
    assert (pair.request, pair.response) == ("ping", "pong")
    assert pair == WebSocketRequestResponsePair("ping", "pong")
    assert pair != WebSocketRequestResponsePair("ping", "other")
    assert hash(pair) == hash(WebSocketRequestResponsePair("ping", "pong"))
    assert repr(pair) == "WebSocketRequestResponsePair('ping', 'pong')"


@pytest.mark.parametrize(("request_text", "response", "what"), [(b"ping", "pong", "request"), ("ping", 5, "response")])
def test_both_are_text(request_text: Any, response: Any, what: str) -> None:
    with pytest.raises(WrongTypeError, match=f"the {what} of an automatic response must be a str"):
        WebSocketRequestResponsePair(request_text, response)


def test_text_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="lone surrogate"):
        WebSocketRequestResponsePair("\ud800", "pong")


def test_one_that_is_too_long_is_refused_with_its_size_in_bytes() -> None:
    pair = WebSocketRequestResponsePair("ping", "ä" * 1025)
    with pytest.raises(LimitExceededError, match=r"the response .* may have 2048 bytes of UTF-8, this one has 2050"):
        pair.check(Limits())
