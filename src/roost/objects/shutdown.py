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
#  (5) What is to be flushed (`periodic.py`) is flushed before it, and what it changed after it. Where that cannot be
#      done before hibernation, it is not called, and the object stays awake.
#  (6) A class that does not define it and has nothing to flush pays nothing for it.

from __future__ import annotations

import asyncio
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

    def before_sleep(self, sleep: Callable[[], None]) -> None:
        """Call `sleep` when the object has had its last word; not when there is something that could not be flushed."""

        def over() -> None:
            if self._activation.periodics.dirty:
                self._reopen()
            else:
                sleep()

        if not self.call(INACTIVE, over):
            sleep()

    def before_leaving(self, reason: str) -> asyncio.Future[None] | None:
        """Done when the object has had its last word; events go on afterwards. None when it has none to say."""
        over: asyncio.Future[None] = self._activation.loop.create_future()

        def resolve() -> None:
            over.set_result(None)

        def go_on() -> None:
            self._reopen()
            resolve()

        return over if self.call(reason, go_on, resolve) else None

    def _reopen(self) -> None:
        self._activation.gate.open = True
        self._activation.look_soon()

    def call(self, reason: str, then: Callable[[], None], on_end: Callable[[], None] = _nothing) -> bool:
        """Run it and, in a turn of the loop of its own, call `then`; or `on_end`, when the activation ended meanwhile.

        False when there is nothing to run: then neither is called.
        """
        activation = self._activation
        handler = None if self._called else activation.delivery.pre_shutdown
        if activation.ended or not activation.opened or self.running:
            return False
        if handler is None and not activation.periodics.dirty:
            return False
        self.running = True
        self._then, self._on_end = then, on_end
        activation.gate.close()
        limit = activation.surroundings.limits.pre_shutdown_seconds_max
        self._timer = activation.surroundings.clock.call_later(limit, lambda: self._too_long(limit))
        task = activation.tasks.start(self._last_words(handler, ShutdownInfo(reason)), "pre_shutdown", self._done)
        task.listed = False
        return True

    async def _last_words(self, handler: Callable[[ShutdownInfo], Any] | None, info: ShutdownInfo) -> None:
        periodics = self._activation.periodics
        await periodics.flush()
        if handler is None or (info.reason == INACTIVE and periodics.dirty):
            return
        self._called = True
        try:
            result = handler(info)
            if inspect.isawaitable(result):
                await result
        finally:
            periodics.touch()
            await periodics.flush()

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
