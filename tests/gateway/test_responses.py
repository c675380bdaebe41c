from __future__ import annotations

import pytest

from roost.gateway.responses import DateLine, encode_chunk, encode_head, find_bad_header, has_no_body, without_ours


def test_a_head() -> None:
    assert encode_head(404, [("A", "é")]) == b"HTTP/1.1 404 Not Found\r\nA: \xe9\r\n\r\n"
    assert encode_head(299, []) == b"HTTP/1.1 299 \r\n\r\n"


def test_a_chunk() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_the_date_is_written_once_a_second() -> None:
    moments = iter([1_764_000_000.0, 1_764_000_000.9, 1_764_000_001.0])
    date = DateLine(lambda: next(moments))
    first, same, next_second = date(), date(), date()
    assert first == "Mon, 24 Nov 2025 16:00:00 GMT"
    assert same is first
    assert next_second == "Mon, 24 Nov 2025 16:00:01 GMT"


@pytest.mark.parametrize(
    "line", [("", "x"), ("a b", "x"), ("a:", "x"), ("é", "x"), ("a", "x\r\ny"), ("a", "\0"), ("a", "☃"), ("a", "\x7f")]
)
def test_lines_that_cannot_be_sent_are_found(line: tuple[str, str]) -> None:
    assert find_bad_header([("Good", "a\tb é"), line]) == line[0]


def test_good_lines_pass() -> None:
    assert find_bad_header([("X-Good_1", "a\tb é"), ("!#$", "")]) is None


def test_lines_about_the_connection_are_ours() -> None:
    lines = [("Connection", "x"), ("TRANSFER-ENCODING", "x"), ("Upgrade", "x"), ("Keep-Alive", "x"), ("X", "y")]
    assert without_ours(lines) == [("X", "y")]


@pytest.mark.parametrize(
    ("method", "status", "none"),
    [("GET", 200, False), ("HEAD", 200, True), ("GET", 204, True), ("GET", 304, True), ("POST", 404, False)],
)
def test_responses_without_a_body(method: str, status: int, none: bool) -> None:
    assert has_no_body(method, status) is none
