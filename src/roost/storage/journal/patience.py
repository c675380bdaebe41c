"""Whether the loop itself may wait for the disk."""

from __future__ import annotations

_WINDOW = 64
_ALL = (1 << _WINDOW) - 1
_SLOW_MAX = 4
_STALL = 20


class Patience:
    """Knows how fast the disk was lately, by the syncs that it is told of; with `seconds_max` 0 no disk is fast.

    Not safe for threads.
    """

    __slots__ = ("_seconds_max", "_slow")

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._slow = _ALL
        """The last 64 syncs, a bit each, set where it was not shorter than `seconds_max`."""

    @property
    def is_there(self) -> bool:
        """Whether all but four of the last 64 syncs were so short that a hand-over to a thread would take as long, and
        the disk has not stalled since."""
        return self._slow.bit_count() <= _SLOW_MAX

    def took(self, seconds: float) -> None:
        """A sync took so long; one of twenty times `seconds_max` is a stall, and has all others forgotten."""
        if seconds >= self._seconds_max * _STALL:
            self._slow = _ALL
        else:
            self._slow = (self._slow << 1 | (seconds >= self._seconds_max)) & _ALL
