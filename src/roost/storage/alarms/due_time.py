"""When an alarm is due: what a user gives, as milliseconds since the epoch."""

from __future__ import annotations

import datetime as dt

from roost.errors import InvalidArgumentError, WrongTypeError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
LATEST_MS = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND
"""What a datetime can still tell."""

When = int | dt.datetime | dt.timedelta


def due_ms(when: When, now_ms: int) -> int:
    """The time that is meant, in milliseconds; a time that is past is now.

    Raises WrongTypeError and InvalidArgumentError, which say what to give instead.
    """
    wanted = _milliseconds(when, now_ms)
    if wanted > LATEST_MS:
        raise InvalidArgumentError(f"the time of an alarm is an int of milliseconds until the year 9999, got {when!r}")
    return max(wanted, now_ms)


def _milliseconds(when: object, now_ms: int) -> int:
    if isinstance(when, dt.timedelta):
        return now_ms + _rounded_up(when)
    if isinstance(when, dt.datetime):
        wanted = _rounded_up(_aware(when) - _EPOCH)
    elif isinstance(when, int) and not isinstance(when, bool):
        wanted = when
    else:
        raise WrongTypeError(
            "the time of an alarm must be an int of milliseconds since the epoch, a datetime with a time zone, or a "
            f"timedelta from now; got {type(when).__name__}: {when!r:.80}"
        )
    if wanted <= 0:
        raise InvalidArgumentError(f"the time of an alarm must be after the epoch, 1970-01-01; got {when!r}")
    return wanted


def _aware(when: dt.datetime) -> dt.datetime:
    if when.utcoffset() is None:
        raise InvalidArgumentError(
            f"the time of an alarm must say in which time zone it is, {when!r} does not: use for instance "
            "datetime.now(timezone.utc)"
        )
    return when


def _rounded_up(span: dt.timedelta) -> int:
    """Whole milliseconds: an alarm never rings before its time."""
    whole, rest = divmod(span, _MILLISECOND)
    return whole + bool(rest)
