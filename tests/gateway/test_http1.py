"""RFC 9112: what is read, and what is refused because it could be read in two ways."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.gateway.http1 import RequestHead, RequestReader, parse_head
from roost.gateway.refusal import Refusal
from roost.limits import Limits

LIMITS = Limits(head_bytes_max=1_000, url_bytes_max=200, body_bytes_max=1_000)


def read(data: bytes, limits: Limits = LIMITS) -> RequestHead | None:
    reader = RequestReader(limits)
    reader.feed(data)
    return reader.next_head()


def request(*lines: str, first: str = "GET / HTTP/1.1", host: str | None = "Host: a") -> bytes:
    given_lines = [first, *([host] if host else []), *lines, "", ""]
    return "\r\n".join(given_lines).encode("latin-1")


def refused(data: bytes, limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(data, limits)
    assert caught.value.close, "after these bytes nobody knows where a request begins"
    return caught.value


def test_a_head_is_read_whole() -> None:
    head = read(request("X-A: 1", "x-a:  2 ", "Cookie: a=b", first="POST /p?q=1 HTTP/1.1"))
    assert head is not None
    assert (head.method, head.target, head.minor, head.host) == ("POST", "/p?q=1", 1, "a")
    assert head.headers == [("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "a=b")]
    assert head.values("x-a") == ["1", "2"]


@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_a_head_may_come_in_any_pieces(cuts: list[int]) -> None:
    data = request("X-Long: " + "v" * 60, "Content-Length: 3") + b"abc"
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reader = RequestReader(LIMITS)
    head = None
    for start, end in itertools.pairwise(places):
        reader.feed(data[start:end])
        head = head or reader.next_head()
    assert head is not None
    assert head.content_length == 3
    assert reader.take_body(10) == b"abc"
    assert reader.body_ended


def test_requests_are_read_one_at_a_time() -> None:
    reader = RequestReader(LIMITS)
    reader.feed(request(first="GET /1 HTTP/1.1") + request(first="GET /2 HTTP/1.1"))
    first, second = reader.next_head(), reader.next_head()
    assert first is not None
    assert second is not None
    assert (first.target, second.target) == ("/1", "/2")
    assert reader.next_head() is None


def test_empty_lines_before_a_request_are_skipped() -> None:  # section 2.2
    assert read(b"\r\n\r\n" + request()) is not None


class TestRequestLine:  # section 3
    @pytest.mark.parametrize(
        "line",
        [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET / HTTP/1,1",
            "GET / http/1.1",
            "GET / FTP/1.1",
            "GET /\x01 HTTP/1.1",
            "GET /é HTTP/1.1",
            "GET /#fragment HTTP/1.1",
            "GET noslash HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET http:// HTTP/1.1",
            "GET http://user@a/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
        ],
    )
    def test_what_is_no_request_line_is_refused(self, line: str) -> None:
        assert refused(request(first=line)).status == 400

    @pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"])
    def test_other_versions_are_refused(self, version: str) -> None:
        assert refused(request(first=f"GET / {version}")).status == 505

    @pytest.mark.parametrize("method", ["BREW", "get", "CONNECT"])
    def test_methods_that_are_not_supported(self, method: str) -> None:
        target = "a:1" if method == "CONNECT" else "/"
        assert refused(request(first=f"{method} {target} HTTP/1.1")).status == 501

    def test_an_absolute_target_names_the_host(self) -> None:  # section 3.2.2
        head = read(request(first="GET http://other:81/p?q HTTP/1.1"))
        assert head is not None
        assert (head.host, head.target) == ("other:81", "http://other:81/p?q")

    def test_a_target_too_long_is_414_before_it_is_whole(self) -> None:
        assert refused(b"GET /" + b"x" * 300).status == 414
        assert refused(request(first=f"GET /{'x' * 200} HTTP/1.1")).status == 414


class TestHeaders:  # section 5
    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: b\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        ],
    )
    def test_what_is_no_header_line_is_refused(self, data: bytes) -> None:
        assert refused(data).status == 400

    def test_values_are_latin_1(self) -> None:
        head = read(request("X: é"))
        assert head is not None
        assert head.values("x") == ["é"]

    def test_a_head_too_long_is_431_before_it_is_whole(self) -> None:
        assert refused(request("X: " + "v" * 1_000)[:-4]).status == 431
        assert refused(request("X: " + "v" * 1_000)).status == 431


class TestHost:  # section 3.2
    @pytest.mark.parametrize("value", ["a", "a.b:80", "127.0.0.1", "[::1]:8080", "a_b", "xn--bcher-kva.example"])
    def test_good(self, value: str) -> None:
        head = read(request(host=f"Host: {value}"))
        assert head is not None
        assert head.host == value

    @pytest.mark.parametrize("value", ["a b", "a/b", "user@a", "a:b", "a:80:81", "[::1", "a?b", "a\\b", "é"])
    def test_bad(self, value: str) -> None:
        assert refused(request(host=f"Host: {value}")).status == 400

    def test_there_must_be_one(self) -> None:
        assert refused(request(host=None)).status == 400
        assert refused(request("Host: b")).status == 400
        assert read(request(host=None, first="GET / HTTP/1.0")) is not None


class TestBodyLength:  # section 6
    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: 3", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 3"],
            ["Content-Length: 3", "Content-Length: 4"],
            ["Content-Length: 3", "Content-Length: 3"],
            ["Content-Length: 3, 3"],
            ["Content-Length: +3"],
            ["Content-Length: -3"],
            ["Content-Length: 0x3"],
            ["Content-Length: 3 3"],
            ["Content-Length:"],
            ["Content-Length: 99999999999999999999999999"],
            ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding: chunked, identity"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: \x0bchunked"],
        ],
    )
    def test_what_proxies_could_read_differently_is_refused(self, lines: list[str]) -> None:
        assert refused(request(*lines, first="POST / HTTP/1.1")).status in (400, 501)

    def test_other_codings_are_not_supported(self) -> None:
        assert refused(request("Transfer-Encoding: gzip, chunked", first="POST / HTTP/1.1")).status == 501

    def test_http_1_0_has_no_chunks(self) -> None:
        assert refused(request("Transfer-Encoding: chunked", first="POST / HTTP/1.0")).status == 400

    def test_a_length_above_the_limit_is_413(self) -> None:
        assert refused(request("Content-Length: 1001", first="POST / HTTP/1.1")).status == 413


class TestConnection:  # section 9.3
    @pytest.mark.parametrize(
        ("line", "version", "kept"),
        [
            ("X: y", "1.1", True),
            ("Connection: close", "1.1", False),
            ("Connection: Keep-Alive, Close", "1.1", False),
            ("X: y", "1.0", False),
            ("Connection: Keep-Alive", "1.0", True),
        ],
    )
    def test_keep_alive(self, line: str, version: str, kept: bool) -> None:
        head = read(request(line, first=f"GET / HTTP/{version}"))
        assert head is not None
        assert head.keep_alive is kept

    def test_expectations(self) -> None:
        head = read(request("Expect: 100-Continue"))
        assert head is not None
        assert head.expects_continue
        assert refused(request("Expect: miracles")).status == 417
        old = read(request("Expect: 100-continue", first="GET / HTTP/1.0"))
        assert old is not None
        assert not old.expects_continue


@given(data=st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise_than_by_refusal(data: bytes) -> None:
    with contextlib.suppress(Refusal):
        head = read(data)
        assert head is None or head.method


def test_the_lines_of_a_name_are_found_however_it_was_written() -> None:
    head = parse_head(b"GET / HTTP/1.1\r\nHost: a\r\nX-One: 1, A\r\nUpgrade:\r\nx-oNE: ,b ,\tC\r\n\r\n", LIMITS)
    assert head.values("x-one") == ["1, A", ",b ,\tC"]
    assert head.tokens("x-one") == ["1", "a", "b", "c"]
    assert head.values("x-two") == head.tokens("x-two") == head.tokens("upgrade") == []
    assert head.headers[1] == ("X-One", "1, A")
