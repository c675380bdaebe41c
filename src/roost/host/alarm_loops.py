# Objects that ring without end: an alarm that sets itself anew at once keeps its object awake for ever, and seen from
# outside that looks like work.
#
#  (1) A minute is counted for an object when it rang more often in it than `rings_max`. After `minutes_max` of those,
#      one after the other, the object is in a loop, until a minute with fewer.
#  (2) Only the objects that rang last are remembered, a bounded number. One that rings every second stays among them.
"""Finding objects whose alarms ring without end."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from roost.ids import ObjectId

REMEMBERED_MAX = 10_000
MINUTE = 60.0


class _Count(msgspec.Struct):
    """How often an object rang in one minute."""

    minute: int
    rings: int = 0
    minutes: int = 0
    """So many minutes before this one were too many."""


class Loop(msgspec.Struct, frozen=True):
    """An object that rings without end."""

    object_id: ObjectId
    rings: int
    """Within the last minute that is over."""
    minutes: int
    """For how long."""


class AlarmLoops:
    """Counts; `now` is a monotonic time in seconds."""

    def __init__(self, *, rings_max: int, minutes_max: int) -> None:
        self._rings_max = rings_max
        self._minutes_max = minutes_max
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()
        self._loops: dict[bytes, Loop] = {}

    def rang(self, object_id: ObjectId, now: float) -> Loop | None:
        """The object was rung. The loop that it is in, when that was found just now."""
        minute = int(now // MINUTE)
        count = self._counts.setdefault(object_id.key, _Count(minute))
        self._counts.move_to_end(object_id.key)
        found = self._end_minute(object_id, count, minute) if count.minute != minute else None
        count.rings += 1
        if len(self._counts) > REMEMBERED_MAX:
            self._loops.pop(self._counts.popitem(last=False)[0], None)
        return found

    def _end_minute(self, object_id: ObjectId, count: _Count, minute: int) -> Loop | None:
        too_many = count.rings > self._rings_max and count.minute == minute - 1
        count.minutes = count.minutes + 1 if too_many else 0
        rings, count.rings, count.minute = count.rings, 0, minute
        known = self._loops.pop(object_id.key, None)
        if count.minutes < self._minutes_max:
            return None
        loop = self._loops[object_id.key] = Loop(object_id, rings, count.minutes)
        return loop if known is None else None

    def loops(self, now: float) -> list[Loop]:
        """The objects that are in a loop."""
        minute = int(now // MINUTE)
        return [loop for key, loop in self._loops.items() if self._counts[key].minute >= minute - 1]
