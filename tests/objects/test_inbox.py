from __future__ import annotations

import pytest

from roost.errors import OverloadedError
from roost.events import Event, Fetch, SocketClosed, SocketMessage
from roost.held_socket import HeldSocket
from roost.limits import Limits
from roost.meter import Meter
from roost.objects.inbox import Inbox
from roost.request import Request

HELD = HeldSocket()


def fetch(size: int = 0) -> Fetch:
    return Fetch(Request("http://x/"), lambda _: None, lambda _: None, size)


def inbox(**limits: int) -> Inbox:
    return Inbox(Limits(**limits), Meter())


def test_events_leave_in_the_order_in_which_they_came() -> None:
    box = inbox()
    events: list[Event] = [SocketMessage(HELD, "a"), fetch(), SocketMessage(HELD, "b")]
    for ticket, event in enumerate(events):
        box.put(ticket, event)
    assert [box.first_ticket(), box.take(), box.take(), box.take()] == [0, *events]
    assert (len(box), box.size, box.first_ticket()) == (0, 0, None)


def test_events_that_were_set_aside_come_before_all_others_in_their_order() -> None:
    box = inbox()
    first, second, third = (SocketMessage(HELD, text) for text in "abc")
    box.put(7, third)
    box.put_first([first, second])
    assert box.empty() == [first, second, third]


def test_one_request_too_many_is_refused_and_changes_nothing() -> None:
    box = inbox(inbox_events_max=1)
    box.put(1, fetch())
    with pytest.raises(OverloadedError, match="1 events wait for the object already"):
        box.put(2, fetch())
    assert len(box) == 1


def test_a_request_too_large_for_what_waits_is_refused() -> None:
    box = inbox(inbox_bytes_max=10)
    box.put(1, fetch(6))
    with pytest.raises(OverloadedError, match="6 bytes wait for the object already, with 5 more"):
        box.put(2, fetch(5))
    assert box.size == 6


def test_what_sockets_send_is_never_refused() -> None:
    box = inbox(inbox_events_max=0, inbox_bytes_max=0)
    box.put(1, SocketMessage(HELD, "hello"))
    box.put(2, SocketClosed(HELD, 1000, "", True))
    assert (len(box), box.size) == (2, 5)


def test_the_meter_keeps_how_many_waited_at_once() -> None:
    meter = Meter()
    box = Inbox(Limits(), meter)
    for ticket in range(3):
        box.put(ticket, fetch())
    box.take()
    box.put(4, fetch())
    assert meter.queue_high_water == 3
