"""Tasks that user code creates inside an object belong to the object."""

# A task factory on the host's loop looks who creates a task.
#
#  (1) Code inside an object gets an ObjectTask: it passes the input gate at each step, and ends with the activation.
#  (2) The task belongs to the critical section in which it was created.
#  (3) Everybody else gets what they would get without roost.
#
# Timers that user code asks of the loop itself (`loop.call_later(1, self.flush)`) are plain calls: they do not pass the
# input gate and do not keep the object awake. What they send and write is held and committed like anything else.

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

from roost.objects.gates import Section

if TYPE_CHECKING:
    from roost.objects.activation import Activation

HERE: contextvars.ContextVar[Section | None] = contextvars.ContextVar("roost_section", default=None)
"""The critical section, or the root section of the object, that code runs in; None outside of all objects."""


def current_activation() -> Activation | None:
    """The activation whose code is running, or None outside of all objects."""
    section = HERE.get()
    if section is None:
        return None
    owner: Activation = section.owner
    return owner


class TaskFactory:
    """Makes the tasks of a loop."""

    def __init__(self, previous: Any) -> None:
        self._previous = previous

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> Any:
        section = HERE.get()
        if section is not None and not section.owner.ended:
            return section.owner.tasks.create(coroutine, section, options.get("context"), options.get("name"))
        if self._previous is not None:
            return self._previous(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)


def install_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    """Let tasks that are created inside objects belong to them. Once per loop; a second time changes nothing."""
    previous = loop.get_task_factory()
    if not isinstance(previous, TaskFactory):
        loop.set_task_factory(TaskFactory(previous))
