from __future__ import annotations

import pytest

from roost.gateway.fragments import Fragments


def test_a_text_may_be_cut_inside_a_character() -> None:
    whole = "naïve ☃"
    data = whole.encode()
    for at in range(len(data) + 1):
        fragments = Fragments(is_text=True)
        fragments.add(data[:at], False)
        fragments.add(data[at:], True)
        assert (fragments.joined(), fragments.size) == (whole, len(data))


def test_bytes_stay_as_they_are() -> None:
    fragments = Fragments(is_text=False)
    for part in (b"\xff", b"", b"\xfe"):
        fragments.add(part, False)
    assert fragments.joined() == b"\xff\xfe"


@pytest.mark.parametrize("parts", [(b"\xff",), (b"\xc3", b"x"), (b"a", b"\xc3")])
def test_a_text_that_cannot_be_valid_is_refused(parts: tuple[bytes, ...]) -> None:
    fragments = Fragments(is_text=True)
    *first, last = parts
    for part in first:
        fragments.add(part, False)
    with pytest.raises(UnicodeDecodeError):
        fragments.add(last, True)
