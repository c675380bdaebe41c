"""Make something else than an `asyncio.Task` the current task of a loop, as a task does at each of its steps."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task as swap_current_task  # type: ignore[attr-defined,unused-ignore]
else:
    _current_tasks: dict[asyncio.AbstractEventLoop, Any] = asyncio.tasks._current_tasks  # type: ignore[attr-defined,unused-ignore]

    def swap_current_task(loop: asyncio.AbstractEventLoop, task: Any) -> Any:
        """Make it the current task (None: there is none); the result is what was before."""
        if task is None:
            return _current_tasks.pop(loop, None)
        previous = _current_tasks.get(loop)
        _current_tasks[loop] = task
        return previous


__all__ = ["swap_current_task"]
