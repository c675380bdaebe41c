"""Work that outlives the event that asked for it, and limits of time on events."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from roost.clock import Timer
from roost.errors import WrongTypeError
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation


class Background:
    """What was given to `wait_until`, and the timers of limited events."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._work: dict[ObjectTask, Timer] = {}
        self._answers: dict[asyncio.Future[Any], Timer] = {}
        self._limited: dict[ObjectTask, Timer] = {}

    @property
    def busy(self) -> bool:
        """Whether something that was given to `wait_until` is not done."""
        return bool(self._work)

    # -- wait_until ----------------------------------------------------------------------------------------------------

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the object in memory until the awaitable is done; its failure is reported."""
        if not inspect.isawaitable(awaitable):
            raise WrongTypeError(f"wait_until takes an awaitable, got {type(awaitable).__name__}")
        activation = self._activation
        work = awaitable if inspect.iscoroutine(awaitable) else _awaited(awaitable)
        task = activation.tasks.start(work, "wait_until", self._done)
        task.listed = False
        clock, seconds = activation.surroundings.clock, activation.surroundings.limits.wait_until_seconds_max
        self._work[task] = clock.call_later(seconds, functools.partial(self._too_long, task, seconds))

    def _done(self, task: ObjectTask) -> None:
        self._work.pop(task).cancel()
        if task.error is not None and not self._activation.ended:
            self._activation.report("work under wait_until failed", task.error)

    def _too_long(self, task: ObjectTask, seconds: float) -> None:
        task.cancel(f"work under wait_until may take {seconds:g} seconds")

    # -- answers from elsewhere ----------------------------------------------------------------------------------------

    @property
    def expects_answer(self) -> bool:
        """Whether something was asked of the network and is not answered."""
        return bool(self._answers)

    def keep_awake_for(self, answer: asyncio.Future[Any]) -> None:
        """Keep the object in memory until the answer is there, for as long as `wait_until` would."""
        clock, seconds = (
            self._activation.surroundings.clock,
            self._activation.surroundings.limits.wait_until_seconds_max,
        )
        self._answers[answer] = clock.call_later(seconds, lambda: self._answered(answer))
        answer.add_done_callback(self._answered, context=self._activation.home)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if (timer := self._answers.pop(answer, None)) is not None:
            timer.cancel()
            self._activation.look_soon()

    # -- events with a limit -------------------------------------------------------------------------------------------

    def limit(self, task: ObjectTask, milliseconds: int) -> None:
        """Reset the object if the event is not done in time."""
        look = functools.partial(self._look, task, milliseconds)
        self._limited[task] = self._activation.surroundings.clock.call_later(milliseconds / 1000, look)

    def _look(self, task: ObjectTask, milliseconds: int) -> None:
        if self._limited.pop(task, None) is not None and not task.is_done:
            self._activation.event_too_long(milliseconds)

    def ended(self, task: ObjectTask) -> None:
        """The event is done."""
        if self._limited and (timer := self._limited.pop(task, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """The activation is over."""
        for timer in (*self._work.values(), *self._answers.values(), *self._limited.values()):
            timer.cancel()
        self._answers.clear()
        self._limited.clear()


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
