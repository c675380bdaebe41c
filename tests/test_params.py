from __future__ import annotations

import pytest

from roost.params import Params


def test_a_name_has_its_first_value_and_all_of_them() -> None:
    params = Params("tag=a&x=1&tag=b")
    assert params["tag"] == "a"
    assert params.get_all("tag") == ["a", "b"]
    assert params.get_all("absent") == []
    assert params.get("absent", "default") == "default"
    assert dict(params) == {"tag": "a", "x": "1"}
    assert (len(params), list(params), "x" in params) == (2, ["tag", "x"], True)


def test_percent_plus_and_empty_values_are_read() -> None:
    assert dict(Params("a=%C3%A9+b&empty=&flag&%26=%3D")) == {"a": "é b", "empty": "", "flag": "", "&": "="}


def test_bytes_that_are_no_utf8_do_not_raise() -> None:
    assert Params("a=%ff")["a"] == "\ufffd"


def test_an_absent_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        _ = Params("")["x"]


@pytest.mark.parametrize("text", ["", "a", "a=", "=b", "=", "a=b=c", "&&a=1&", "a=1&a=2&b", "a;b=c", "\u00e9=\u00fc"])
def test_text_without_escapes_is_read_as_any_other(text: str) -> None:
    assert list(Params(text).items()) == list(Params(f"{text}&%61nother=").items())[:-1]
