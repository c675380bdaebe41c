from __future__ import annotations

from typing import Any

from roost.errors import StorageError
from roost.events import Effect, Finished, Send, SendToTagged
from roost.held_socket import HeldSocket
from roost.limits import Limits
from roost.meter import Meter
from roost.objects.gates import InputGate, OutputGate
from roost.objects.inbox import Inbox
from roost.objects.outbox import Outbox

from .harness import FakeClock, Outlet, told


class Desk:
    """An outbox, its gates, and turns by hand."""

    def __init__(self) -> None:
        self.outlet = Outlet()
        self.clock = FakeClock()
        self.broken: list[StorageError] = []
        self.input = InputGate(None, Inbox(Limits(), Meter()), interleave=True)
        self.output = OutputGate(self.clock, 30.0, self.moved, self.broken.append)
        self.strays = 0
        self.outbox = Outbox(self.outlet, self.input, self.output, Meter(), self.stray, 100)
        self.sockets = [HeldSocket() for _ in range(3)]
        for number, socket in enumerate(self.sockets, 1):
            socket.number = number
        self.input.running = True
        self.number = 0

    def stray(self) -> None:
        self.strays += 1

    def moved(self) -> None:
        self.outbox.release()

    def send(self, text: str, socket: int = 0) -> None:
        self.outbox.begin_run(self.sockets[socket], text)

    def commit(self, *, confirmed: bool = True) -> None:
        """End a turn that wrote."""
        if confirmed:
            self.outbox.stamp_before_write()
        self.number += 1
        self.output.commit(self.number, confirmed=confirmed)
        self.outbox.end_turn()

    def left(self) -> list[Any]:
        left, self.outlet.left = self.outlet.left, []
        return [effect[1] for effect in left]


def test_a_turn_without_writes_leaves_at_its_end_and_not_before() -> None:
    desk = Desk()
    desk.send("a")
    assert desk.left() == []
    desk.outbox.end_turn()
    assert desk.left() == ["a"]
    assert desk.outbox.is_empty


def test_what_was_made_before_the_first_write_waits_for_earlier_commits_only() -> None:
    desk = Desk()
    desk.send("a")
    desk.outbox.mark_write()
    desk.send("b")
    desk.commit()
    assert desk.left() == ["a"]
    desk.send("c")
    desk.outbox.mark_write()
    desk.send("d")
    desk.commit()
    assert desk.left() == []
    desk.output.finished(None)
    assert desk.left() == ["b", "c"]
    desk.output.finished(None)
    assert desk.left() == ["d"]


def test_an_unconfirmed_commit_stamps_nothing() -> None:
    desk = Desk()
    desk.outbox.mark_write()
    desk.send("a")
    desk.commit(confirmed=False)
    assert desk.left() == ["a"]
    assert desk.output.pending == 1


def test_while_it_holds_nothing_leaves_and_it_must_be_let_go_as_often_as_it_was_told_to_hold() -> None:
    desk = Desk()
    desk.outbox.hold()
    desk.outbox.hold()
    desk.send("a")
    desk.outbox.end_turn()
    desk.outbox.let_go()
    assert desk.left() == []
    desk.outbox.let_go()
    assert desk.left() == ["a"]


def test_finished_messages_in_a_row_are_one_effect() -> None:
    desk = Desk()
    for socket in desk.sockets:
        desk.outbox.finish(socket)
    desk.send("a")
    desk.outbox.finish(desk.sockets[0])
    desk.outbox.end_turn()
    assert desk.left() == [[1, 2, 3], "a", [1]]


def test_an_effect_outside_of_a_turn_asks_for_one() -> None:
    desk = Desk()
    desk.input.running = False
    desk.send("a")
    desk.outbox.finish(desk.sockets[0])
    assert desk.strays == 1
    desk.outbox.add(Send("b", []))
    assert desk.strays == 2


def test_what_was_made_since_the_write_is_dropped_and_the_rest_leaves() -> None:
    desk = Desk()
    desk.send("a")
    desk.outbox.mark_write()
    desk.send("b")
    dropped = desk.outbox.drop_since_write()
    desk.outbox.end_turn()
    assert [told(effect)[1] for effect in dropped] == ["b"]
    assert desk.left() == ["a"]
    assert desk.outbox.drop_since_write() == []


def test_dropping_everything_returns_it_in_order() -> None:
    desk = Desk()
    desk.outbox.mark_write()
    desk.send("a")
    desk.commit()
    desk.send("b")
    dropped: list[Effect] = desk.outbox.drop_all(for_good=True)
    assert [told(effect)[1] for effect in dropped] == ["a", "b"]
    desk.output.finished(None)
    assert desk.left() == []


def test_after_close_nothing_is_taken_and_what_was_held_still_leaves() -> None:
    desk = Desk()
    desk.outbox.mark_write()
    desk.send("a")
    desk.commit()
    desk.outbox.close()
    desk.send("b")
    desk.outbox.add(Finished([]))
    desk.outbox.finish(desk.sockets[0])
    desk.outbox.end_turn()
    desk.output.finished(None)
    assert desk.left() == ["a"]


def test_broadcasts_that_have_not_left_can_be_found() -> None:
    desk = Desk()
    one, two = SendToTagged("a", None, []), SendToTagged("b", None, [])
    desk.outbox.mark_write()
    desk.outbox.add(one)
    desk.commit()
    desk.outbox.add(two)
    assert desk.outbox.broadcasts() == [one, two]
    desk.output.finished(None)
    assert desk.outbox.broadcasts() == [two]


def test_a_broken_gate_stays_broken() -> None:
    desk = Desk()
    desk.output.commit(1, confirmed=True)
    desk.output.commit(2, confirmed=False)
    desk.output.finished(StorageError("one"))
    desk.output.finished(StorageError("two"))
    desk.output.break_(StorageError("three"))
    assert [str(error) for error in desk.broken] == ["one"]
    assert desk.clock.waiting() == 0


def test_one_timer_watches_all_commits_and_ends_when_none_is_pending() -> None:
    desk = Desk()
    desk.output.commit(1, confirmed=True)
    desk.clock.advance(20)
    desk.output.commit(2, confirmed=True)
    assert desk.clock.waiting() == 1
    desk.output.finished(None)
    desk.clock.advance(20)
    assert desk.broken == []
    desk.output.finished(None)
    desk.clock.advance(20)
    assert (desk.broken, desk.clock.waiting()) == ([], 0)
