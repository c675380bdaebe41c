"""A moment, as people write it on the command line."""

from __future__ import annotations

import datetime
import re

from roost.errors import InvalidArgumentError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)(?:\s+ago)?")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment_ms(text: str, now_ms: int) -> int:
    """Milliseconds since 1970: of `2026-11-24T12:30:00Z`, of `2026-11-24 12:30` in local time, of so long before now
    (`10m ago`), or of the seconds since 1970.

    Raises InvalidArgumentError for anything else.
    """
    found = _AGO.fullmatch(text.strip())
    if found is not None:
        return now_ms - int(float(found[1]) * _UNIT_MS[found[2]])
    try:
        return int(float(text) * 1000)
    except (ValueError, OverflowError):
        pass  # then it is a date
    try:
        return int(datetime.datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidArgumentError(
            f"{text!r} is no moment: write 2026-11-24T12:30:00Z, or '2026-11-24 12:30' for local time, or '10m ago', or"
            " the seconds since 1970"
        ) from error


def shown(ms: int) -> str:
    """A moment for people to read, in UTC."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
