from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from unittest import mock

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.gateway.fake_member import Bracketing, Corked, FakeMember, Numbering

from roost.gateway import shared_batch
from roost.gateway.coding import PLAIN
from roost.gateway.framing import encode_message
from roost.gateway.shared_batch import FEW, FULL_BYTES, SharedBatch


class Room(Corked):
    """One object's members, all in one set, and in whatever other sets a test makes of them."""

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.batch = SharedBatch(self.cork)
        self.all: dict[FakeMember, None] = {}
        self.members = [self.join(FakeMember()) for _ in range(count)]

    def join(self, member: FakeMember) -> FakeMember:
        self.batch.joins(member)
        member.batch = self.batch
        self.all[member] = None
        return member

    def leave(self, member: FakeMember, farewell: bytes) -> None:
        self.cork.write(member, farewell)
        self.batch.leaves(member)
        del self.all[member]

    def say(self, message: str, *left_out: FakeMember) -> None:
        self.batch.add(self.all, message, left_out)


def framed(*messages: str) -> bytes:
    return b"".join(map(encode_message, messages))


def test_many_members_that_get_the_same_share_one_bytes_object_in_one_write() -> None:
    room = Room(FEW + 1)
    for message in ("a", "b", "c"):
        room.say(message)
    room.loop.turn()
    assert [one.writes for one in room.members] == [[framed("a", "b", "c")]] * len(room.members)
    assert len({id(one.writes[0]) for one in room.members}) == 1
    assert room.members[0].counts == [3]


@pytest.fixture(params=[0, FEW], ids=["many", "few"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So few members count as few."""
    monkeypatch.setattr(shared_batch, "FEW", request.param)


@pytest.mark.usefixtures("few")
class TestOrder:
    def test_one_that_is_left_out_gets_the_rest_in_one_write(self) -> None:
        room = Room(3)
        one, two, _ = room.members
        room.say("a")
        room.say("b", one)
        room.say("c", two, one)
        room.say("d")
        room.loop.turn()
        assert [member.writes for member in room.members] == [
            [framed("a", "d")],
            [framed("a", "b", "d")],
            [framed("a", "b", "c", "d")],
        ]

    def test_one_that_is_left_out_of_all_is_not_written_to(self) -> None:
        room = Room(2)
        room.say("a", room.members[0])
        room.loop.turn()
        assert [member.writes for member in room.members] == [[], [framed("a")]]

    def test_own_frames_stand_at_their_place(self) -> None:
        room = Room(2)
        own = room.members[0]
        room.cork.write(own, b"<1>")
        room.say("a")
        room.cork.write(own, b"<2>")
        room.cork.send(own, "mine")
        room.say("b")
        room.loop.turn()
        assert own.writes == [b"<1>" + framed("a") + b"<2>" + framed("mine", "b")]
        assert own.counts == [5]
        assert room.members[1].writes == [framed("a", "b")]

    def test_one_that_joins_in_the_middle_gets_what_comes_later(self) -> None:
        room = Room(1)
        room.say("a")
        late = room.join(FakeMember())
        room.say("b")
        room.loop.turn()
        assert (late.writes, room.members[0].writes) == ([framed("b")], [framed("a", "b")])

    def test_one_that_leaves_in_the_middle_gets_what_came_before(self) -> None:
        room = Room(2)
        room.say("a")
        room.leave(room.members[0], b"<bye>")
        room.say("b")
        room.loop.turn()
        assert [member.writes for member in room.members] == [[framed("a") + b"<bye>"], [framed("a", "b")]]

    def test_one_that_is_lost_while_others_are_written_to_disturbs_nobody(self) -> None:
        room = Room(3)
        first, second, third = room.members

        def write_and_lose(data: bytes, count: int) -> None:
            room.batch.leaves(first)
            del room.all[first]

        first.write_joined = write_and_lose  # type: ignore[method-assign]
        room.say("a")
        room.loop.turn()
        room.say("b")
        room.loop.turn()
        assert (first.pending, second.writes, third.writes) == (
            [],
            [framed("a"), framed("b")],
            [framed("a"), framed("b")],
        )

    def test_a_batch_for_another_set_comes_behind_and_a_small_one_does_not_end_the_sharing(self) -> None:
        room = Room(8)
        half, one = dict.fromkeys(room.members[:4]), dict.fromkeys(room.members[:1])
        room.say("a")
        room.batch.add(one, "whispered")
        room.say("b")
        room.batch.add(half, "half", list(one))
        room.say("c")
        room.loop.turn()
        first, second, *_, last = room.members
        assert first.writes == [framed("a", "whispered", "b", "c")]
        assert second.writes == [framed("a", "b", "half", "c")]
        assert last.writes == [framed("a", "b", "c")]


@pytest.mark.usefixtures("few")
class TestCodings:
    def test_each_shared_coding_frames_a_message_once(self) -> None:
        room, coding = Room(3), Bracketing()
        framed_otherwise = [room.join(FakeMember(coding)) for _ in range(3)]
        room.say("a", framed_otherwise[0])
        room.say("b", room.members[0])
        room.loop.turn()
        assert [one.writes for one in framed_otherwise] == [[b"[b]"], [b"[a][b]"], [b"[a][b]"]]
        assert coding.encoded == ["a", "b"]
        assert room.members[1].writes == [framed("a", "b")]

    def test_a_coding_that_is_not_shared_frames_what_its_member_gets_in_order(self) -> None:
        room = Room()
        one, two = room.join(FakeMember(Numbering())), room.join(FakeMember(Numbering()))
        room.say("a")
        room.say("b", one)
        room.cork.send(one, "mine")
        room.cork.send_all([two, one], "both")
        room.say("c")
        room.loop.turn()
        assert one.writes == [b"<1:a><2:mine><3:both><4:c>"]
        assert two.writes == [b"<1:a><2:b><3:both><4:c>"]


# -- any interleaving --------------------------------------------------------------------------------------------------


@dataclass
class Modelled:
    """A member, and the queue that it would have if there were no batches."""

    member: FakeMember
    naive: list[bytes] = field(default_factory=list)
    frame: Callable[[str], bytes] = encode_message


CODINGS: list[Callable[[Bracketing], tuple[FakeMember, Callable[[str], bytes]]]] = [
    lambda _: (FakeMember(), encode_message),
    lambda _: (FakeMember(Numbering()), Numbering().encode),
    lambda shared: (FakeMember(shared), lambda message: f"[{message}]".encode()),
]
WHO = st.integers(0, 20)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, len(CODINGS) - 1), st.integers(0, 2)),
        st.tuples(st.just("leave"), WHO, st.none()),
        st.tuples(st.just("lose"), WHO, st.none()),
        st.tuples(st.just("own"), WHO, st.none()),
        st.tuples(st.just("send"), st.lists(WHO, max_size=3), st.none()),
        st.tuples(st.just("say"), st.integers(0, 3), st.lists(WHO, max_size=3)),
        st.tuples(st.just("say"), st.just(0), st.lists(WHO, max_size=1)),
        st.tuples(st.just("ask"), WHO, st.none()),
        st.tuples(st.just("finish"), st.integers(1, 3), st.none()),
        st.tuples(st.just("turn"), st.none(), st.none()),
        st.tuples(st.just("tick"), st.none(), st.none()),
        st.tuples(st.just("host lost"), st.none(), st.none()),
    ),
    min_size=10,
    max_size=60,
)


class Model:
    """A room whose members have up to two tags, and beside each member a plain queue of frames."""

    def __init__(self) -> None:
        self.corked = Corked()
        self.batch = SharedBatch(self.corked.cork)
        self.sets: list[dict[FakeMember, None]] = [{} for _ in range(4)]
        """All members; those with each of three tags."""
        self.here: list[Modelled] = []
        self.gone: list[Modelled] = []
        self.shared = Bracketing()
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return f"m{self.count}"

    def some(self, who: list[int]) -> list[Modelled]:
        return list({id(one): one for n in who if self.here for one in [self.here[n % len(self.here)]]}.values())

    def join(self, coding: int, tag: int) -> None:
        member, frame = CODINGS[coding](self.shared)
        self.batch.joins(member)
        member.batch = self.batch
        for at in {0, 1 + tag, 1 + coding}:
            self.sets[at][member] = None
        self.here.append(Modelled(member, frame=frame))

    def depart(self, one: Modelled) -> None:
        self.batch.leaves(one.member)
        for members in self.sets:
            members.pop(one.member, None)
        self.here.remove(one)

    def do(self, what: str, first: object, second: object) -> None:
        cork, batch = self.corked.cork, self.batch
        match what, first, second:
            case "join", int(coding), int(tag):
                self.join(coding, tag)
            case "leave", int(who), _:
                for one in self.some([who]):
                    cork.write(one.member, b"<close>")
                    one.naive.append(b"<close>")
                    self.depart(one)
                    self.gone.append(one)
            case "lose", int(who), _:
                for one in self.some([who]):
                    one.member.pending.clear()
                    self.depart(one)
            case "own", int(who), _:
                for one in self.some([who]):
                    cork.write(one.member, b"<pong>")
                    one.naive.append(b"<pong>")
            case "send", list(who), _:
                message, chosen = self.text(), self.some(who)
                cork.send_all([one.member for one in chosen], message)
                for one in chosen:
                    one.naive.append(one.frame(message))
            case "say", int(which), list(who):
                self.say(self.sets[which], self.some(who))
            case "ask", int(), _:
                batch.unfinished += 1
            case "finish", int(count), _:
                for _ in range(count):
                    batch.finished()
            case "turn", _, _:
                self.corked.loop.turn()
            case "tick", _, _:
                self.corked.clock.advance(0.001)
            case _:
                batch.forget()

    def say(self, members: dict[FakeMember, None], left_out: list[Modelled]) -> None:
        message = self.text()
        if members:
            self.batch.add(members, message, [one.member for one in left_out])
        for one in self.here:
            if one.member in members and one not in left_out:
                one.naive.append(one.frame(message))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 3, FEW]), st.integers(0, 6), STEPS)
def test_whatever_happens_each_member_gets_what_a_queue_of_its_own_would_have_given(
    few: int, count: int, steps: list[tuple[str, object, object]]
) -> None:
    with mock.patch.object(shared_batch, "FEW", few):
        check(count, steps)


def check(count: int, steps: list[tuple[str, object, object]]) -> None:
    model = Model()
    for n in range(count):
        model.join(n % 4 % len(CODINGS), n % 3)
    for step in steps:
        model.do(*step)
        for one in model.here + model.gone:
            assert b"".join(one.naive).startswith(one.member.sent), "what left is in order"
    model.corked.loop.turn()
    model.corked.clock.advance(0.001)
    model.corked.loop.turn()
    note(repr([(one.member.writes, one.naive) for one in model.here]))
    for one in model.here + model.gone:
        assert one.member.sent == b"".join(one.naive)
        assert sum(one.member.counts) == len(one.naive)
        assert one.member.pending == []
    assert len(model.shared.encoded) == len(set(model.shared.encoded)), "once for all that share a coding"
    assert model.corked.clock.pending == 0


def test_a_full_batch_does_not_wait() -> None:
    room = Room(1)
    room.batch.unfinished = 2
    room.say("x" * (FULL_BYTES - 1))
    room.loop.turn()
    assert room.members[0].writes == []
    room.say("x")
    room.loop.turn()
    assert len(room.members[0].writes) == 1


def test_plain_framing_is_that_of_any_message() -> None:
    assert PLAIN.shared
    assert PLAIN.encode("x") == encode_message("x")
