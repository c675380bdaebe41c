from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roost.gateway.flow import MESSAGE_COST, Account, Ledger
from roost.limits import Limits

LIMITS = Limits(link_unfinished_bytes_max=10_000, socket_unfinished_bytes_max=2_000, socket_away_bytes_max=500)


class Socket(Account):
    __slots__ = ("is_read",)

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True

    def stop_reading(self) -> None:
        self.is_read = False

    def start_reading(self) -> None:
        self.is_read = True


def present() -> Ledger:
    ledger = Ledger(LIMITS)
    ledger.host_is_away(False)
    return ledger


def test_a_socket_above_its_bound_is_read_again_below_half() -> None:
    ledger, socket, other = present(), Socket(), Socket()
    for _ in range(5):
        ledger.take(socket, 500 - MESSAGE_COST)
    ledger.take(other, 10)
    assert (socket.is_read, other.is_read) == (False, True)
    ledger.give(socket)
    ledger.give(socket)
    assert not socket.is_read
    ledger.give(socket)
    assert socket.is_read


def test_above_the_bound_of_the_link_whoever_sends_is_not_read_until_half() -> None:
    ledger, sockets, silent = present(), [Socket() for _ in range(13)], Socket()
    for socket in sockets:
        ledger.take(socket, 900 - MESSAGE_COST)
    assert [socket.is_read for socket in sockets] == [True] * 11 + [False] * 2
    assert silent.is_read
    for socket in sockets[:7]:
        ledger.give(socket)
        assert not sockets[12].is_read
    ledger.give(sockets[7])
    assert sockets[12].is_read
    assert ledger.unfinished == 5 * 900


def test_while_the_host_is_away_the_bound_is_smaller() -> None:
    ledger, socket = present(), Socket()
    ledger.host_is_away(True)
    ledger.take(socket, 500)
    assert not socket.is_read
    ledger.host_is_away(False)
    assert socket.is_read


def test_a_link_that_does_not_drain_stops_whoever_sends() -> None:
    ledger, socket, silent = present(), Socket(), Socket()
    ledger.choke(True)
    ledger.take(socket, 1)
    assert (socket.is_read, silent.is_read) == (False, True)
    ledger.give(socket)
    assert not socket.is_read
    ledger.choke(False)
    assert socket.is_read


def test_empty_messages_are_bounded_too() -> None:
    ledger, socket = present(), Socket()
    count = 0
    while socket.is_read:
        ledger.take(socket, 0)
        count += 1
    assert count == 2_000 // MESSAGE_COST + 1


def test_what_was_handed_over_and_lost_is_forgotten_and_what_is_held_is_not() -> None:
    ledger, socket = present(), Socket()
    for size in (100, 200, 300):
        ledger.take(socket, size)
    socket.held = 1
    ledger.forget_handed_over(socket)
    assert (socket.costs, socket.unfinished, ledger.unfinished) == ([300 + MESSAGE_COST],) + (300 + MESSAGE_COST,) * 2
    ledger.give(socket)  # of an earlier life of the host
    assert socket.unfinished == 300 + MESSAGE_COST
    ledger.forget_held(socket)
    assert (socket.costs, socket.held, socket.unfinished, ledger.unfinished) == ([], 0, 0, 0)


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1_500)), max_size=80))
def test_no_order_of_taking_and_giving_loses_count_or_leaves_a_socket_stopped(steps: list[tuple[int, int]]) -> None:
    ledger, sockets = present(), [Socket() for _ in range(4)]
    for which, size in steps:
        if size % 2:
            ledger.take(sockets[which], size)
        else:
            ledger.give(sockets[which])
        assert ledger.unfinished == sum(socket.unfinished for socket in sockets)
        assert all(not socket.is_read for socket in sockets if socket.unfinished > 2_000)
    for socket in sockets:
        while socket.costs:
            ledger.give(socket)
    assert ledger.unfinished == 0
    assert all(socket.is_read for socket in sockets)
