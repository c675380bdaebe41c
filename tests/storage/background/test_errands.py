"""The messages between a host and its background writer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from roost.storage.background.errands import (
    Done,
    Failed,
    Recover,
    WritePages,
    receive_answer,
    receive_errand,
    receive_exactly,
    send,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_an_errand_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    errand = Recover([bytes(32), bytes(range(32))])
    send(ends[0], errand)
    assert receive_errand(ends[1]) == (errand, 0)


@pytest.mark.parametrize("answer", [Done([b"a"]), Failed("full", 28), Failed("broken", 5, True), Failed("odd")])
def test_an_answer_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket], answer: Done | Failed) -> None:
    send(ends[1], answer)
    assert receive_answer(ends[0]) == answer


def test_a_body_of_more_pages_than_one_call_takes_follows_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    pages = [os.urandom(4096) for _ in range(1500)]
    errand = WritePages("/a", list(range(1, 1501)), 1500, [], False)
    sender = threading.Thread(target=send, args=(ends[0], errand, pages))
    sender.start()
    found, length = receive_errand(ends[1])
    assert (found, length) == (errand, 1500 * 4096)
    assert bytes(receive_exactly(ends[1], length)) == b"".join(pages)
    sender.join()


def test_a_send_that_is_cut_short_goes_on_where_it_was(ends: tuple[socket.socket, socket.socket]) -> None:
    class Interrupted:
        def sendmsg(self, pieces: list[bytes]) -> int:
            return ends[0].send(b"".join(pieces)[:7])

        def sendall(self, rest: bytes) -> None:
            ends[0].sendall(rest)

    send(Interrupted(), Recover([b"k" * 32]))  # type: ignore[arg-type]
    assert receive_errand(ends[1]) == (Recover([b"k" * 32]), 0)


def test_a_side_that_is_gone_is_told_from_a_message(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(b"half")
    ends[0].close()
    with pytest.raises(EOFError, match="the other side is gone"):
        receive_answer(ends[1])
