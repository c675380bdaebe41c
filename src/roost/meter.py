"""What one object did and used. What could be billed and what happened are kept apart, so nothing here is rounded or
weighted.
"""

from __future__ import annotations

from typing import Any

_SUMS = (
    "wakes",
    "turns",
    "active_ms",
    "cpu_ms",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "auto_responses",
    "drops",
    "rows_read",
    "rows_written",
    "commits",
    "sync_ms",
    "stored_bytes",
    "alarm_runs",
    "alarm_retries",
    "alarms_failed",
)
_PEAKS = ("queue_high_water",)
_KINDS = ("events", "activations", "errors", "resets", "pinned_ms")


class Meter:
    """Counters of one object, or, merged, of many. The plain ones are attributes to add to; the others are told by
    name.

    `wakes`: activations out of hibernation. `turns`: runs of user code between two waits. `active_ms`: wall time with
    an event under way. `cpu_ms`: the part of it on the processor. `messages_in/out`, `bytes_in/out`: WebSocket
    messages, and all bytes. `auto_responses`: answered by a gateway. `drops`: messages that a bound cost.
    `rows_read/written`, `commits`, `sync_ms` (waited for durability), `stored_bytes` (now). `alarm_runs`, those of
    them that were `alarm_retries`, and `alarms_failed`, given up after the last. `queue_high_water`: most events that
    waited at once. By kind: `events`, `activations` (cause), `errors`, `resets` (cause), `pinned_ms`
    (reason why it could not hibernate).
    """

    __slots__ = (*_SUMS, *_PEAKS, "_kinds")

    def __init__(self) -> None:
        self.wakes = 0
        self.turns = 0
        self.active_ms = 0.0
        self.cpu_ms = 0.0
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.auto_responses = 0
        self.drops = 0
        self.rows_read = 0
        self.rows_written = 0
        self.commits = 0
        self.sync_ms = 0.0
        self.stored_bytes = 0
        self.alarm_runs = 0
        self.alarm_retries = 0
        self.alarms_failed = 0
        self.queue_high_water = 0
        self._kinds: dict[tuple[str, str], float] = {}

    def event(self, kind: str, count: int = 1) -> None:
        """An event was delivered, or so many: `"fetch"`, `"socket_message"`, `"socket_closed"`, …"""
        self._add("events", kind, count)

    def activation(self, cause: str) -> None:
        """The object was constructed because of that."""
        self._add("activations", cause, 1)

    def error(self, kind: str) -> None:
        """User code or the object failed: the name of the exception's class."""
        self._add("errors", kind, 1)

    def reset(self, cause: str) -> None:
        """The activation ended other than by hibernation."""
        self._add("resets", cause, 1)

    def pinned(self, reason: str, ms: float) -> None:
        """For so long nothing ran, and the object could not hibernate for that reason."""
        self._add("pinned_ms", reason, ms)

    def queued(self, count: int) -> None:
        """So many events wait now."""
        if count > self.queue_high_water:
            self.queue_high_water = count

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values: numbers, and a dict for what is told by kind."""
        told: dict[str, Any] = {name: getattr(self, name) for name in (*_SUMS, *_PEAKS)}
        told.update({name: {} for name in _KINDS})
        for (name, kind), amount in self._kinds.items():
            told[name][kind] = amount
        return told

    def merge(self, other: Meter) -> None:
        """Add the other's counts to these; of high-water marks the higher one stays."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _PEAKS:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        for (name, kind), amount in other._kinds.items():
            self._add(name, kind, amount)

    def _add(self, name: str, kind: str, amount: float) -> None:
        key = (name, kind)
        self._kinds[key] = self._kinds.get(key, 0) + amount
