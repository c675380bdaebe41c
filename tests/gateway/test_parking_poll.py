from __future__ import annotations

import select
import selectors
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from roost.gateway.parking_poll import READY_MAX, EpollSet, PollSet, SelectorSet, make_poll_set


@pytest.fixture(params=[EpollSet, SelectorSet])
def poll_set(request: pytest.FixtureRequest) -> Iterator[PollSet]:
    made: Callable[[], PollSet] = request.param
    watched = made()
    yield watched
    watched.close()


def is_readable(poll_set: PollSet) -> bool:
    return bool(select.select([poll_set.fileno()], [], [], 0)[0])


def test_the_set_is_readable_exactly_while_one_of_it_is(poll_set: PollSet) -> None:
    own, peer = socket.socketpair()
    with own, peer:
        poll_set.add(own.fileno())
        assert not is_readable(poll_set)
        assert poll_set.ready() == []
        peer.send(b"x")
        assert is_readable(poll_set)
        assert poll_set.ready() == [own.fileno()]
        own.recv(1)
        assert not is_readable(poll_set)


def test_what_was_left_unread_is_told_again(poll_set: PollSet) -> None:
    own, peer = socket.socketpair()
    with own, peer:
        poll_set.add(own.fileno())
        peer.send(b"xy")
        assert poll_set.ready() == [own.fileno()]
        own.recv(1)
        assert poll_set.ready() == [own.fileno()]


def test_what_came_before_it_was_added_is_told(poll_set: PollSet) -> None:
    own, peer = socket.socketpair()
    with own, peer:
        peer.send(b"x")
        poll_set.add(own.fileno())
        assert poll_set.ready() == [own.fileno()]


def test_the_end_of_a_half_is_told(poll_set: PollSet) -> None:
    own, peer = socket.socketpair()
    with own, peer:
        poll_set.add(own.fileno())
        peer.shutdown(socket.SHUT_WR)
        assert poll_set.ready() == [own.fileno()]


def test_a_reset_is_told(poll_set: PollSet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as peer:
        own, _ = server.accept()
        with own:
            poll_set.add(own.fileno())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            assert poll_set.ready() == [own.fileno()]


def test_what_was_removed_is_not_told(poll_set: PollSet) -> None:
    own, peer = socket.socketpair()
    with own, peer:
        poll_set.add(own.fileno())
        poll_set.remove(own.fileno())
        peer.send(b"x")
        assert not is_readable(poll_set)
        assert poll_set.ready() == []


def test_so_many_are_told_at_once_and_the_others_next(poll_set: PollSet) -> None:
    pairs = [socket.socketpair() for _ in range(READY_MAX + 10)]
    for own, peer in pairs:
        peer.send(b"x")
        poll_set.add(own.fileno())
    told: set[int] = set()
    while is_readable(poll_set):
        ready = poll_set.ready()
        assert len(ready) <= READY_MAX
        for descriptor in ready:
            poll_set.remove(descriptor)
        told |= set(ready)
    assert told == {own.fileno() for own, _ in pairs}
    for pair in pairs:
        for end in pair:
            end.close()


def test_epoll_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_poll_set()
    assert isinstance(made, EpollSet)
    made.close()
    monkeypatch.delattr(select, "epoll")
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.EpollSelector)  # it holds on to what was removed
    other = make_poll_set()
    assert isinstance(other, SelectorSet)
    other.close()


def test_a_selector_without_a_descriptor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.PollSelector)
    with pytest.raises(RuntimeError, match=r"with PollSelector, .* park_seconds = 0"):
        SelectorSet()
