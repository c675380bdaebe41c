from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roost.held_socket import OPEN, HeldSocket, SocketRoll


def test_a_socket_starts_open_and_unnumbered() -> None:
    socket = HeldSocket(tags=("a",))
    assert (socket.number, socket.ready_state, socket.attachment, socket.waiting) == (0, OPEN, None, None)


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.sampled_from("abc"))), max_size=30))
def test_the_roll_lists_by_tag_in_the_order_of_acceptance(steps: list[tuple[int, set[str]]]) -> None:
    roll, model = SocketRoll(), list[HeldSocket]()
    for discard, tags in steps:
        if discard == 0 and model:
            roll.discard(model.pop(0))
        socket = HeldSocket(tags=tuple(sorted(tags)))
        roll.add(socket)
        model.append(socket)
        for tag in (None, "a", "b", "c"):
            expected = [one for one in model if tag is None or tag in one.tags]
            assert list(roll.tagged(tag)) == expected
            assert roll.count(tag) == len(expected)
        assert len(roll) == len(model)


def test_a_socket_is_discarded_once_and_leaves_no_tag_behind() -> None:
    roll, socket = SocketRoll(), HeldSocket(tags=("a", "b"))
    roll.add(socket)
    roll.discard(socket)
    roll.discard(socket)
    assert list(roll.tagged(None)) == list(roll.tagged("a")) == []
    assert not roll._by_tag
