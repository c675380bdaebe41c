from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from roost.body import Body
from roost.errors import InvalidArgumentError, InvalidStateError, UnserialisableError, WrongTypeError
from roost.headers import Headers
from roost.response import Response


class End:
    """A client's end that counts how often it is bound, or refuses."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.bound = 0
        self.refusal = refusal

    def bind_to_response(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.bound += 1


async def test_a_response_is_200_and_empty_by_itself() -> None:
    response = Response()
    assert (response.status, response.status_text, response.ok) == (200, "", True)
    assert (response.headers.items(), await response.bytes()) == ([], b"")
    assert response.web_socket is None


async def test_text_and_json_have_their_type_unless_another_is_given() -> None:
    assert Response("é").headers["content-type"] == "text/plain; charset=utf-8"
    assert Response("x", headers={"content-type": "text/html"}).headers.get_all("content-type") == ["text/html"]
    assert "content-type" not in Response(b"x").headers
    assert Response.json(1).headers["content-type"] == "application/json"
    assert Response.json(1, headers={"Content-Type": "x/y"}).headers.get_all("content-type") == ["x/y"]


async def test_json_makes_a_response_on_the_class_and_reads_one_on_an_instance() -> None:
    made = Response.json({"a": [1]}, status=201, status_text="Made", headers={"B": "c"})
    assert (made.status, made.status_text, made.headers["b"]) == (201, "Made", "c")
    value: dict[str, list[int]] = await made.json(dict[str, list[int]])
    assert value == {"a": [1]}
    assert await Response.from_json([1]).json() == [1]


def test_json_of_a_subclass_is_of_it() -> None:
    class Page(Response):
        pass

    assert type(Page.json(1)) is Page
    assert type(Page.from_json(1)) is Page
    assert type(Page.redirect("/")) is Page


def test_a_value_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(UnserialisableError, match="object cannot be written as JSON"):
        Response.json(object())


async def test_bodies_are_streamed_out_of_iterables() -> None:
    async def chunks() -> AsyncIterator[bytes | str]:
        yield b"a"
        yield "b"

    mixed: list[str | bytes] = ["a", b"b"]
    assert [chunk async for chunk in Response(chunks()).stream()] == [b"a", b"b"]
    assert [chunk async for chunk in Response(iter(mixed)).stream()] == [b"a", b"b"]


async def test_the_body_of_another_response_moves() -> None:
    first = Response(iter(["a", "b"]))
    second = Response(first.body, headers={"X": "y"})
    assert first.body_used
    assert await second.text() == "ab"


@pytest.mark.parametrize("status", [200, 204, 304, 404, 599])
def test_statuses_that_may_be(status: int) -> None:
    assert Response(status=status).status == status


@pytest.mark.parametrize("status", [0, 100, 102, 199, 600, -1])
def test_statuses_that_may_not_be(status: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"must be 101 or 200-599, got {status}"):
        Response(status=status)


@pytest.mark.parametrize("status", ["200", 200.0, None, True])
def test_a_status_of_another_type_is_refused(status: Any) -> None:
    with pytest.raises(WrongTypeError, match="status of a response must be an int"):
        Response(status=status)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_statuses_without_a_body_refuse_one(status: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"status {status} cannot have a body"):
        Response("", status=status)
    with pytest.raises(InvalidArgumentError, match=f"status {status} cannot have a body"):
        Response.json(None, status=status)


def test_a_status_text_stays_on_its_line() -> None:
    assert Response(status_text="Fine").status_text == "Fine"
    with pytest.raises(InvalidArgumentError, match="status line"):
        Response(status_text="Fine\r\nX: y")
    with pytest.raises(WrongTypeError, match="status_text of a response must be a str"):
        Response(status_text=5)  # type: ignore[arg-type]


def test_a_web_socket_goes_with_101_and_101_with_a_web_socket() -> None:
    end = End()
    response = Response(None, status=101, web_socket=end)
    assert response.web_socket is end
    assert end.bound == 1
    with pytest.raises(InvalidArgumentError, match="status 101 needs web_socket"):
        Response(None, status=101)
    with pytest.raises(InvalidArgumentError, match="has status 101, got 200"):
        Response(None, web_socket=end)
    with pytest.raises(InvalidArgumentError, match="status 101 cannot have a body"):
        Response("x", status=101, web_socket=end)
    assert end.bound == 1, "an end is bound by a response that was made, and by no other"


def test_an_end_that_refuses_makes_no_response() -> None:
    with pytest.raises(InvalidStateError, match="used already"):
        Response(None, status=101, web_socket=End(InvalidStateError("used already")))


def test_what_is_no_end_is_refused() -> None:
    with pytest.raises(WrongTypeError, match="client's end of a WebSocketPair, got str"):
        Response(None, status=101, web_socket="socket")  # type: ignore[arg-type]


def test_a_received_response_binds_nothing() -> None:
    end = End()
    response = Response.received(101, Headers(), Body(), web_socket=end)
    assert (response.web_socket, end.bound) == (end, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections(status: int) -> None:
    response = Response.redirect("https://x/y", status)
    assert (response.status, response.headers["location"]) == (status, "https://x/y")
    assert Response.redirect("/y").status == 302


def test_a_redirection_needs_its_status_and_a_sendable_location() -> None:
    with pytest.raises(InvalidArgumentError, match="301, 302, 303, 307 or 308, got 200"):
        Response.redirect("/", 200)
    with pytest.raises(InvalidArgumentError, match="value of the header 'Location'"):
        Response.redirect("/\r\nSet-Cookie: x")


@pytest.mark.parametrize(("status", "ok"), [(200, True), (299, True), (300, False), (404, False)])
def test_ok_is_200_to_299(status: int, ok: bool) -> None:
    assert Response(status=status).ok is ok


async def test_a_clone_is_independent() -> None:
    first = Response(iter(["a", "b"]), status=404, headers={"x": "1"})
    second = first.clone()
    second.headers["x"] = "2"
    assert (await first.text(), await second.text(), second.status) == ("ab", "ab", 404)
    assert first.headers["x"] == "1"


def test_a_response_with_a_web_socket_cannot_be_cloned() -> None:
    with pytest.raises(InvalidStateError, match="cannot be cloned"):
        Response(None, status=101, web_socket=End()).clone()


async def test_a_body_is_read_once() -> None:
    response = Response("1")
    assert await response.text() == "1"
    for read in (response.json, response.bytes, response.text):
        with pytest.raises(InvalidStateError, match="body already read"):
            await read()


def test_a_response_shows_itself() -> None:
    assert repr(Response(status=404)) == "<Response 404>"
    assert repr(Response(status=101, web_socket=End())) == "<Response 101 with a WebSocket>"
