"""The end of an object's WebSocket that is for a client: it goes on in a response, or an object accepts it itself."""

# A grant is used once:
#
#  (1) It is taken by the session that sends it to a gateway or host, or by an object of this host that accepts it.
#  (2) An end that nobody holds any more and nobody took is dropped, and the object hears that its socket was lost.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from roost.errors import InvalidStateError
from roost.held_socket import HeldSocket
from roost.ids import ObjectId
from roost.link.frames import SocketGrant
from roost.objects.tasks import current_activation
from roost.objects.web_socket import WebSocket


class GrantHolder(Protocol):
    """A session to whose peer a grant goes. It sees to it that the grant is dropped when the peer is lost."""

    def granted(self, grant: SocketGrant, drop: Callable[[], None]) -> None: ...


class Opener(Protocol):
    """Connects the two ends when an object takes the client's one."""

    def open(self, grant: SocketGrant, object_id: ObjectId, socket: HeldSocket) -> None: ...

    def sent(self, grant: SocketGrant) -> None: ...

    def drop(self, grant: SocketGrant) -> None: ...


class GrantedEnd(WebSocket):
    """`response.web_socket` of an object's 101: pass it on in a response, and the client has it; or `accept()` it."""

    __slots__ = ("_grant", "_loop", "_opener", "_used")

    _grant: SocketGrant
    _opener: Opener
    _loop: asyncio.AbstractEventLoop
    _used: bool

    @classmethod
    def of(cls, grant: SocketGrant, opener: Opener) -> GrantedEnd:
        end = cls._new_end()
        assert isinstance(end, cls), "made of this class"
        end._grant = grant
        end._opener = opener
        end._loop = asyncio.get_running_loop()
        end._used = False
        return end

    def bind_to_response(self) -> None:
        """It goes into a response."""
        self._require_free()

    def take(self, holder: GrantHolder) -> SocketGrant:
        """The grant, for the peer of that session. Raises InvalidStateError the second time."""
        self._require_free()
        self._used = True
        grant, opener = self._grant, self._opener
        opener.sent(grant)
        holder.granted(grant, lambda: opener.drop(grant))
        return grant

    def drop(self) -> None:
        """Nobody will have it. Without this it would be as long as somebody holds it, a traceback for instance."""
        if not self._used:
            self._used = True
            self._opener.drop(self._grant)

    def accept(self, *, allow_half_open: bool = False) -> None:
        """Talk to the object at the other end, as its client. Only inside an object, which stays in memory for it."""
        if self._active is not None and self._active.accepted:
            return
        self._require_free()
        activation = current_activation()
        if activation is None:
            raise InvalidStateError(
                "a WebSocket is kept by an object: accept() it inside a method of one, or pass it on"
            )
        super().accept(allow_half_open=allow_half_open)
        self._used = True
        assert self._active is not None, "accepting makes it active"
        assert self._held is not None, "accepting makes it a socket"
        self._direct = True
        self._active.bind()
        grant, opener, object_id, held = self._grant, self._opener, activation.object_id, self._held
        activation.depart(lambda: opener.open(grant, object_id, held))

    def _require_free(self) -> None:
        if self._used:
            raise InvalidStateError("this end of the WebSocket was used already: it can have one client")

    def __del__(self) -> None:
        if not self._used and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._opener.drop, self._grant)  # the collector may run in any thread

    def __repr__(self) -> str:
        return f"<client end of {self._grant.object.binding} {self._grant.object.key.hex()[:12]}…>"
