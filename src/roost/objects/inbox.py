"""The events that wait at the input gate."""

# An event that cannot begin at once waits here.
#
#  (1) Events leave in the order in which they came.
#  (2) A request that finds the inbox full is refused with OverloadedError: its sender can be told.
#  (3) What a socket sends is never refused. It is bounded at its source: the gateway does not read a client for which
#      too much is unfinished, and what the sockets of one object may have unfinished together is part of the inbox's
#      bound.
#  (4) The end of a socket is never refused: it is a fact, and small.

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from roost.errors import OverloadedError
from roost.events import Event, Fetch
from roost.limits import Limits
from roost.meter import Meter


class Inbox:
    """A queue of events, bounded in number and bytes, each with the ticket that it drew at the gate."""

    __slots__ = ("_bytes_max", "_events_max", "_meter", "_waiting", "size")

    def __init__(self, limits: Limits, meter: Meter) -> None:
        self._waiting: deque[tuple[int, Event]] = deque()
        self.size = 0
        """Bytes of what waits."""
        self._bytes_max = limits.inbox_bytes_max
        self._events_max = limits.inbox_events_max
        self._meter = meter

    def put(self, ticket: int, event: Event) -> None:
        """Let the event wait. Raises OverloadedError for a request that is one too many."""
        if type(event) is Fetch:
            self._check_room(event)
        self._waiting.append((ticket, event))
        self.size += event.size
        self._meter.queued(len(self._waiting))

    def _check_room(self, event: Fetch) -> None:
        if len(self._waiting) >= self._events_max:
            raise OverloadedError(f"{len(self._waiting)} events wait for the object already, that is its limit")
        if self.size + event.size > self._bytes_max:
            raise OverloadedError(
                f"{self.size} bytes wait for the object already, with {event.size} more it would be above its limit "
                f"of {self._bytes_max}"
            )

    def put_first(self, events: Iterable[Event]) -> None:
        """Events that came before all that wait, and had been set aside."""
        for event in reversed(list(events)):
            self._waiting.appendleft((0, event))
            self.size += event.size

    def first_ticket(self) -> int | None:
        """The ticket of the event that has waited longest."""
        return self._waiting[0][0] if self._waiting else None

    def take(self) -> Event:
        """The event that has waited longest; there must be one."""
        _, event = self._waiting.popleft()
        self.size -= event.size
        return event

    def empty(self) -> list[Event]:
        """All of them, in order; nothing waits afterwards."""
        events = [event for _, event in self._waiting]
        self._waiting.clear()
        self.size = 0
        return events

    def __len__(self) -> int:
        return len(self._waiting)
