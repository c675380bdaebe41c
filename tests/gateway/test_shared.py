"""What the connections of a gateway share follows the limits."""

from __future__ import annotations

import asyncio

from tests.gateway.fake_clock import FakeClock

from roost.gateway.cork import Cork
from roost.gateway.deadlines import Deadlines
from roost.gateway.shared import Shared
from roost.limits import Limits


async def shared(limits: Limits) -> Shared:
    loop, clock = asyncio.get_running_loop(), FakeClock()
    return Shared(limits, Cork(loop, clock, limits.cork_seconds_max), Deadlines(clock))


async def test_parking_takes_as_long_as_the_limit_says_and_with_zero_there_is_none() -> None:
    parks = await shared(Limits(park_seconds=2.0))
    assert parks.park_slots == parks.deadlines.slots(2.0) > 0
    assert (await shared(Limits(park_seconds=0.0))).park_slots == 0
