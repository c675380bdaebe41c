"""Peers whose link broke: for a moment they may come back, and nobody need notice."""

# A link can break while both processes live. Then the peer still holds its sockets, and makes the link anew at once.
#
#  (1) For `peer_away_seconds_max` the objects hear nothing of it. What they send to its sockets is kept, up to the
#      bound of a link, and sent once the peer is back, in its order.
#  (2) Who comes back is the same incarnation; its roll tells which sockets it has kept. For the others the objects hear
#      1006, and those that had a message under way were closed by the peer itself, as at a crash of this host.
#  (3) Whether all frames arrived that were sent before the break is known from the peer's count. When some did not, no
#      socket may go on with a gap: the peer closes them all with 1012.
#  (4) A peer that does not come back in time, or has been replaced by another process, is lost with all its sockets.
#      Should it come after all, it closes them with 1012.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from roost.clock import Clock, Timer
from roost.host.place import PEER_SHIFT
from roost.host.sockets import Sockets
from roost.limits import Limits
from roost.link import frames
from roost.observer import Observer

FRAME_COST = 64
"""What a frame that is kept weighs apart from the message in it."""

Grants = dict[tuple[int, int], tuple[float, Callable[[], None]]]
"""Of the sockets whose grants are on their way to a peer: since when, and how to drop each."""


class AbsentPeer:
    """Stands in the place of the peer, and keeps what is sent to it."""

    def __init__(self, role: str, number: int, incarnation: int, sent: int, grants: Grants) -> None:
        self.role, self.number, self.incarnation = role, number, incarnation
        self.sent = sent
        """How many frames had been sent to it before the break."""
        self.grants = grants
        self.kept: list[frames.FromOwner] = []
        self.over = False
        """Given up."""
        self.timer: Timer | None = None
        self.on_full: Callable[[], None] = lambda: None
        self.size = 0
        self.size_max = 0

    def send(self, frame: frames.FromOwner) -> None:
        self.size += FRAME_COST + _size(frame)
        if self.size <= self.size_max:
            self.kept.append(frame)
        elif self.kept:
            self.kept.clear()
            asyncio.get_running_loop().call_soon(self.on_full)  # an object's effects are leaving: it cannot be entered

    def post(self, frame: frames.FromOwner, size: int) -> None:
        self.send(frame)

    def finished(self, number: int) -> None:
        """The peer has closed the sockets of all messages that were under way."""

    def leave_sockets(self) -> None:
        """They wait already."""


def _size(frame: Any) -> int:
    return len(frame.data) if isinstance(frame, frames.Send | frames.SendToTagged) else 0


class Absences:
    """All peers that are absent now."""

    def __init__(self, *, sockets: Sockets, clock: Clock, limits: Limits, observer: Observer) -> None:
        self._sockets = sockets
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._absent: dict[int, AbsentPeer] = {}
        self._all_settled: asyncio.Future[None] | None = None

    def left(self, role: str, number: int, incarnation: int, *, sent: int, grants: Grants) -> None:
        """The link to that peer broke."""
        if not grants and not self._has_sockets(incarnation):
            self._sockets.peer_lost(incarnation)
            return
        absent = AbsentPeer(role, number, incarnation, sent, grants)
        absent.size_max = self._limits.link_send_bytes_max
        absent.on_full = lambda: self._give_up(absent)
        absent.timer = self._clock.call_later(self._limits.peer_away_seconds_max, lambda: self._give_up(absent))
        self._absent[incarnation] = self._sockets.peers[incarnation] = absent
        self._observer.notify("peer.away", role=role, number=number)

    def _has_sockets(self, incarnation: int) -> bool:
        return any(number >> PEER_SHIFT == incarnation for number in self._sockets.by_number)

    def find(self, incarnation: int) -> AbsentPeer | None:
        """The peer of that incarnation, if it is absent."""
        return self._absent.get(incarnation)

    def replaced(self, role: str, number: int, incarnation: int) -> None:
        """That one has come: others that had its number are gone."""
        for absent in list(self._absent.values()):
            if (absent.role, absent.number) == (role, number) and absent.incarnation != incarnation:
                self._give_up(absent)

    def returned(self, absent: AbsentPeer, rolled: Iterable[int]) -> None:
        """It is back, and has kept those sockets."""
        self._forget(absent)
        kept = set(rolled)
        numbers = [n for n in self._sockets.by_number if n >> PEER_SHIFT == absent.incarnation and n not in kept]
        for number in numbers:
            self._sockets.lost(number)
        self._observer.notify("peer.back", role=absent.role, number=absent.number, lost=len(numbers))

    def _give_up(self, absent: AbsentPeer) -> None:
        if absent.over or self._absent.get(absent.incarnation) is not absent:
            return
        absent.over = True
        self._forget(absent)
        for _, drop in absent.grants.values():
            drop()
        self._sockets.peer_lost(absent.incarnation)
        self._observer.notify("peer.given_up", role=absent.role, number=absent.number)

    def _forget(self, absent: AbsentPeer) -> None:
        del self._absent[absent.incarnation]
        if absent.timer is not None:
            absent.timer.cancel()
        if not self._absent and self._all_settled is not None:
            self._all_settled.set_result(None)
            self._all_settled = None

    def all_settled(self) -> asyncio.Future[None] | None:
        """Done when each has come back or was given up; None when that is so now."""
        if not self._absent:
            return None
        if self._all_settled is None:
            self._all_settled = asyncio.get_running_loop().create_future()
        return self._all_settled

    def close(self) -> None:
        """Wait for none of them: their sockets are for the successor."""
        for absent in list(self._absent.values()):
            absent.over = True
            self._forget(absent)
