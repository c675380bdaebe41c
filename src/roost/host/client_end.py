"""The end of an object's WebSocket that is for a client: an address that waits to be opened."""

# A grant is used once:
#
#  (1) It is taken by the session that sends it to a gateway or host, or by the code of this host that accepts it.
#  (2) An end that nobody holds any more and nobody took is dropped, and the object hears that its socket was lost.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from roost.errors import InvalidStateError
from roost.link.frames import SocketGrant


class GrantHolder(Protocol):
    """A session to whose peer a grant goes. It sees to it that the grant is dropped when the peer is lost."""

    def granted(self, grant: SocketGrant, drop: Callable[[], None]) -> None: ...


class GrantedEnd:
    """`response.web_socket` of an object's 101: pass it on in a response, and the client has it."""

    def __init__(self, grant: SocketGrant, drop: Callable[[], None]) -> None:
        self._grant = grant
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._taken = False

    def bind_to_response(self) -> None:
        """It goes into a response."""
        self._require_free()

    def take(self, holder: GrantHolder) -> SocketGrant:
        """The grant, for the peer of that session. Raises InvalidStateError the second time."""
        self._require_free()
        self._taken = True
        holder.granted(self._grant, self._drop)
        return self._grant

    def _require_free(self) -> None:
        if self._taken:
            raise InvalidStateError("this end of the WebSocket was used already: one client has it")

    def __del__(self) -> None:
        if not self._taken and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drop)  # the collector may run this in any thread

    def __repr__(self) -> str:
        return f"<client end of {self._grant.object.binding} {self._grant.object.key.hex()[:12]}…>"
