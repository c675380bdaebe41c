from __future__ import annotations

from roost.host.place import Place

from .parts import GATEWAY, OTHER_GATEWAY, Room, object_id, place_of, socket_at


def test_a_place_without_anything_is_empty() -> None:
    place = Place(object_id(), Room)
    assert place.empty
    place.requests = 1
    assert not place.empty


def test_a_place_with_a_socket_is_kept() -> None:
    place, _ = place_of({})
    socket = socket_at(place, 1)
    assert not place.empty
    place.leave(socket)
    place.roll.discard(socket)
    assert place.empty


def test_members_are_told_by_peer_and_tag() -> None:
    place, _ = place_of({})
    a = socket_at(place, 1, tags=("red",))
    b = socket_at(place, 2, peer=OTHER_GATEWAY)
    assert {peer: list(members) for peer, members in place.members_tagged(None)} == {GATEWAY: [a], OTHER_GATEWAY: [b]}
    assert {peer: list(members) for peer, members in place.members_tagged("red")} == {GATEWAY: [a]}


def test_only_hibernating_sockets_are_members_until_they_leave() -> None:
    place, _ = place_of({})
    socket_at(place, 1, hibernating=False)
    member = socket_at(place, 2)
    assert list(place.members_tagged(None)) == [(GATEWAY, {member: None})]
    place.leave(member)
    assert list(place.members_tagged(None)) == []


def test_the_address_of_a_place_is_that_of_its_object() -> None:
    place = Place(object_id("lobby"), Room)
    assert (place.ref.binding, place.ref.key, place.ref.name) == ("ROOM", object_id("lobby").key, "lobby")
    assert "asleep" in repr(place)
