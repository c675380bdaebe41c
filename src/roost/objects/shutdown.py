"""`pre_shutdown`: an object's last word before a planned end of its life."""

# An object that defines `pre_shutdown(self, info)` is told that its memory is about to go.
#
#  (1) It is called at most once in a life, before hibernation and before its host leaves; not before a reset, and not
#      where the host crashes. What may not be lost is better written when it happens.
#  (2) While it runs no event begins. What comes meanwhile is for the next life, or, when the host leaves, begins
#      afterwards.
#  (3) It may take `pre_shutdown_seconds_max`. What it raises is reported, and so is that it took too long; neither
#      keeps the end from coming.
#  (4) What it wrote is committed before the end, so the next constructor finds it.
#  (5) A class that does not define it pays nothing for it.

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from roost.clock import Timer
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation

INACTIVE = "inactive"
"""The object had nothing to do, or memory is short."""
CODE_UPDATED = "codeUpdated"
"""Another host follows at once: a deploy, or a saved file."""
STOPPING = "stopping"
"""The system stops."""


class ShutdownInfo(msgspec.Struct, frozen=True):
    """What `pre_shutdown` is told."""

    reason: str
    """`"inactive"`, `"codeUpdated"` or `"stopping"`."""


def _nothing() -> None:
    pass


class Shutdown:
    """Runs `pre_shutdown` of one activation."""

    def __init__(self, activation: Activation) -> None:
        self.running = False
        self._activation = activation
        self._called = False
        self._then: Callable[[], None] = _nothing
        self._on_end: Callable[[], None] = _nothing
        self._timer: Timer | None = None

    def call(self, reason: str, then: Callable[[], None], on_end: Callable[[], None] = _nothing) -> bool:
        """Run it and, in a turn of the loop of its own, call `then`; or `on_end`, when the activation ended meanwhile.

        False when there is nothing to run: then neither is called.
        """
        activation = self._activation
        handler = activation.delivery.pre_shutdown
        if handler is None or self._called or activation.ended or not activation.opened:
            return False
        self._called = self.running = True
        self._then, self._on_end = then, on_end
        activation.gate.close()
        limit = activation.surroundings.limits.pre_shutdown_seconds_max
        self._timer = activation.surroundings.clock.call_later(limit, lambda: self._too_long(limit))
        task = activation.tasks.start(_called(handler, ShutdownInfo(reason)), "pre_shutdown", self._done)
        task.listed = False
        return True

    def _done(self, task: ObjectTask) -> None:
        if self.running and not self._activation.ended:
            if task.error is not None:
                self._activation.report("pre_shutdown failed", task.error)
            self._activation.loop.call_soon(self._over)  # its turn has to end, and with it its writes to be committed

    def _too_long(self, seconds: float) -> None:
        error = TimeoutError(f"pre_shutdown was not through after {seconds:g} seconds")
        self._activation.report("pre_shutdown failed", error)
        self._over()

    def _over(self) -> None:
        if self.running:
            self._stop()
            self._then()

    def _stop(self) -> None:
        self.running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """The activation has ended."""
        if self.running:
            self._stop()
            self._on_end()


async def _called(handler: Callable[[ShutdownInfo], Any], info: ShutdownInfo) -> None:
    result = handler(info)
    if inspect.isawaitable(result):
        await result
