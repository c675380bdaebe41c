from __future__ import annotations

from typing import Any

import pytest

from roost.body import Body
from roost.errors import InvalidArgumentError, InvalidStateError, UnserialisableError, WrongTypeError
from roost.headers import Headers
from roost.request import Request

UPGRADE = {"Upgrade": "WebSocket", "Connection": "Upgrade"}


def test_a_url_alone_is_a_get_without_a_body() -> None:
    request = Request("http://x/a/b?c=d")
    assert (request.method, request.url, request.path) == ("GET", "http://x/a/b?c=d", "/a/b")
    assert (request.query_string, dict(request.query)) == ("c=d", {"c": "d"})
    assert len(request.headers) == 0
    assert request.body.buffered == b""
    assert request.client is None
    assert request.redirect == "follow"
    assert not request.is_upgrade


@pytest.mark.parametrize(
    ("url", "sent", "path"),
    [
        ("http://x", "http://x/", "/"),
        ("http://x?a", "http://x/?a", "/"),
        ("https://x:8443/a%2Fb", "https://x:8443/a%2Fb", "/a%2Fb"),
        ("http://x/a b/é?q=ö", "http://x/a%20b/%C3%A9?q=%C3%B6", "/a%20b/%C3%A9"),
        ("  http://x/ ", "http://x/", "/"),
        ("http://[::1]:80/", "http://[::1]:80/", "/"),
    ],
)
def test_a_url_is_made_ready_to_be_sent(url: str, sent: str, path: str) -> None:
    request = Request(url)
    assert (request.url, request.path) == (sent, path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/rooms", "an absolute URL such as 'http://object/path', got '/rooms'"),
        ("", "absolute"),
        ("x/y", "absolute"),
        ("//x/y", "absolute"),
        ("ftp://x/", "absolute"),
        ("http:///a", "absolute"),
        ("http://x:port/", "malformed"),
        ("http://x:99999/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://user:pass@x/", "Authorization header"),
        ("http://a b/", "must be ASCII"),
        ("http://bücher/", "xn--"),
        ("http://x/\ud800", "surrogate"),
    ],
)
def test_a_url_that_is_none_says_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        Request(url)


def test_a_url_of_another_type_is_refused() -> None:
    with pytest.raises(WrongTypeError, match="a str or a Request, got bytes"):
        Request(b"http://x")  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="second argument must be a Request, got dict"):
        Request("http://x", {"method": "POST"})  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "method"), [("post", "POST"), ("Patch", "PATCH"), ("QUERY", "QUERY")])
def test_methods_are_upper_case(given: str, method: str) -> None:
    assert Request("http://x", method=given).method == method


@pytest.mark.parametrize("method", ["", "A B", "GET\r\n", "É"])
def test_a_method_that_is_no_token_is_refused(method: str) -> None:
    with pytest.raises(InvalidArgumentError, match="method of a request must be a token"):
        Request("http://x", method=method)


def test_a_method_or_redirect_of_another_kind_is_refused() -> None:
    with pytest.raises(WrongTypeError, match="method of a request must be a str, got int"):
        Request("http://x", method=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="follow, manual, error, got 'maybe'"):
        Request("http://x", redirect="maybe")


async def test_bodies_and_their_default_types() -> None:
    text = Request("http://x", method="POST", body="é")
    assert (text.headers["content-type"], await text.bytes()) == ("text/plain; charset=utf-8", "é".encode())
    raw = Request("http://x", method="POST", body=b"\0")
    assert ("content-type" in raw.headers, await raw.bytes()) == (False, b"\0")
    value = Request("http://x", method="POST", json={"a": None})
    assert (value.headers["content-type"], await value.json()) == ("application/json", {"a": None})
    null = Request("http://x", method="POST", json=None)
    assert await null.text() == "null"
    own = Request("http://x", method="POST", json=1, headers={"content-type": "application/x"})
    assert own.headers.get_all("content-type") == ["application/x"]
    streamed = Request("http://x", method="POST", body=["a", b"b"])
    assert [chunk async for chunk in streamed.stream()] == [b"a", b"b"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_have_no_body(method: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"a {method} request cannot have a body"):
        Request("http://x", method=method, body="x")


def test_body_and_json_exclude_each_other() -> None:
    with pytest.raises(InvalidArgumentError, match="body or json, not both"):
        Request("http://x", method="POST", body="x", json=1)


def test_a_json_value_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UnserialisableError):
        Request("http://x", method="POST", json=object())


async def test_a_request_from_another_takes_over_what_is_not_given() -> None:
    first = Request.received("POST", "http://x/a?b", Headers({"A": "1"}), Body("body"), client="1.2.3.4:5")
    second = Request(first, headers={"B": "2"})
    assert (second.method, second.url, second.client) == ("POST", "http://x/a?b", "1.2.3.4:5")
    assert second.headers.items() == [("B", "2")]
    assert first.body_used
    assert await second.text() == "body"
    with pytest.raises(InvalidStateError, match="already read"):
        Request(first)


async def test_a_request_for_another_url_takes_over_the_rest() -> None:
    first = Request("http://x/a", method="PUT", body="body", redirect="follow")
    second = Request("http://y/b", first)
    assert (second.method, second.url, second.path, second.redirect) == ("PUT", "http://y/b", "/b", "follow")
    assert await second.text() == "body"


async def test_a_new_body_leaves_the_first_requests_alone() -> None:
    first = Request("http://x", method="POST", body="old")
    second = Request(first, body="new")
    assert (await first.text(), await second.text()) == ("old", "new")


def test_headers_of_a_copy_are_its_own() -> None:
    first = Request("http://x", headers={"a": "1"})
    second = Request(first)
    second.headers["a"] = "2"
    assert first.headers["a"] == "1"


async def test_a_clone_has_a_body_of_its_own() -> None:
    first = Request("http://x", method="POST", body=["a", "b"], headers=UPGRADE)
    second = first.clone()
    second.headers.delete("upgrade")
    assert (await second.text(), await first.text()) == ("ab", "ab")
    assert "upgrade" in first.headers
    with pytest.raises(InvalidStateError, match="clone it before"):
        first.clone()


def test_an_upgrade_is_a_get_with_its_header_that_the_gateway_has_checked() -> None:
    def received(checked: bool, headers: dict[str, str], method: str = "GET") -> Request:
        return Request.received(method, "http://x/", Headers(headers), Body(), is_upgrade=checked)

    assert received(True, UPGRADE).is_upgrade
    assert received(True, UPGRADE).clone().is_upgrade
    assert Request(received(True, UPGRADE)).is_upgrade
    assert not received(False, UPGRADE).is_upgrade
    assert not Request(received(False, UPGRADE)).is_upgrade
    assert not received(True, UPGRADE, "POST").is_upgrade
    assert not Request(received(True, UPGRADE), headers={}).is_upgrade
    assert Request("http://x", headers=UPGRADE).is_upgrade


async def test_forms_are_read() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    form = await Request("http://x", method="POST", body="a=1&a=2&b=%C3%A9", headers=headers).form()
    assert (form["a"], form.get_all("a"), form["b"]) == ("1", ["1", "2"], "é")


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", ""])
async def test_what_is_no_form_is_refused_and_can_still_be_read(kind: str) -> None:
    request = Request("http://x", method="POST", body=b"x", headers={"Content-Type": kind})
    with pytest.raises(InvalidArgumentError, match="form\\(\\) reads application/x-www-form-urlencoded"):
        await request.form()
    assert await request.bytes() == b"x"


async def test_json_is_checked_against_a_type() -> None:
    request = Request("http://x", method="POST", json=[1, 2])
    numbers: list[int] = await request.json(list[int])
    assert numbers == [1, 2]


@pytest.mark.parametrize("read", ["bytes", "text", "json"])
async def test_a_body_is_read_once(read: str) -> None:
    request = Request("http://x", method="POST", body="1")
    await getattr(request, read)()
    assert request.body_used
    later: Any = getattr(request, read)
    with pytest.raises(InvalidStateError, match="body already read"):
        await later()


def test_a_request_shows_itself() -> None:
    assert repr(Request("http://x/a", method="POST")) == "<Request POST http://x/a>"


async def test_a_request_that_is_handed_on_is_a_copy_to_which_the_body_moves() -> None:
    request = Request("http://a/b?c=d", method="POST", headers={"X": "y"}, body="text", redirect="manual")
    assert request.query["c"] == "d"
    other = request.handed_on()
    again = Request(other)
    for one in (other, again):
        assert (one.method, one.url, one.redirect, one.client) == ("POST", "http://a/b?c=d", "manual", None)
        assert (one.headers, one.query["c"], one.is_upgrade) == (request.headers, "d", request.is_upgrade)
    other.headers.set("X", "z")
    assert request.headers["X"] == "y"
    assert await again.text() == "text"
    with pytest.raises(InvalidStateError, match="already read"):
        request.handed_on()
