from __future__ import annotations

import random

import pytest

from roost.events import Attach, AutoRespond, Close, Depart, Effect, Finished, Send, SendToTagged
from roost.held_socket import HeldSocket
from roost.host.emitter import Peer, Waiting
from roost.host.place import PEER_SHIFT, Place
from roost.link import frames

from .parts import GATEWAY, OTHER_GATEWAY, KeepingPeer, place_of, socket_at


@pytest.fixture
def peers() -> dict[int, KeepingPeer]:
    return {GATEWAY: KeepingPeer(), OTHER_GATEWAY: KeepingPeer()}


@pytest.fixture
def place(peers: dict[int, Peer]) -> Place:
    return place_of(peers)[0]


def sent(peer: KeepingPeer) -> list[frames.Frame]:
    taken, peer.frames = peer.frames, []
    return taken


def test_frames_have_the_order_of_the_effects(place: Place, peers: dict[int, KeepingPeer]) -> None:
    a, b = socket_at(place, 1), socket_at(place, 2)
    departed: list[int] = []
    place.outlet.emit(
        [
            Send("1", [a]),
            Attach(b, b"kept"),
            Depart(lambda: departed.append(len(peers[GATEWAY].frames))),
            Send(b"2", [a, b]),
            Close(a, 4001, "enough"),
            AutoRespond(("ping", "pong")),
        ]
    )
    assert sent(peers[GATEWAY]) == [
        frames.Send([a.number], "1"),
        frames.Attach(b.number, b"kept"),
        frames.Send([a.number, b.number], b"2"),
        frames.CloseSocket(a.number, 4001, "enough"),
        frames.AutoRespond(place.key, ("ping", "pong")),
    ]
    assert departed == [2]


def test_each_peer_gets_the_sockets_that_it_holds(place: Place, peers: dict[int, KeepingPeer]) -> None:
    a, b = socket_at(place, 1), socket_at(place, 1, peer=OTHER_GATEWAY)
    place.outlet.emit([Send("m", [a, b]), Finished([b, a, b])])
    assert sent(peers[GATEWAY]) == [frames.Send([a.number], "m")]
    assert sent(peers[OTHER_GATEWAY]) == [frames.Send([b.number], "m")]
    assert peers[GATEWAY].done == [a.number]
    assert peers[OTHER_GATEWAY].done == [b.number, b.number]


def test_what_is_for_a_lost_peer_is_dropped(place: Place, peers: dict[int, KeepingPeer]) -> None:
    gone = socket_at(place, 1, peer=123)
    here = socket_at(place, 1)
    place.outlet.emit(
        [Send("m", [gone]), Send("m", [gone, here]), Finished([gone]), Close(gone, None, ""), Attach(gone, None)]
    )
    assert sent(peers[GATEWAY]) == [frames.Send([here.number], "m")]
    assert gone.waiting is None


def test_the_loop_over_all_but_the_sender_is_one_frame_that_names_a_set(
    place: Place, peers: dict[int, KeepingPeer]
) -> None:
    sockets = [socket_at(place, n, tags=("room",)) for n in range(100)]
    place.outlet.emit([Send("m", sockets[1:])])
    assert sent(peers[GATEWAY]) == [frames.SendToTagged(place.key, None, [sockets[0].number], "m")]


def test_a_loop_over_a_tag_names_the_tag(place: Place, peers: dict[int, KeepingPeer]) -> None:
    tagged = [socket_at(place, n, tags=("team", f"user-{n}")) for n in range(20)]
    for n in range(20, 60):
        socket_at(place, n)
    place.outlet.emit([Send("m", tagged)])
    assert sent(peers[GATEWAY]) == [frames.SendToTagged(place.key, "team", [], "m")]


def test_a_short_or_scattered_list_stays_a_list(place: Place, peers: dict[int, KeepingPeer]) -> None:
    sockets = [socket_at(place, n) for n in range(100)]
    place.outlet.emit([Send("m", sockets[:3]), Send("m", sockets[::2])])
    assert sent(peers[GATEWAY]) == [
        frames.Send([socket.number for socket in sockets[:3]], "m"),
        frames.Send([socket.number for socket in sockets[::2]], "m"),
    ]


def test_a_socket_that_is_sent_to_twice_gets_it_twice(place: Place, peers: dict[int, KeepingPeer]) -> None:
    sockets = [socket_at(place, n) for n in range(10)]
    twice = [*sockets, sockets[0]]
    place.outlet.emit([Send("m", twice)])
    assert sent(peers[GATEWAY]) == [frames.Send([socket.number for socket in twice], "m")]


def test_active_sockets_are_no_members_of_a_set(place: Place, peers: dict[int, KeepingPeer]) -> None:
    members = [socket_at(place, n) for n in range(40)]
    active = socket_at(place, 99, hibernating=False)
    place.outlet.emit([Send("m", [*members, active])])
    assert sent(peers[GATEWAY]) == [
        frames.SendToTagged(place.key, None, [], "m"),
        frames.Send([active.number], "m"),
    ]


def test_a_socket_that_was_closed_is_no_member_any_more(place: Place, peers: dict[int, KeepingPeer]) -> None:
    sockets = [socket_at(place, n) for n in range(20)]
    place.outlet.emit([Close(sockets[0], 1000, ""), SendToTagged("m", None, []), Send("n", sockets[1:])])
    assert sent(peers[GATEWAY])[1:] == [
        frames.SendToTagged(place.key, None, [], "m"),
        frames.SendToTagged(place.key, None, [], "n"),
    ]


def coming_to(place: Place, *tags: str, hibernating: bool = True) -> HeldSocket:
    """A socket whose client is on its way."""
    coming = HeldSocket(tags=tags, hibernating=hibernating)
    place.roll.add(coming)
    place.opening[coming] = None
    return coming


def test_what_is_sent_to_a_set_waits_for_those_whose_client_is_on_its_way(
    place: Place, peers: dict[int, KeepingPeer]
) -> None:
    sockets = [socket_at(place, n, tags=("t",)) for n in range(20)]
    coming, untagged, active = coming_to(place, "t"), coming_to(place), coming_to(place, "t", hibernating=False)
    place.outlet.emit(
        [
            Send("all", [*sockets, coming, untagged]),
            SendToTagged("set", None, [sockets[0]]),
            SendToTagged("tag", "t", [untagged]),
            SendToTagged("others", None, [coming]),
        ]
    )
    assert sent(peers[GATEWAY]) == [
        frames.SendToTagged(place.key, None, [], "all"),
        frames.SendToTagged(place.key, None, [sockets[0].number], "set"),
        frames.SendToTagged(place.key, "t", [], "tag"),
        frames.SendToTagged(place.key, None, [], "others"),
    ]
    assert [effect.data for effect in coming.waiting or () if isinstance(effect, Send)] == ["all", "set", "tag"]
    assert [effect.data for effect in untagged.waiting or () if isinstance(effect, Send)] == ["all", "set", "others"]
    assert active.waiting is None


def test_a_set_is_named_to_each_peer_that_has_members(place: Place, peers: dict[int, KeepingPeer]) -> None:
    here = [socket_at(place, n, tags=("a",)) for n in range(3)]
    socket_at(place, 0, peer=OTHER_GATEWAY)
    place.outlet.emit(
        [SendToTagged("all", None, [here[0]]), SendToTagged("a", "a", [here[1]]), SendToTagged("none", "a", here)]
    )
    assert sent(peers[GATEWAY]) == [
        frames.SendToTagged(place.key, None, [here[0].number], "all"),
        frames.SendToTagged(place.key, "a", [here[1].number], "a"),
    ]
    assert sent(peers[OTHER_GATEWAY]) == [frames.SendToTagged(place.key, None, [], "all")]


def test_what_is_for_a_client_that_is_not_connected_waits_in_order(place: Place, peers: dict[int, KeepingPeer]) -> None:
    socket = HeldSocket()
    effects: list[Effect] = [Send("a", [socket]), Attach(socket, b"x"), Send("b", [socket]), Close(socket, 1000, "")]
    place.outlet.emit(effects)
    assert isinstance(socket.waiting, Waiting)
    assert [type(effect) for effect in socket.waiting] == [Send, Attach, Send, Close]
    assert sent(peers[GATEWAY]) == []


def test_what_waits_for_a_client_is_bounded(peers: dict[int, Peer]) -> None:
    place, overflown = place_of(peers, waiting_bytes_max=10)
    socket = HeldSocket()
    place.outlet.emit([Send("12345", [socket]), Send(b"12345", [socket])])
    assert overflown == []
    place.outlet.emit([Send("!", [socket])])
    assert overflown == [socket]


def test_a_new_automatic_response_reaches_sockets_that_are_being_opened(
    place: Place, peers: dict[int, KeepingPeer]
) -> None:
    coming = HeldSocket()
    place.opening[coming] = None
    place.outlet.emit([AutoRespond(None)])
    assert [type(effect) for effect in coming.waiting or ()] == [AutoRespond]
    assert sent(peers[GATEWAY]) == []


def reached(place: Place, frame: frames.Frame, held: list[HeldSocket]) -> list[int]:
    """Which of the sockets a peer would send that frame to."""
    if isinstance(frame, frames.Send):
        return list(frame.sockets)
    assert isinstance(frame, frames.SendToTagged)
    return [
        socket.number
        for socket in held
        if socket.hibernating
        and (frame.tag is None or frame.tag in socket.tags)
        and socket.number not in frame.excluded
    ]


def test_every_broadcast_reaches_exactly_the_sockets_that_were_meant() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    choice = random.Random(seed)
    for _ in range(300):
        keeping = {GATEWAY: KeepingPeer(), OTHER_GATEWAY: KeepingPeer()}
        place, _ = place_of(dict(keeping))
        held = {
            peer: [
                socket_at(
                    place,
                    n,
                    peer=peer,
                    tags=tuple(choice.sample(["a", "b", "c"], choice.randrange(3))),
                    hibernating=choice.random() < 0.9,
                )
                for n in range(choice.randrange(30))
            ]
            for peer in keeping
        }
        everyone = held[GATEWAY] + held[OTHER_GATEWAY]
        if not everyone:
            continue
        tag = choice.choice([None, "a", "b", "c"])
        base = [socket for socket in everyone if tag is None or tag in socket.tags]
        meant = [socket for socket in base if choice.random() < choice.choice([0.5, 0.9, 1.0])]
        if not meant:
            continue
        place.outlet.emit([Send("m", meant)])
        got = [n for peer, one in keeping.items() for frame in one.frames for n in reached(place, frame, held[peer])]
        assert sorted(got) == sorted(socket.number for socket in meant), f"seed {seed}"
        assert all(number >> PEER_SHIFT in keeping for number in got)
