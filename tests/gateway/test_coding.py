from __future__ import annotations

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.framing import encode_message


def test_without_an_extension_messages_are_plain_and_shared() -> None:
    coding: Coding = PLAIN
    assert coding.shared
    assert coding.encode("é") == encode_message("é")
    assert coding.encode(b"\xff" * 70_000) == encode_message(b"\xff" * 70_000)
    assert coding.inflater() is None
    coding.close()
