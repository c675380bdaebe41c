from __future__ import annotations

import pytest

from roost.alarm_info import AlarmInfo


def test_the_first_run_is_no_retry() -> None:
    info = AlarmInfo(scheduled_time=5)
    assert (info.retry_count, info.is_retry, info.key) == (0, False, None)
    assert AlarmInfo(scheduled_time=5, retry_count=1).is_retry


def test_nobody_changes_what_it_says() -> None:
    with pytest.raises(AttributeError):
        AlarmInfo(scheduled_time=5).scheduled_time = 6  # type: ignore[misc]
