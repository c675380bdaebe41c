"""How long to wait before a process that died is started again."""

from __future__ import annotations

FIRST_SECONDS = 0.1
LAST_SECONDS = 5.0
STEADY_SECONDS = 10.0  # a process that lived so long did not die of its start


class Backoff:
    """The first death costs no wait; deaths in quick succession wait 0.1 s, then twice as long each time, up to 5 s."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait, given how long the process had lived."""
        if lived_seconds >= STEADY_SECONDS:
            self._next = 0.0
        delay = self._next
        self._next = min(LAST_SECONDS, max(FIRST_SECONDS, 2 * delay))
        return delay
