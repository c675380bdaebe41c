"""`ctx.every`: what an object does every few seconds while something goes on in it."""

# State that changes many times a second is kept in memory, and written now and then.
#
#  (1) A function is called so many seconds after it was last called, if anything may have changed since: an event
#      began, or one, or a task of the object, was under way. An object in which nothing happens is left alone.
#  (2) It is called before a planned end of the object's memory too: before hibernation, and before its host leaves,
#      after which it is called at once when something changes still. A reset or a crash does not wait for it.
#  (3) What raises is reported and called again after the same time. Until it succeeds what is in memory is kept: the
#      object does not hibernate. Where the host leaves it cannot be.
#  (4) It runs like any other code of the object, in turns; what it does before its first real wait is one commit.
#  (5) It keeps nobody awake: while it waits for its time the object may hibernate, which calls it.

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from roost.clock import Timer
from roost.errors import InvalidArgumentError, InvalidStateError, WrongTypeError
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation

LEAVING_SECONDS = 0.05
"""Between looks whether something changed, once the host is about to leave."""


class Periodic:
    """A function that is called every few seconds; what `ctx.every` returns."""

    def __init__(
        self,
        activation: Activation,
        seconds: float,
        function: Callable[[], Awaitable[Any] | Any],
        changed: Callable[[], bool] | None = None,
    ) -> None:
        self._activation = activation
        self._seconds = seconds
        self._function = function
        self._changed = changed or self._something_happened
        self._name = str(getattr(function, "__qualname__", None) or type(function).__qualname__)
        self._seen = activation.begun
        self._touched = (
            changed is None and activation.opened
        )  # the event that asks for it may go on to change something
        self._running = 0
        self._failing = False
        self._timer: Timer | None = None
        self._stopped = False

    # -- what user code may do -----------------------------------------------------------------------------------------

    def touch(self) -> None:
        """Say that something changed of which roost does not know: in a callback of `loop.call_later`, for instance."""
        self._touched = True

    async def flush(self) -> None:
        """Call the function now, whether something changed or not. What it raises is passed on."""
        await self._call()

    def stop(self) -> None:
        """Call it no more."""
        self._stopped = True
        self.stop_timer()
        self._activation.periodics.forget(self)

    # -- what the activation does --------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether something may have changed since it was last called."""
        return self._touched or self._failing or self._changed()

    @property
    def failing(self) -> bool:
        """Whether its last call raised."""
        return self._failing

    def schedule(self) -> None:
        """Look again after its time."""
        self.stop_timer()
        activation = self._activation
        if not self._stopped and not activation.ended:
            soon = activation.periodics.leaving and not self._failing
            seconds = min(self._seconds, LEAVING_SECONDS) if soon else self._seconds
            self._timer = activation.surroundings.clock.call_later(seconds, self._look)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._running or not self.dirty:
            self.schedule()
            return
        task = self._activation.tasks.start(self.flush_if_dirty(), f"every({self._name})", self._looked)
        task.listed = False

    def _looked(self, task: ObjectTask) -> None:
        if not self._activation.ended:
            self.schedule()

    async def flush_if_dirty(self) -> None:
        """Call the function if something may have changed; what it raises is reported."""
        if not self.dirty or self._stopped:
            return
        try:
            await self._call()
        except Exception as error:  # noqa: BLE001 - (3)
            if not self._activation.ended:
                self._activation.report(
                    f"{self._name}, which is called every {self._seconds:g} s, failed; it is tried again", error
                )

    async def _call(self) -> None:
        activation = self._activation
        if activation.ended:
            raise InvalidStateError("this life of the object has ended: nothing can be written any more")
        begun = activation.begun
        self._touched = False
        self._running += 1
        try:
            result = self._function()
            if inspect.isawaitable(result):
                await result
        except BaseException:
            self._failing = True
            raise
        finally:
            self._running -= 1
        self._failing = False
        self._seen = begun
        self._touched = self._touched or self._others_at_work()

    def _something_happened(self) -> bool:
        return self._activation.begun != self._seen or self._others_at_work()

    def _others_at_work(self) -> bool:
        """Whether code of the object is under way that may change something: an event, or a task of its own."""
        activation = self._activation
        return activation.gate.events > 0 or any(task.listed for task in activation.tasks.live)

    def __repr__(self) -> str:
        return f"<{self._name} every {self._seconds:g} s>"


class Periodics:
    """Those of one activation."""

    def __init__(self, activation: Activation) -> None:
        self.leaving = False
        """The host is about to leave: what changes now is flushed at once."""
        self._activation = activation
        self._all: dict[Periodic, None] = {}

    def add(self, seconds: float, function: Callable[[], Any], changed: Callable[[], bool] | None = None) -> Periodic:
        """Call the function every so many seconds. Raises WrongTypeError, InvalidArgumentError, InvalidStateError."""
        if not callable(function):
            raise WrongTypeError(f"a function without arguments is needed, got {type(function).__name__}")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise WrongTypeError(f"the seconds must be a number, got {type(seconds).__name__}: {seconds!r:.80}")
        if not 0 < seconds < float("inf"):
            raise InvalidArgumentError(f"the seconds must be more than 0, got {seconds!r}")
        if self._activation.ended:
            raise InvalidStateError("this life of the object has ended: nothing can be started in it")
        periodic = Periodic(self._activation, seconds, function, changed)
        self._all[periodic] = None
        periodic.schedule()
        return periodic

    def forget(self, periodic: Periodic) -> None:
        self._all.pop(periodic, None)

    @property
    def dirty(self) -> bool:
        """Whether there may be something in memory that was not flushed."""
        return any(periodic.dirty for periodic in self._all)

    @property
    def failing(self) -> bool:
        """Whether there is something that could not be flushed."""
        return any(periodic.failing for periodic in self._all)

    def touch(self) -> None:
        """Code has run that was no event, and may have changed something."""
        for periodic in self._all:
            periodic.touch()

    async def flush(self) -> None:
        """Call those that something may have changed for. What they raise is reported, and they stay dirty."""
        for periodic in list(self._all):
            await periodic.flush_if_dirty()

    def leave(self) -> None:
        """The host is about to leave."""
        self.leaving = True
        for periodic in self._all:
            periodic.schedule()

    def close(self) -> None:
        """The activation is over."""
        for periodic in self._all:
            periodic.stop_timer()
