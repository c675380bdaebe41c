"""What keeps an object in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roost.meter import Meter

if TYPE_CHECKING:
    from roost.objects.activation import Activation


class PinnedTime:
    """Meters for how long nothing ran and no event was under way, and yet the object could not sleep, by the reason.

    It learns of it when somebody asks what pins the object, as the host does every second or so; what was between a
    look and the next turn is not seen.
    """

    __slots__ = ("_meter", "_reason", "_since")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._reason: str | None = None
        self._since = 0.0

    def look(self, reasons: list[str], now: float, last_turn: float) -> None:
        """Somebody asked, and these are the reasons."""
        if self._reason is not None:
            idle = now - max(self._since, last_turn)
            if idle > 0:
                self._meter.pinned(self._reason, idle * 1000)
        # The names of tasks would make a kind each.
        self._reason = None if not reasons else "task" if reasons[0].startswith("task ") else reasons[0]
        self._since = now


def pins(activation: Activation) -> list[str]:
    """Why it may not hibernate now, in words; empty when it may."""
    return [*unfinished(activation), *lingering(activation)]


def unfinished(activation: Activation) -> list[str]:
    """What a drain waits for: it ends by itself."""
    gate = activation.gate
    reasons: list[str] = []
    if gate.events:
        reasons.append("1 event under way" if gate.events == 1 else f"{gate.events} events under way")
    if gate.inbox:
        reasons.append("1 event waiting" if len(gate.inbox) == 1 else f"{len(gate.inbox)} events waiting")
    if activation.starting and not activation.ended:
        reasons.append("being constructed")
    if gate.inner is not gate.root or gate.root.queue:
        reasons.append("critical section")
    if activation.shutdown.running:
        reasons.append("pre_shutdown")
    if activation.periodics.leaving and activation.periodics.dirty:
        reasons.append("changes that are not flushed yet")
    if activation.streams:
        reasons.append("streamed body")
    if activation.background.busy:
        reasons.append("wait_until")
    if activation.background.expects_answer:
        reasons.append("outgoing request")
    if activation.output_gate.pending or not activation.outbox.is_empty:
        reasons.append("writes that are not durable yet")
    return reasons


def lingering(activation: Activation) -> list[str]:
    """What may go on for ever."""
    reasons = ["active WebSocket"] if activation.sockets.active else []
    if activation.periodics.failing:
        reasons.append("changes that could not be flushed")
    for task in activation.tasks.live:
        if task.event is None and task.listed:
            reasons.append(f"task {task.get_name()}")
    return reasons
