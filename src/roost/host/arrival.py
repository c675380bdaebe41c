"""How a peer begins: its Hello, its roll, and what is left of its last link."""

# All of this comes before anything else of the peer is taken:
#
#  (1) The roll of a peer that is new to this host brings its sockets. That of one that is back is compared with what
#      this host knows; see `absences`.
#  (2) What was kept for a peer that is back is sent first, before the objects hear which of its sockets are gone.
#  (3) A socket that the peer tells and no object has is closed with 1012.

from __future__ import annotations

from typing import TYPE_CHECKING

from roost.errors import RoostError
from roost.host.absences import AbsentPeer
from roost.host.sockets import close_unserved
from roost.link import frames

if TYPE_CHECKING:
    from roost.host.server import PeerSession, Served


class Arrival:
    """The beginning of one session."""

    def __init__(self, session: PeerSession, host: Served) -> None:
        self._session = session
        self._host = host
        self._rolled: set[int] = set()
        self._back: AbsentPeer | None = None
        """What was kept for the peer while it was absent."""

    def hello(self) -> None:
        """It has said who it is."""
        session, absences, peers = self._session, self._host.absences, self._host.sockets.peers
        absences.replaced(session.role, session.number, session.incarnation)
        before = peers.get(session.incarnation)
        if before is not None:
            before.leave_sockets()  # it came again before the loss of its last link was noticed
        self._back = absences.find(session.incarnation)
        if self._back is None:
            peers[session.incarnation] = session

    def roll(self, frame: frames.Roll) -> None:
        """It has these sockets."""
        sockets = self._host.sockets
        known = self._session.incarnation in sockets.rolled_peers
        for told in frame.sockets:
            if known and told.opening is None and told.socket not in sockets.by_number:
                close_unserved(self._session, told.socket, "its object was told that it was lost")
                continue
            self._rolled.add(told.socket)
            try:
                sockets.roll(told)
            except RoostError as error:
                self._rolled.discard(told.socket)
                self._session.observer.notify("socket.unserved", socket=told.socket, error=error)
                close_unserved(self._session, told.socket, "the app no longer has this class")

    def complete(self, received: tuple[int, int] | None) -> None:
        """The roll is over: go on where the last link of the peer broke off, if there was one."""
        session, host = self._session, self._host
        arrived = received[1] if received is not None and received[0] == host.incarnation else 0
        session.sent_before = arrived
        host.sockets.rolled_peers.add(session.incarnation)
        host.sockets.peers[session.incarnation] = session
        for number in self._rolled - host.sockets.by_number.keys():
            close_unserved(session, number, "its object has given it up")
        back, self._back = self._back, None
        if back is not None and not back.over:
            self._resume(back, lost=arrived != back.sent)
        self._rolled.clear()

    def _resume(self, back: AbsentPeer, *, lost: bool) -> None:
        self._session.grants = back.grants
        if lost:
            self._close_all()
        for frame in back.kept:
            self._session.send(frame)
        self._host.absences.returned(back, self._rolled)

    def _close_all(self) -> None:
        """Something that was sent to the peer's sockets did not arrive, and nobody knows what."""
        by_number = self._host.sockets.by_number
        for number in self._rolled & by_number.keys():
            place, socket = by_number[number]
            place.leave(socket)
            close_unserved(self._session, number, "messages for this socket were lost")
