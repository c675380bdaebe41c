from __future__ import annotations

from tests.gateway.fake_member import Corked, FakeMember

from roost.gateway.framing import encode_message
from roost.gateway.shared_batch import VAIN_BATCHES_MAX, SharedBatch

A, B, C = (encode_message(text) for text in "abc")


class Room(Corked):
    """One member whose object has a batch."""

    def __init__(self, seconds_max: float = 0.001) -> None:
        super().__init__(seconds_max)
        self.batch = SharedBatch(self.cork)
        self.member = FakeMember()
        self.member.batch = self.batch
        self.members = {self.member: None}

    def say(self, message: str) -> None:
        self.batch.add(self.members, message)

    def ask(self, count: int = 1) -> None:
        """The host is given messages."""
        self.batch.unfinished += count

    def answer(self, message: str) -> None:
        """The host has finished one, and this came of it."""
        self.say(message)
        self.batch.finished()


def test_what_is_queued_in_a_turn_is_one_write_in_order() -> None:
    corked, one, two = Corked(), FakeMember(), FakeMember()
    corked.cork.write(one, b"1")
    corked.cork.write(two, b"2")
    corked.cork.write(one, b"3")
    assert one.writes == []
    corked.loop.turn()
    assert one.writes == [b"13"]
    assert two.writes == [b"2"]


def test_each_turn_has_its_own_write() -> None:
    room = Room()
    for _ in range(3):
        room.say("a")
        room.loop.turn()
    assert room.member.writes == [A] * 3


def test_a_message_to_several_is_framed_once() -> None:
    corked, many = Corked(), [FakeMember() for _ in range(3)]
    corked.cork.send_all(many, "a")
    assert len({id(one.pending[0]) for one in many}) == 1
    corked.loop.turn()
    assert [one.writes for one in many] == [[A]] * 3


def test_what_was_written_already_is_not_written_again() -> None:
    corked, one = Corked(), FakeMember()
    corked.cork.write(one, b"x")
    one.flush()
    corked.cork.flush()
    corked.loop.turn()
    assert one.writes == [b"x"]


def test_what_is_queued_while_writing_leaves_in_the_next_turn() -> None:
    corked, second = Corked(), FakeMember()

    class Answering(FakeMember):
        def flush(self) -> None:
            super().flush()
            corked.cork.write(second, b"answer")

    corked.cork.write(Answering(), b"x")
    corked.loop.turn()
    assert second.writes == []
    corked.loop.turn()
    assert second.writes == [b"answer"]


class TestWaiting:
    def test_the_answer_to_the_only_message_under_way_does_not_wait(self) -> None:
        room = Room()
        room.ask()
        room.answer("a")
        room.loop.turn()
        assert room.member.writes == [A]
        assert room.clock.pending == 0

    def test_it_waits_for_the_messages_that_the_host_still_has_and_no_longer(self) -> None:
        room = Room()
        room.ask(3)
        room.answer("a")
        room.loop.turn()
        room.answer("b")
        room.loop.turn()
        assert room.member.writes == []
        room.answer("c")
        room.loop.turn()
        assert room.member.writes == [A + B + C]
        assert room.clock.pending == 0, "nobody waits any more"

    def test_what_clients_sent_until_the_end_of_the_turn_is_waited_for_too(self) -> None:
        room = Room()
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        room.answer("b")
        room.ask()
        room.loop.turn()
        assert room.member.writes == []
        room.answer("c")
        room.loop.turn()
        assert room.member.writes == [A + B + C]

    def test_it_waits_no_longer_than_the_limit(self) -> None:
        room = Room()
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        room.clock.advance(0.0009)
        assert room.member.writes == []
        room.clock.advance(0.0001)
        assert room.member.writes == [A]

    def test_with_a_limit_of_0_nothing_waits(self) -> None:
        room = Room(0)
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        assert room.member.writes == [A]

    def test_what_took_too_long_is_not_waited_for_again(self) -> None:
        room = Room()
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        room.clock.advance(0.001)
        room.say("b")
        room.loop.turn()
        assert room.member.writes == [A, B]

    def test_waiting_in_vain_again_and_again_makes_it_rare(self) -> None:
        room, waited = Room(), 0
        for turn in range(20 * VAIN_BATCHES_MAX):
            room.ask(2)
            room.answer("a")
            room.loop.turn()
            waited += len(room.member.writes) == turn
            room.clock.advance(0.001)
            room.batch.finished()
            assert len(room.member.writes) == turn + 1
        assert 20 <= waited <= 30

    def test_waiting_that_brought_something_is_done_again(self) -> None:
        room = Room()
        for turn in range(20):
            room.ask(3)
            room.answer("a")
            room.loop.turn()
            room.answer("b")
            room.loop.turn()
            assert len(room.member.writes) == turn
            room.clock.advance(0.001)
            assert room.member.writes[turn:] == [A + B]
            room.batch.finished()

    def test_what_is_for_one_socket_alone_does_not_wait_and_stays_in_order(self) -> None:
        room = Room()
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        room.cork.write(room.member, b"<pong>")
        room.loop.turn()
        assert room.member.writes == [A + b"<pong>"]
        room.answer("b")
        room.loop.turn()
        assert room.member.writes == [A + b"<pong>", B]

    def test_other_objects_do_not_wait(self) -> None:
        room, other = Room(), FakeMember()
        room.ask(2)
        room.answer("a")
        batch = SharedBatch(room.cork)
        batch.add({other: None}, "b")
        room.loop.turn()
        assert (room.member.writes, other.writes) == ([], [B])

    def test_a_host_that_is_gone_is_not_waited_for(self) -> None:
        room = Room()
        room.ask(2)
        room.answer("a")
        room.loop.turn()
        room.batch.forget()
        room.loop.turn()
        assert room.member.writes == [A]
        room.ask()
        room.answer("b")
        room.loop.turn()
        assert room.member.writes == [A, B]
