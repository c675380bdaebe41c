from __future__ import annotations

import pytest

from roost.gateway.extensions import Extension, read_extensions


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ([], ()),
        (["a"], (Extension("a"),)),
        (["a, b", "c"], (Extension("a"), Extension("b"), Extension("c"))),
        ([" a ;x ; y = 1,\tb"], (Extension("a", (("x", None), ("y", "1"))), Extension("b"))),
        (['a;x="1";x=2'], (Extension("a", (("x", "1"), ("x", "2"))),)),
        ([r'a; x="1\0"'], (Extension("a", (("x", "10"),)),)),
        ([",a,, b,"], (Extension("a"), Extension("b"))),
        ([""], ()),
    ],
)
def test_offers_are_read_in_their_order(lines: list[str], read: tuple[Extension, ...]) -> None:
    assert read_extensions(lines) == read


@pytest.mark.parametrize(
    "line",
    ["a b", "a;", "a;=1", "a; x=", 'a; x="', 'a; x=""', 'a; x="1 2"', 'a; x="1"2', "a(b)", ";x", "a; x=1=2", "@"],
)
def test_what_is_no_such_list_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"expected|must be"):
        read_extensions([line])
