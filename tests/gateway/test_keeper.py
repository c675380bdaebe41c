"""A connection that nobody keeps any more."""

from __future__ import annotations

from roost.gateway.keeper import Nobody


def test_nobody_has_nothing_under_way() -> None:
    called: list[str] = []
    Nobody().when_finished(lambda: called.append("at once"))
    assert called == ["at once"]
