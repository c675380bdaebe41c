"""Effects of one object become frames for the peers that hold its sockets."""

# What leaves an object here has passed its output gate.
#
#  (1) Frames of one peer have the order of the effects.
#  (2) A broadcast is one frame a peer: the name of a set, with those left out, where that is shorter; else a list.
#  (3) A set reaches exactly the sockets that the object meant: it is what this host has told the peer to count in, at
#      that place among the frames (`Place.members`).
#  (4) What is meant for a socket whose client is not connected yet waits in the socket, up to a bound, and is sent
#      first, by the socket's number; then the peer is told to count it in.
#  (5) `Finished` is gathered by the peer, and goes out after all that was sent before it.

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from roost.events import (
    Attach,
    AutoRespond,
    Close,
    Depart,
    Effect,
    Finished,
    Send,
    SendToTagged,
)
from roost.held_socket import HeldSocket
from roost.host.place import PEER_SHIFT, Place
from roost.link import frames
from roost.link.connection import POST_BYTES_MAX

SET_FROM = 8
"""Sockets in a `Send`, from which it is looked whether a set says the same: a shorter list is cheap anyway."""

LEFT_OUT_SHARE = 4
"""A set may be named when at most one in so many of its sockets is left out."""


class Peer(Protocol):
    """The other end of a link, which holds clients' sockets: a gateway, another host, or this host itself."""

    def send(self, frame: frames.FromOwner) -> None: ...

    def post(self, frame: frames.FromOwner, size: int) -> None:
        """Send a frame that is known to be sendable, with a message of about so many bytes."""

    def finished(self, number: int) -> None:
        """A message of that socket was handled to the end."""

    def leave_sockets(self) -> None:
        """The link broke: its sockets wait for it to come back."""


class Waiting(list[object]):
    """Effects for a socket whose client is not connected yet, and the bytes of the messages among them."""

    size = 0


class Emitter:
    """The outlet of one object. `overflow` is told of a socket for which too much waits before its client came."""

    __slots__ = ("_overflow", "_peers", "_place", "_waiting_bytes_max")

    def __init__(
        self,
        place: Place,
        peers: dict[int, Peer],
        *,
        waiting_bytes_max: int,
        overflow: Callable[[Place, HeldSocket], None],
    ) -> None:
        self._place = place
        self._peers = peers
        self._waiting_bytes_max = waiting_bytes_max
        self._overflow = overflow

    def emit(self, effects: Sequence[Effect]) -> None:
        # Nearly everything is one of the first two, so they are written out.
        peers = self._peers
        for effect in effects:
            if type(effect) is Send:
                sockets, data = effect.sockets, effect.data
                if len(sockets) > 1:
                    self._to_many(effect)
                    continue
                number = sockets[0].number
                peer = peers.get(number >> PEER_SHIFT)
                if peer is not None:
                    size = len(data)
                    if size <= POST_BYTES_MAX:
                        peer.post(frames.Send([number], data), size)
                    else:
                        peer.send(frames.Send([number], data))
                elif not number:
                    self._wait(sockets[0], effect)
            elif type(effect) is Finished:
                for socket in effect.sockets:
                    number = socket.number
                    peer = peers.get(number >> PEER_SHIFT)
                    if peer is not None:
                        peer.finished(number)
            elif type(effect) is Depart:
                effect.depart()
            else:
                _RARE[type(effect)](self, effect)

    # -- messages ------------------------------------------------------------------------------------------------------

    def _to_many(self, effect: Send) -> None:
        sockets = effect.sockets
        if len(sockets) >= SET_FROM and self._as_set(effect):
            return
        self._to_list(sockets, effect.data)

    def _to_list(self, sockets: Iterable[HeldSocket], data: Any) -> None:
        by_peer: dict[int, list[int]] = {}
        for socket in sockets:
            number = socket.number
            if number:
                by_peer.setdefault(number >> PEER_SHIFT, []).append(number)
            else:
                self._wait(socket, Send(data, [socket]))
        for incarnation, numbers in by_peer.items():
            peer = self._peers.get(incarnation)
            if peer is not None:
                peer.send(frames.Send(numbers, data))

    def _as_set(self, effect: Send) -> bool:
        """Send it to a set if one covers nearly all its sockets, and few others."""
        chosen = set(effect.sockets)
        if len(chosen) != len(effect.sockets):
            return False  # one of them gets it twice
        return any(self._as_tagged(tag, chosen, effect.data) for tag in (None, *effect.sockets[0].tags))

    def _as_tagged(self, tag: str | None, chosen: set[HeldSocket], data: Any) -> bool:
        size = self._place.members_count(tag)
        if abs(size - len(chosen)) * LEFT_OUT_SHARE > len(chosen):
            return False
        sets = list(self._place.members_tagged(tag))
        left_out = [members.keys() - chosen for _, members in sets]
        left_out_size = sum(map(len, left_out))
        if left_out_size * LEFT_OUT_SHARE > size:
            return False
        for (peer, members), excluded in zip(sets, left_out, strict=True):
            if len(excluded) < len(members):
                self._to_set(peer, tag, excluded, data)
        if size - left_out_size < len(chosen):
            self._to_list(chosen.difference(*(members for _, members in sets)), data)
        return True

    def _to_set(self, incarnation: int, tag: str | None, left_out: Iterable[HeldSocket], data: Any) -> None:
        peer = self._peers.get(incarnation)
        if peer is not None:
            excluded = [socket.number for socket in left_out]
            frame = frames.SendToTagged(self._place.key, tag, excluded, data)
            size = len(data) + 9 * len(excluded)
            if size <= POST_BYTES_MAX:
                peer.post(frame, size)
            else:
                peer.send(frame)

    def _send_to_tagged(self, effect: SendToTagged) -> None:
        place = self._place
        excluded = set(effect.excluded)
        for socket in self._opening(effect.tag):
            if socket not in excluded:
                self._wait(socket, Send(effect.data, [socket]))
        for peer, members in place.members.items():
            left_out = [s for s in excluded if s in members.sockets and (effect.tag is None or effect.tag in s.tags)]
            if len(left_out) < members.count(effect.tag):
                self._to_set(peer, effect.tag, left_out, effect.data)

    def _opening(self, tag: str | None) -> list[HeldSocket]:
        opening = self._place.opening
        return [s for s in opening if s.hibernating and (tag is None or tag in s.tags)]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _close(self, effect: Close) -> None:
        socket = effect.socket
        peer = self._peers.get(socket.number >> PEER_SHIFT)
        if peer is not None:
            self._place.leave(socket)
            frame = self._place.parting[socket] = frames.CloseSocket(socket.number, effect.code, effect.reason)
            peer.send(frame)
        elif not socket.number:
            self._wait(socket, effect)

    def _attach(self, effect: Attach) -> None:
        socket = effect.socket
        peer = self._peers.get(socket.number >> PEER_SHIFT)
        if peer is not None:
            peer.send(frames.Attach(socket.number, effect.attachment))
        elif not socket.number:
            self._wait(socket, effect)

    def _auto_respond(self, effect: AutoRespond) -> None:
        for socket in self._place.opening:
            self._wait(socket, effect)  # their grant may carry the pair of before
        for incarnation in self._place.members:
            peer = self._peers.get(incarnation)
            if peer is not None:
                peer.send(frames.AutoRespond(self._place.key, effect.pair))

    def _wait(self, socket: HeldSocket, effect: Effect) -> None:
        waiting = socket.waiting
        if waiting is None:
            waiting = socket.waiting = Waiting()
        assert isinstance(waiting, Waiting), "nobody else lets effects wait"
        waiting.append(effect)
        if isinstance(effect, Send):
            waiting.size += len(effect.data)
            if waiting.size > self._waiting_bytes_max:
                self._overflow(self._place, socket)


_RARE: dict[type, Callable[[Emitter, Any], None]] = {
    SendToTagged: Emitter._send_to_tagged,
    Close: Emitter._close,
    Attach: Emitter._attach,
    AutoRespond: Emitter._auto_respond,
}
