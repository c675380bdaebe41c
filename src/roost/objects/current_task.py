"""Make something else than an `asyncio.Task` the current task of a loop, as a task does at each of its steps."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task as swap_current_task  # type: ignore[attr-defined,unused-ignore]

    set_current_task = swap_current_task
    """As `swap_current_task`, for a task, where nobody asks what was before: the shortest way there is."""
else:
    _current_tasks: dict[asyncio.AbstractEventLoop, Any] = asyncio.tasks._current_tasks  # type: ignore[attr-defined,unused-ignore]

    set_current_task = _current_tasks.__setitem__

    def swap_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
        """Make it the current task (None: there is none); the result is what was before."""
        if task is None:
            return _current_tasks.pop(loop, None)
        previous = _current_tasks.get(loop)
        _current_tasks[loop] = task
        return previous


def restore_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> None:
    """Make it the current task again (None: nobody), whoever is that now, if anybody is."""
    if task is not None or asyncio.current_task(loop) is not None:  # else some Pythons have no task to take away
        swap_current_task(loop, task)


__all__ = ["restore_current_task", "set_current_task", "swap_current_task"]
