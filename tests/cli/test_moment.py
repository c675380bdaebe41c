from __future__ import annotations

import pytest

from roost.cli.moment import moment_ms, shown
from roost.errors import InvalidArgumentError

NOW = 1_795_523_400_000 + 600_000
SAME = (
    "2026-11-24T12:30:00Z",
    "2026-11-24 12:30:00+00:00",
    "2026-11-24T13:30+01:00",
    "1795523400",
    "1795523400.0",
    "10m ago",
    "600 s",
)


@pytest.mark.parametrize("text", SAME)
def test_a_moment_is_a_date_or_seconds(text: str) -> None:
    assert moment_ms(text, NOW) == 1_795_523_400_000
    assert shown(moment_ms(text, NOW)) == "2026-11-24 12:30:00 UTC"


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert moment_ms("2026-11-24 14:30", NOW) == 1_795_523_400_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "inf", "nan", "12:30"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="write 2026-11-24T12:30:00Z"):
        moment_ms(text, NOW)
