"""What the connections of one gateway share."""

from __future__ import annotations

import asyncio

from roost.gateway.cork import Cork
from roost.gateway.deadlines import Deadlines
from roost.gateway.deflate import Deflate
from roost.gateway.fragments import Allowance
from roost.gateway.lingering import Lingerers
from roost.gateway.message_reader import MessageReader
from roost.gateway.parking import Parking
from roost.limits import Limits


class Shared:
    """What all connections of a gateway have in common."""

    __slots__ = (
        "allowance",
        "close_seconds",
        "cork",
        "deadlines",
        "deflate",
        "limits",
        "lingerers",
        "park_slots",
        "parking",
        "ping_slots",
        "pong_slots",
        "reader",
    )

    def __init__(self, limits: Limits, cork: Cork, deadlines: Deadlines) -> None:
        self.limits = limits
        self.cork = cork
        self.deadlines = deadlines
        self.lingerers = Lingerers(deadlines, limits.close_seconds_max)
        self.deflate = Deflate(limits)
        self.allowance = Allowance(limits.inflated_bytes_max)
        self.close_seconds = limits.close_seconds_max
        self.ping_slots = deadlines.slots(limits.ping_seconds)
        self.pong_slots = deadlines.slots(limits.pong_seconds_max)
        self.park_slots = deadlines.slots(limits.park_seconds) if limits.park_seconds else 0
        """0: never."""
        self.parking = Parking(asyncio.get_running_loop())
        self.reader: MessageReader | None = None
        """Reads for all that have none of their own."""
