from __future__ import annotations

from roost.host.roll_call import RollCall

from .parts import HandClock


def test_without_expected_gateways_it_is_complete_at_once() -> None:
    calls: list[int] = []
    roll_call = RollCall([], seconds_max=2, clock=HandClock())
    roll_call.when_complete(lambda: calls.append(1))
    assert roll_call.complete
    assert calls == [1]


def test_it_waits_for_every_gateway() -> None:
    calls: list[int] = []
    roll_call = RollCall([0, 1], seconds_max=2, clock=HandClock())
    roll_call.start()
    for number in (1, 2):
        roll_call.when_complete(lambda number=number: calls.append(number))  # type: ignore[misc]
    roll_call.rolled(0)
    roll_call.rolled(0)
    roll_call.rolled(5)
    assert calls == []
    roll_call.rolled(1)
    assert calls == [1, 2]


def test_it_does_not_wait_for_ever() -> None:
    clock = HandClock()
    roll_call = RollCall([0], seconds_max=2, clock=clock)
    roll_call.start()
    calls: list[int] = []
    roll_call.when_complete(lambda: calls.append(1))
    clock.advance(1.9)
    assert not roll_call.complete
    clock.advance(0.2)
    roll_call.rolled(0)
    assert calls == [1]


def test_a_host_that_ends_before_it_was_over_admits_nobody() -> None:
    clock = HandClock()
    called: list[int] = []
    call = RollCall([0], seconds_max=2, clock=clock)
    call.start()
    call.when_complete(lambda: called.append(1))
    call.close()
    clock.advance(3)
    assert called == []
