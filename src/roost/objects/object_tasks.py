"""The tasks of an object: those that were suspended, and those that user code created."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from roost.objects.gates import Section
from roost.objects.tasks import HERE
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation


class ObjectTasks:
    """Makes tasks, and remembers them until they are done.

    `asyncio.all_tasks()` does not list them: nobody outside of the object has any business with them.
    """

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self.base = activation.home.copy()
        """The context that events begin with."""
        self.base.run(HERE.set, activation.gate.root)
        self.live: dict[ObjectTask, None] = {}

    def forget(self, task: ObjectTask) -> None:
        """The task is done."""
        self.live.pop(task, None)

    def create(
        self,
        coroutine: Coroutine[Any, Any, Any],
        section: Section,
        context: contextvars.Context | None,
        name: str | None,
    ) -> ObjectTask:
        """A task that user code asked for, in the section in which it asked."""
        context = contextvars.copy_context() if context is None else context
        context.run(HERE.set, section)
        task = self._new(coroutine, section, context, name, self._done)
        task.expose()
        return task

    def start(
        self, coroutine: Coroutine[Any, Any, Any], name: str, on_done: Callable[[ObjectTask], None]
    ) -> ObjectTask:
        """A task that roost asked for, in no section."""

        def done(task: ObjectTask) -> None:
            self._done(task)
            on_done(task)

        return self._new(coroutine, self._activation.gate.root, self.base.copy(), name, done)

    def _new(
        self,
        coroutine: Coroutine[Any, Any, Any],
        section: Section,
        context: contextvars.Context,
        name: str | None,
        on_done: Callable[[ObjectTask], None],
    ) -> ObjectTask:
        activation = self._activation
        task = ObjectTask(activation, context, section, on_done)
        task.adopt(coroutine)
        if name is not None:
            task.set_name(name)
        task.seen = True
        self.live[task] = None
        activation.loop.call_soon(activation.resume, task, context=activation.home)
        return task

    def _done(self, task: ObjectTask) -> None:
        self.forget(task)
        self._activation.gate.stirred = True

    def cancel_all(self) -> None:
        for task in list(self.live):
            task.cancel("the object's life has ended")
