"""An awaitable whose result is already there."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ready(Generic[T]):
    """What a storage call returns: awaiting it never suspends, and not awaiting it loses nothing."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        if False:
            yield  # type: ignore[unreachable]  # makes this a generator, the cheapest iterator that ends at once
        return self._value

    def __repr__(self) -> str:
        return f"<ready {self._value!r:.80}; await it for the value>"
