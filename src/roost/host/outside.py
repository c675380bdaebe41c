"""Host code that an object's code has called must not be taken for the object's own."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TypeVar

from roost.objects.tasks import HERE, current_activation

T = TypeVar("T")


def outside(function: Callable[[], T]) -> T:
    """Call it in a context that belongs to no object, so that the tasks which it makes do not either."""
    if HERE.get() is None:
        return function()
    context = contextvars.copy_context()
    context.run(HERE.set, None)
    return context.run(function)


def is_outside() -> bool:
    """Whether the code that runs is none of an object's."""
    return HERE.get() is None


def leave(depart: Callable[[], None]) -> None:
    """Do something that leaves the current object once its output gate lets it; at once where there is no object."""
    activation = current_activation()
    if activation is None:
        depart()
    else:
        activation.depart(lambda: outside(depart))
