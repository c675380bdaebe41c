"""The task in which the entrypoint answers one request."""

# As with an event of an object, the first step runs at once, and most requests are answered in it.
#
#  (1) For `asyncio` it is the current task, from the first step to the last; see `objects/turn.py`.
#  (2) What it creates belongs to no object, though objects may run inside of it.
#  (3) SystemExit of an app is its answer to the request, and ends nothing else. KeyboardInterrupt is for the process.

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from roost.objects.gates import Section
from roost.objects.tasks import HERE
from roost.objects.turn import ObjectTask


class EntryTask(ObjectTask):
    """One call of the entrypoint."""

    passed_on = (KeyboardInterrupt,)


class EntryTasks:
    """Makes them, and remembers those that were suspended."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.home = contextvars.copy_context()
        self.home.run(HERE.set, None)
        self.live: dict[ObjectTask, None] = {}
        self._section = Section(None)

    def new(self, on_done: Callable[[ObjectTask], None]) -> EntryTask:
        """A task that is to `begin`; `on_done` is called with it at its end."""
        return EntryTask(self, self.home.copy(), self._section, on_done)

    def resume(self, task: ObjectTask) -> None:
        """There is no gate before it."""
        if not task.is_done:
            task.step()

    def suspended(self, task: ObjectTask) -> None:
        self.live[task] = None
