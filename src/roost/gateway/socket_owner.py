"""What a socket of a client needs of the link to the host that owns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from roost.link.frames import Message

if TYPE_CHECKING:
    from roost.gateway.held_sockets import ClientSocket


class SocketOwner(Protocol):
    """Told of everything that happens at a socket, in order."""

    def socket_message(self, socket: ClientSocket, data: Message, size: int) -> None: ...

    def socket_auto_answered(self, socket: ClientSocket) -> None: ...

    def when_finished(self, socket: ClientSocket, then: Callable[[], None]) -> None: ...

    def socket_failed(self, socket: ClientSocket, message: str) -> None: ...

    def socket_closed(self, socket: ClientSocket, code: int, reason: str, was_clean: bool) -> None: ...
