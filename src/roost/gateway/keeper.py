"""Whoever keeps a client's open WebSocket, as its connection knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost.link.frames import Message


class Keeper(Protocol):
    """Whoever keeps the connection, and is told what its client does."""

    def on_message(self, data: Message, size: int) -> None: ...

    def when_finished(self, then: Callable[[], None]) -> None:
        """Call it when all messages so far are worked at and answered; at once where none are under way."""

    def on_failed(self, message: str) -> None: ...

    def on_closed(self, code: int, reason: str, was_clean: bool) -> None: ...


class Nobody:
    """Keeps a connection that nobody is interested in any more."""

    def on_message(self, data: Message, size: int) -> None:
        pass

    def when_finished(self, then: Callable[[], None]) -> None:
        then()

    def on_failed(self, message: str) -> None:
        pass

    def on_closed(self, code: int, reason: str, was_clean: bool) -> None:
        pass
