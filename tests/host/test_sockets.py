from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from roost.errors import UnknownBindingError
from roost.events import Event, Send, SocketClosed, SocketFailed
from roost.held_socket import CLOSED, OPEN, HeldSocket
from roost.host.place import PEER_SHIFT, Place
from roost.host.sockets import Sockets
from roost.ids import ObjectId
from roost.link import frames
from roost.link.frames import ObjectRef, RolledSocket

from .parts import GATEWAY, OTHER_GATEWAY, HandClock, KeepingPeer, Listener, Room, object_id, place_of

NUMBER = GATEWAY << PEER_SHIFT | 1


class Objects:
    """One object, which keeps the events that it is given."""

    def __init__(self, registry: Registry, peers: dict[int, Any]) -> None:
        self.peers = peers
        self._registry = registry

    def find(self, ref: ObjectRef) -> Place:
        if ref.binding != "ROOM":
            raise UnknownBindingError(ref.binding)
        return self._registry.place

    def place(self, object_id: ObjectId) -> Place:
        return self._registry.place

    def at(self, key: bytes) -> Place | None:
        return self._registry.place

    def deliver(self, place: Place, event: Event) -> None:
        self._registry.delivered.append(event)

    def undelivered(self, place: Place, activation: Any, event: Event, error: Exception) -> None:
        raise AssertionError("everything is delivered here") from error

    def release(self, place: Place) -> None:
        self._registry.released.append(place)


class Registry:
    """Sockets around one place."""

    def __init__(self, cls: type[Room]) -> None:
        self.peer = KeepingPeer()
        peers: dict[int, Any] = {GATEWAY: self.peer, OTHER_GATEWAY: KeepingPeer()}
        self.place, _ = place_of(peers, cls=cls)
        self.place.surroundings = SimpleNamespace(meter=SimpleNamespace(auto_responses=0))  # type: ignore[assignment]
        self.delivered: list[Event] = []
        self.released: list[Place] = []
        self.clock = HandClock()
        self.sockets = Sockets(host=3, incarnation=33, clock=self.clock, objects=Objects(self, peers))

    def accepted(self, **options: Any) -> HeldSocket:
        socket = HeldSocket(**options)
        self.place.roll.add(socket)
        return socket


@pytest.fixture
def registry() -> Registry:
    return Registry(Listener)


def rolled(number: int, **changes: Any) -> RolledSocket:
    facts: dict[str, Any] = {
        "socket": number,
        "object": ObjectRef("ROOM", object_id().key, "x"),
        "tags": ("a",),
        "attachment": b"kept",
        "protocol": "chat",
        "auto_response_ms": 5,
        "auto_response": ("ping", "pong"),
    }
    return RolledSocket(**(facts | changes))


def test_a_grant_carries_what_the_gateway_must_know(registry: Registry) -> None:
    socket = registry.accepted(tags=("a", "b"))
    socket.attachment = b"mine"
    registry.place.roll.auto_response = ("ping", "pong")
    grant = registry.sockets.grant(registry.place, socket)
    assert grant == frames.SocketGrant(
        3, 1, 33, ObjectRef("ROOM", object_id().key, "x"), ("a", "b"), True, b"mine", ("ping", "pong")
    )


def test_what_waited_is_sent_first_when_the_client_is_there(registry: Registry) -> None:
    socket = registry.accepted()
    grant = registry.sockets.grant(registry.place, socket)
    registry.place.outlet.emit([Send("early", [socket])])
    assert registry.sockets.opened(grant.grant, NUMBER, "chat")
    registry.place.outlet.emit([Send("late", [socket])])
    assert registry.peer.frames == [
        frames.Send([NUMBER], "early"),
        frames.Joined(NUMBER),
        frames.Send([NUMBER], "late"),
    ]
    assert (socket.number, socket.protocol, socket.waiting) == (NUMBER, "chat", None)
    assert registry.sockets.by_number[NUMBER] == (registry.place, socket)


def test_a_grant_is_opened_once(registry: Registry) -> None:
    grant = registry.sockets.grant(registry.place, registry.accepted())
    assert registry.sockets.opened(grant.grant, NUMBER, "")
    assert not registry.sockets.opened(grant.grant, NUMBER + 1, "")
    registry.sockets.drop_grant(grant.grant)
    assert registry.delivered == []


def test_a_dropped_grant_is_a_lost_socket(registry: Registry) -> None:
    socket = registry.accepted()
    registry.sockets.drop_grant(registry.sockets.grant(registry.place, socket).grant)
    (event,) = registry.delivered
    assert isinstance(event, SocketClosed)
    assert (event.socket, event.code, event.was_clean) == (socket, 1006, False)
    assert event.reason == "disconnected without sending Close"
    assert socket.ready_state == CLOSED
    assert not registry.place.opening


def test_a_grant_that_nobody_opens_is_dropped_in_the_end(registry: Registry) -> None:
    registry.sockets.grant(registry.place, registry.accepted())
    registry.clock.advance(29)
    registry.sockets.drop_old_grants(30)
    assert registry.delivered == []
    registry.clock.advance(1)
    registry.sockets.drop_old_grants(30)
    assert len(registry.delivered) == 1
    assert registry.sockets.grants == {}


def test_the_roll_brings_back_everything_that_is_known_of_a_socket(registry: Registry) -> None:
    registry.sockets.roll(rolled(NUMBER))
    (socket,) = registry.place.roll.sockets
    assert (socket.number, socket.tags, socket.attachment, socket.protocol) == (NUMBER, ("a",), b"kept", "chat")
    assert (socket.auto_response_ms, socket.ready_state, socket.hibernating) == (5, OPEN, True)
    assert registry.place.roll.auto_response == ("ping", "pong")
    registry.place.outlet.emit([Send("m", [socket])])
    assert registry.peer.frames == [frames.Send([NUMBER], "m")]
    assert registry.delivered == []


def test_a_rolled_socket_of_no_known_object_raises(registry: Registry) -> None:
    with pytest.raises(UnknownBindingError):
        registry.sockets.roll(rolled(NUMBER, object=ObjectRef("GONE", b"", None)))


def test_an_object_hears_of_the_end_of_a_socket_once(registry: Registry) -> None:
    registry.sockets.roll(rolled(NUMBER))
    registry.sockets.closed(NUMBER, 1000, "bye", True)
    registry.sockets.closed(NUMBER, 1006, "", False)
    registry.sockets.peer_lost(GATEWAY)
    (event,) = registry.delivered
    assert isinstance(event, SocketClosed)
    assert (event.code, event.reason, event.was_clean) == (1000, "bye", True)
    assert list(registry.place.members) == []
    assert len(registry.place.roll) == 1  # the handler still sees it listed


def test_a_failure_is_told_and_the_end_follows(registry: Registry) -> None:
    registry.sockets.roll(rolled(NUMBER))
    registry.sockets.failed(NUMBER, "invalid frame")
    registry.sockets.closed(NUMBER, 1006, "", False)
    first, second = registry.delivered
    assert isinstance(first, SocketFailed)
    assert str(first.error) == "invalid frame"
    assert isinstance(second, SocketClosed)


def test_an_object_that_does_not_listen_is_not_woken_for_the_end_of_a_socket() -> None:
    registry = Registry(Room)
    registry.sockets.roll(rolled(NUMBER))
    registry.sockets.failed(NUMBER, "invalid frame")
    registry.sockets.closed(NUMBER, 1000, "", True)
    assert registry.delivered == []
    assert len(registry.place.roll) == 0
    assert registry.released == [registry.place]


def test_an_awake_object_hears_of_it_even_if_it_does_not_listen() -> None:
    registry = Registry(Room)
    registry.sockets.roll(rolled(NUMBER))
    registry.place.activation = object()  # type: ignore[assignment]
    registry.sockets.closed(NUMBER, 1000, "", True)
    assert len(registry.delivered) == 1


def test_a_lost_gateway_takes_its_own_sockets_along(registry: Registry) -> None:
    other = OTHER_GATEWAY << PEER_SHIFT | 1
    for number in (NUMBER, NUMBER + 1, other):
        registry.sockets.roll(rolled(number))
    registry.sockets.peer_lost(GATEWAY)
    assert [event.code for event in registry.delivered if isinstance(event, SocketClosed)] == [1006, 1006]
    assert list(registry.sockets.by_number) == [other]
    assert list(registry.sockets.peers) == [OTHER_GATEWAY]


def test_an_automatic_answer_wakes_nobody(registry: Registry) -> None:
    registry.sockets.roll(rolled(NUMBER))
    registry.sockets.auto_answered(NUMBER, 77)
    registry.sockets.auto_answered(NUMBER + 5, 77)
    (socket,) = registry.place.roll.sockets
    assert socket.auto_response_ms == 77
    assert registry.place.surroundings.meter.auto_responses == 1
    assert registry.delivered == []


async def test_too_much_waiting_for_a_client_ends_the_socket(registry: Registry) -> None:
    socket = registry.accepted()
    grant = registry.sockets.grant(registry.place, socket)
    registry.sockets.overflow(registry.place, socket)
    assert registry.delivered == []  # effects of the object are leaving just now
    await asyncio.sleep(0)
    (event,) = registry.delivered
    assert isinstance(event, SocketClosed)
    assert event.code == 1013
    assert not registry.sockets.opened(grant.grant, NUMBER, "")
