"""What the `alarm` method of an object is told."""

from __future__ import annotations

import msgspec


class AlarmInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which alarm rings, and for the how manieth time."""

    retry_count: int = 0
    """How many times it was tried before, and failed."""
    scheduled_time: int
    """When it was to ring, in milliseconds since the epoch: what was given to `set_alarm`, in a retry too."""
    key: str | None = None
    """The key that it was set with; None for the alarm without one."""

    @property
    def is_retry(self) -> bool:
        """Whether it was tried before."""
        return self.retry_count > 0
