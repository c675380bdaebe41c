"""A moment, as people write it on the command line."""

from __future__ import annotations

import datetime

from roost.errors import InvalidArgumentError


def moment_ms(text: str) -> int:
    """Milliseconds since 1970: of `2026-11-24T12:30:00Z`, of `2026-11-24 12:30` in local time, or of the seconds since.

    Raises InvalidArgumentError for anything else.
    """
    try:
        return int(float(text) * 1000)
    except (ValueError, OverflowError):
        pass  # then it is a date
    try:
        return int(datetime.datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidArgumentError(
            f"{text!r} is no moment: write 2026-11-24T12:30:00Z, or '2026-11-24 12:30' for local time, or the seconds"
            " since 1970"
        ) from error


def shown(ms: int) -> str:
    """A moment for people to read, in UTC."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
