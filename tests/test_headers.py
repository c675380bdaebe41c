from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidArgumentError, WrongTypeError
from roost.headers import Headers


def test_names_are_compared_without_case() -> None:
    headers = Headers({"Content-Type": "a"})
    assert headers["content-TYPE"] == headers.get("CONTENT-type") == "a"
    assert "content-type" in headers
    assert 5 not in headers


def test_lines_keep_their_order_and_spelling() -> None:
    headers = Headers([("B", "1"), ("a", "2"), ("b", "3")])
    assert headers.items() == [("B", "1"), ("a", "2"), ("b", "3")]
    assert list(headers) == headers.keys() == ["B", "a"]
    assert len(headers) == 2


def test_several_lines_of_a_name_are_joined_or_told_one_by_one() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")])
    assert headers["set-cookie"] == "a=1, b=2"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_an_absent_name_is_none_the_default_or_a_key_error() -> None:
    headers = Headers()
    assert headers.get("x") is None
    assert headers.get("x", "d") == "d"
    assert headers.get_all("x") == []
    with pytest.raises(KeyError, match="x"):
        _ = headers["x"]
    with pytest.raises(KeyError, match="x"):
        del headers["x"]


def test_set_replaces_every_line_at_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    headers["A"] = "4"
    assert headers.items() == [("A", "4"), ("b", "2")]
    headers.set("c", "5")
    assert headers.items()[-1] == ("c", "5")


def test_set_default_leaves_what_is_there() -> None:
    headers = Headers({"A": "1"})
    headers.set_default("a", "2")
    headers.set_default("b", "3")
    assert headers.items() == [("A", "1"), ("b", "3")]


def test_delete_removes_every_line() -> None:
    headers = Headers([("a", "1"), ("A", "2"), ("b", "3")])
    headers.delete("a")
    headers.delete("absent")
    assert headers.items() == [("b", "3")]
    del headers["B"]
    assert len(headers) == 0


def test_headers_are_made_of_mappings_pairs_and_headers() -> None:
    made = Headers({"a": "1", "b": "2"})
    assert made == Headers([("a", "1"), ("b", "2")]) == Headers(made) == Headers(iter([["a", "1"], ["b", "2"]]))  # type: ignore[arg-type]
    assert dict(made.items()) == {"a": "1", "b": "2"}
    assert dict(made) == {"a": "1", "b": "2"}


def test_a_copy_is_independent() -> None:
    first = Headers({"a": "1"})
    second = first.copy()
    second["a"] = "2"
    assert first["a"] == "1"


def test_equality_is_by_name_without_case_and_by_the_order_within_it() -> None:
    assert Headers([("a", "1"), ("b", "2")]) == Headers([("B", "2"), ("A", "1")])
    assert Headers([("a", "1"), ("a", "2")]) != Headers([("a", "2"), ("a", "1")])
    assert Headers() != {}


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\n", "(x)", "a\0"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="name of a header"):
        Headers({name: "x"})


@pytest.mark.parametrize("value", ["a\r\nb", "a\nSet-Cookie: x", "\r", "a\0", "€"])
def test_a_value_that_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="value of the header 'x' holds"):
        Headers().append("x", value)


@pytest.mark.parametrize("value", [5, b"x", None])
def test_a_value_of_another_type_is_refused_by_name(value: object) -> None:
    with pytest.raises(WrongTypeError, match="value of the header 'x' must be a str"):
        Headers({"x": value})  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["a: b", b"x", 5, [("a",)], ["ab"], [5], [("a", "b", "c")]])
def test_what_headers_cannot_be_made_of_is_refused(source: object) -> None:
    with pytest.raises(WrongTypeError):
        Headers(source)  # type: ignore[arg-type]


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    assert Headers({"a": " \tx y\t "})["a"] == "x y"


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "B", "c"]), st.text("xyz", max_size=3)), max_size=8))
def test_headers_behave_like_a_list_of_lines(lines: list[tuple[str, str]]) -> None:
    headers = Headers(lines)
    assert headers.items() == lines
    for name in "abc":
        assert headers.get_all(name) == [value for known, value in lines if known.lower() == name]
    assert Headers.trusted(lines) == headers
