"""After a start, nothing is delivered until every gateway has said which sockets it holds."""

# Otherwise an object would wake to a part of its room, and a broadcast would miss the rest.
#
#  (1) It ends once every expected gateway has rolled, or after `roll_seconds_max`: one that is gone does not come.
#  (2) It ends once, for good. A gateway that comes later brings no sockets, or those of a link that broke.

from __future__ import annotations

from collections.abc import Callable, Iterable

from roost.clock import Clock, Timer


class RollCall:
    """Waits for the gateways of those numbers; `on_complete` callbacks are called in the order in which they came."""

    def __init__(self, expected: Iterable[int], *, seconds_max: float, clock: Clock) -> None:
        self._missing = set(expected)
        self._seconds_max = seconds_max
        self._clock = clock
        self._timer: Timer | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.complete = not self._missing

    def start(self) -> None:
        """Begin to count the seconds."""
        if not self.complete:
            self._timer = self._clock.call_later(self._seconds_max, self.end)

    def rolled(self, number: int) -> None:
        """The gateway with that number has told everything."""
        self._missing.discard(number)
        if not self._missing:
            self.end()

    def when_complete(self, callback: Callable[[], None]) -> None:
        """Call it at the end; at once when that was already."""
        if self.complete:
            callback()
        else:
            self._callbacks.append(callback)

    def close(self) -> None:
        """The host ends before it was over: what waits for it is never called."""
        self._callbacks.clear()
        self.end()

    def end(self) -> None:
        """Wait no longer."""
        self.complete = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
