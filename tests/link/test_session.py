from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.errors import LimitExceededError, LinkError, UnserialisableError
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import Frame, Hello
from roost.link.session import Session, Side

GATEWAY = Hello(frames.VERSION, "gateway", 0, 7)
HOST = Hello(frames.VERSION, "host", 3, 8)

A_REF = frames.ObjectRef("ROOM", b"k" * 32, "a name")
A_GRANT = frames.SocketGrant(1, 2, 3, A_REF, ("t",), True, b"a", ("ping", "pong"))
FROM_PEER: list[Frame] = [
    frames.Roll([frames.RolledSocket(5, A_REF, ("t", "u"), None, "chat", 17, None, (3, 2))]),
    frames.RollEnd(),
    frames.RequestStart(1, A_REF, "GET", "http://x/", [("a", "b"), ("a", "c")], b"body", True, False, "1.2.3.4:5"),
    frames.BodyChunk(1, b"more", False),
    frames.BodyCredit(1, 100),
    frames.StreamReset(1, "gone"),
    frames.SocketOpened(2, 5, "chat"),
    frames.GrantDropped(2),
    frames.SocketMessage(5, "text é"),
    frames.SocketMessage(5, b"\x00\xff"),
    frames.SocketClosed(5, 1006, "", False),
    frames.SocketFailed(5, "bad frame"),
    frames.AutoAnswered(5, 1234),
    frames.Drained(),
]
FROM_OWNER: list[Frame] = [
    frames.ResponseStart(1, 101, [], b"", False, A_GRANT, "Switching"),
    frames.Send([1, 2, 3], "text"),
    frames.SendToTagged(b"k" * 32, "t", [5], b"binary"),
    frames.CloseSocket(5, None, ""),
    frames.Attach(5, None),
    frames.AutoRespond(b"k" * 32, ("ping", "pong")),
    frames.Finished([5, 5, 6]),
    frames.Joined(5),
    frames.Drain(),
    frames.Goodbye(),
]


def wire(side: Side, hello: Hello, sent: list[Frame], limits: Limits | None = None) -> bytes:
    session = Session(side, hello, limits or Limits())
    for frame in sent:
        session.put(frame)
    return bytes(session.take())


def batches(data: bytes) -> list[int]:
    """The lengths of the batches on the wire."""
    lengths = []
    while data:
        length = int.from_bytes(data[:4])
        lengths.append(length)
        data = data[4 + length :]
    return lengths


def batch_of(*values: Any) -> bytes:
    raw = msgspec.msgpack.encode(list(values))
    return len(raw).to_bytes(4) + raw


@pytest.mark.parametrize(
    ("sender", "hello", "receiver", "own", "sent"),
    [(Side.PEER, GATEWAY, Side.OWNER, HOST, FROM_PEER), (Side.OWNER, HOST, Side.PEER, GATEWAY, FROM_OWNER)],
)
def test_every_frame_arrives_as_it_was_sent(
    sender: Side, hello: Hello, receiver: Side, own: Hello, sent: list[Frame]
) -> None:
    assert Session(receiver, own).feed(wire(sender, hello, sent)) == [hello, *sent]


def test_every_kind_of_frame_is_tried_here() -> None:
    kinds = {value for value in vars(frames).values() if isinstance(value, type) and issubclass(value, frames._Frame)}
    assert kinds - {frames._Frame, Hello} == {type(frame) for frame in FROM_PEER + FROM_OWNER}


def test_frames_of_one_turn_are_one_batch() -> None:
    assert len(batches(wire(Side.PEER, GATEWAY, FROM_PEER))) == 1


@pytest.mark.parametrize("posted", [1, 15, 16, 200, 70_000])
def test_what_is_posted_arrives_in_its_order_among_what_is_put(posted: int) -> None:
    session = Session(Side.PEER, GATEWAY)
    expected: list[Frame] = [GATEWAY]
    for number in range(posted):
        expected.append(frames.SocketMessage(number, "posted é"))
        session.post(expected[-1], 8)
    expected.append(frames.SocketMessage(0, b"put"))
    session.put(expected[-1])
    expected.append(frames.SocketMessage(1, "last"))
    session.post(expected[-1], 4)
    assert session.size
    assert Session(Side.OWNER, HOST).feed(bytes(session.take())) == expected
    assert session.size == 0


def test_what_is_posted_is_counted_as_what_is_put() -> None:
    session = Session(Side.PEER, GATEWAY)
    assert session.sent == 0
    session.post(frames.SocketMessage(1, "x"), 1)
    session.put(frames.SocketMessage(1, "x"))
    session.post(frames.SocketMessage(1, "x"), 1)
    assert session.sent == 3
    session.take()
    assert session.sent == 3


def test_batches_of_what_is_posted_are_closed_too() -> None:
    limits = Limits(link_batch_bytes=1_000)
    session = Session(Side.PEER, GATEWAY, limits)
    for number in range(100):
        session.post(frames.SocketMessage(number, "x" * 90), 90)
    lengths = batches(bytes(session.take()))
    assert len(lengths) >= 9
    assert max(lengths) <= 1_200


def test_after_a_posted_frame_that_cannot_be_sent_nothing_is() -> None:
    session = Session(Side.PEER, GATEWAY)
    session.post(frames.SocketMessage(1, "\ud800"), 1)
    session.put(frames.SocketMessage(1, "behind the gap"))
    for _ in range(2):
        with pytest.raises(LinkError, match="one of 1 frames"):
            session.take()


def test_a_session_that_has_nothing_to_say_writes_nothing() -> None:
    session = Session(Side.PEER, GATEWAY)
    session.take()
    assert session.size == 0
    assert session.take() == b""


@given(cuts=st.lists(st.integers(0, 10_000), max_size=20), rounds=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_bytes_may_be_cut_anywhere(cuts: list[int], rounds: int) -> None:
    sender = Session(Side.PEER, GATEWAY)
    data = bytearray()
    for _ in range(rounds):
        for frame in FROM_PEER:
            sender.put(frame)
        data += sender.take()
    receiver = Session(Side.OWNER, HOST)
    received: list[Frame] = []
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    for begin, end in itertools.pairwise(edges):
        received += receiver.feed(bytes(data[begin:end]))
    assert received == [GATEWAY, *FROM_PEER * rounds]


def test_every_single_cut_gives_the_same_frames() -> None:
    data = wire(Side.OWNER, HOST, FROM_OWNER)
    for cut in range(len(data) + 1):
        session = Session(Side.PEER, GATEWAY)
        assert session.feed(data[:cut]) + session.feed(data[cut:]) == [HOST, *FROM_OWNER]


def test_bytes_one_at_a_time_give_the_same_frames() -> None:
    session = Session(Side.PEER, GATEWAY)
    received: list[Frame] = []
    for byte in wire(Side.OWNER, HOST, FROM_OWNER):
        received += session.feed(bytes([byte]))
    assert received == [HOST, *FROM_OWNER]


def test_a_batch_arrives_whole_or_not_at_all() -> None:
    data = wire(Side.PEER, GATEWAY, FROM_PEER)
    session = Session(Side.OWNER, HOST)
    assert session.feed(data[:-1]) == []
    assert session.other is None
    with pytest.raises(LinkError, match="broke off"):
        session.finish()


def test_an_end_between_batches_is_in_good_order() -> None:
    session = Session(Side.OWNER, HOST)
    session.feed(wire(Side.PEER, GATEWAY, FROM_PEER))
    session.finish()


def test_large_batches_are_split_by_the_sender() -> None:
    limits = Limits(link_batch_bytes=1_000)
    sent: list[Frame] = [frames.SocketMessage(number, "x" * 90) for number in range(100)]
    data = wire(Side.PEER, GATEWAY, sent, limits)
    assert len(batches(data)) >= 10
    assert max(batches(data)) < 1_000 + 200
    assert Session(Side.OWNER, HOST, limits).feed(data) == [GATEWAY, *sent]


def test_a_single_frame_may_be_larger_than_a_batch() -> None:
    limits = Limits(link_batch_bytes=1_000, link_frame_bytes_max=100_000)
    sent: list[Frame] = [frames.SocketMessage(1, b"x" * 90_000), frames.SocketMessage(2, "after")]
    assert Session(Side.OWNER, HOST, limits).feed(wire(Side.PEER, GATEWAY, sent, limits)) == [GATEWAY, *sent]


def test_an_oversized_frame_fails_at_its_sender_and_harms_no_other() -> None:
    limits = Limits(link_frame_bytes_max=1_000)
    session = Session(Side.PEER, GATEWAY, limits)
    session.put(frames.SocketMessage(1, "before"))
    with pytest.raises(LimitExceededError, match="SocketMessage frame of") as raised:
        session.put(frames.SocketMessage(2, "x" * 1_001))
    assert raised.value.limit == 1_000
    session.put(frames.SocketMessage(3, "after"))
    received = Session(Side.OWNER, HOST, limits).feed(bytes(session.take()))
    assert received[1:] == [frames.SocketMessage(1, "before"), frames.SocketMessage(3, "after")]


@pytest.mark.parametrize("data", ["\ud800", object(), 2**70])
def test_a_frame_that_cannot_be_encoded_fails_at_its_sender_and_harms_no_other(data: object) -> None:
    session = Session(Side.PEER, GATEWAY)
    session.take()
    with pytest.raises(UnserialisableError, match="SocketMessage frame cannot be sent"):
        session.put(frames.SocketMessage(2, data))
    assert session.size == 0
    receiver = Session(Side.OWNER, HOST)
    receiver.feed(wire(Side.PEER, GATEWAY, []))
    session.put(frames.SocketMessage(3, "after"))
    assert receiver.feed(bytes(session.take())) == [frames.SocketMessage(3, "after")]


def test_a_length_beyond_the_bound_is_refused_before_its_bytes_are_awaited() -> None:
    with pytest.raises(LinkError, match="a batch of 4294967295 bytes"):
        Session(Side.OWNER, HOST).feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\1\xc1",  # a byte that MessagePack never uses
        b"\0\0\0\0",  # no array at all
        batch_of([99, 1]),  # an unknown frame
        batch_of([1, "one", "gateway", 0, 0]),  # a field of the wrong type
        batch_of([30, 1, 200, [], b"", False, None]),  # a frame of the other direction
        batch_of([1, 1, "gateway"]),  # too few fields
        b"\0\0\0\x03\x91\xa2\xff\xfe",  # text that is no UTF-8
    ],
)
def test_garbage_is_a_link_error_and_the_session_stays_broken(garbage: bytes) -> None:
    session = Session(Side.OWNER, HOST)
    with pytest.raises(LinkError):
        session.feed(garbage)
    with pytest.raises(LinkError):
        session.feed(wire(Side.PEER, GATEWAY, []))


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_a_link_error_or_wait_for_more(data: bytes) -> None:
    session = Session(Side.OWNER, HOST)
    try:
        assert session.feed(data) == []
    except LinkError:
        assert session.other is None


def test_another_version_ends_the_link() -> None:
    with pytest.raises(LinkError, match="version 99 of the link, this one 1"):
        Session(Side.OWNER, HOST).feed(wire(Side.PEER, Hello(99, "gateway", 0, 0), []))


def test_the_first_frame_must_be_hello() -> None:
    with pytest.raises(LinkError, match="must be Hello, got RollEnd"):
        Session(Side.OWNER, HOST).feed(batch_of([11]))


@pytest.mark.parametrize(("side", "own", "role"), [(Side.PEER, GATEWAY, "gateway"), (Side.OWNER, HOST, "browser")])
def test_a_role_that_the_other_end_cannot_have_ends_the_link(side: Side, own: Hello, role: str) -> None:
    with pytest.raises(LinkError, match="the other end must be a"):
        Session(side, own).feed(batch_of([1, frames.VERSION, role, 0, 0]))


def test_a_host_may_be_the_peer_of_a_host() -> None:
    assert Session(Side.OWNER, HOST).feed(wire(Side.PEER, HOST, [])) == [HOST]


def test_a_second_hello_ends_the_link() -> None:
    session = Session(Side.OWNER, HOST)
    session.feed(wire(Side.PEER, GATEWAY, []))
    with pytest.raises(LinkError, match="no frame"):
        session.feed(wire(Side.PEER, GATEWAY, []))


def test_a_second_hello_in_the_first_batch_ends_the_link() -> None:
    with pytest.raises(LinkError, match="second Hello"):
        Session(Side.OWNER, HOST).feed(wire(Side.PEER, GATEWAY, [GATEWAY]))


def test_the_other_end_is_known_by_its_hello() -> None:
    session = Session(Side.OWNER, HOST)
    session.feed(wire(Side.PEER, GATEWAY, []))
    assert session.other == GATEWAY
