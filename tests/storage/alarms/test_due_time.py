from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidArgumentError, WrongTypeError
from roost.storage.alarms.due_time import LATEST_MS, due_ms

NOW = 1_700_000_000_000
UTC = dt.UTC


def test_milliseconds_are_taken_as_they_are() -> None:
    assert due_ms(NOW + 1, NOW) == NOW + 1
    assert due_ms(LATEST_MS, NOW) == LATEST_MS


@pytest.mark.parametrize("past", [1, NOW - 1, dt.datetime(1999, 1, 1, tzinfo=UTC), dt.timedelta(seconds=-5)])
def test_what_is_past_is_now(past: Any) -> None:
    assert due_ms(past, NOW) == NOW


def test_a_datetime_means_its_instant_in_whatever_zone() -> None:
    in_berlin = dt.datetime(2030, 1, 1, 1, 0, 0, 500, tzinfo=ZoneInfo("Europe/Berlin"))
    assert due_ms(in_berlin, NOW) == due_ms(in_berlin.astimezone(UTC), NOW) == 1_893_456_000_001  # never early


def test_a_timedelta_is_from_now() -> None:
    assert due_ms(dt.timedelta(seconds=1.5), NOW) == NOW + 1500
    assert due_ms(dt.timedelta(), NOW) == NOW
    assert due_ms(dt.timedelta(microseconds=1), NOW) == NOW + 1


@pytest.mark.parametrize("when", ["soon", None, True, 1.5, dt.date(2030, 1, 1)])
def test_other_kinds_are_refused_with_what_is_expected(when: Any) -> None:
    with pytest.raises(WrongTypeError, match=f"datetime with a time zone.*timedelta.*got {type(when).__name__}"):
        due_ms(when, NOW)


def test_a_datetime_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"in which time zone.*timezone\.utc"):
        due_ms(dt.datetime(2030, 1, 1), NOW)


@pytest.mark.parametrize("when", [0, -1, dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(1900, 1, 1, tzinfo=UTC)])
def test_nothing_is_due_before_the_epoch(when: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="after the epoch"):
        due_ms(when, NOW)


@pytest.mark.parametrize("when", [LATEST_MS + 1, 2**63, dt.timedelta.max])
def test_what_no_date_can_tell_is_refused(when: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="9999"):
        due_ms(when, NOW)


@given(st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_a_datetime_is_never_rounded_down(when: dt.datetime) -> None:
    rung = dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(milliseconds=due_ms(when, 0))
    assert when <= rung < when + dt.timedelta(milliseconds=1)
