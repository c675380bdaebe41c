from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roost.host.hibernation import (
    GIVEN_BACK_AFTER,
    GUESS_BYTES,
    Idle,
    Sweep,
    choose_sleepers,
    memory_bound,
    resident_bytes,
)

from .parts import HandClock


def idle(*since: float) -> list[Idle]:
    return [Idle(str(one).encode(), one) for one in since]


def chosen(since: list[Idle], **facts: float) -> list[float]:
    options = {"now": 100.0, "idle_seconds": 10.0, "bytes_needed": 0} | facts
    return [float(key) for key in choose_sleepers(since, **options)]  # type: ignore[arg-type]


def test_who_was_idle_long_enough_sleeps() -> None:
    assert chosen(idle(95, 90, 89, 91)) == [89, 90]


def test_nobody_sleeps_early_without_need() -> None:
    assert chosen(idle(95, 99)) == []


def test_under_pressure_the_longest_idle_sleep_early() -> None:
    assert chosen(idle(97, 95, 99), bytes_needed=GUESS_BYTES + 1) == [95, 97]


def test_those_that_are_due_count_towards_what_is_needed() -> None:
    assert chosen(idle(97, 95, 80), bytes_needed=GUESS_BYTES) == [80]


@given(st.lists(st.floats(0, 100), unique=True), st.integers(-10, 10 * GUESS_BYTES))
def test_a_sleeper_was_never_idle_for_less_than_one_that_stays(since: list[float], needed: int) -> None:
    asleep = chosen(idle(*since), bytes_needed=needed)
    staying = set(since) - set(asleep)
    assert not asleep or not staying or max(asleep) <= min(staying)
    assert {one for one in since if one <= 90} <= set(asleep)


class Objects:
    def __init__(self, *since: float) -> None:
        self.awake = {one.key: one for one in idle(*since)}

        self.tidied = 0

    def tidy(self) -> None:
        self.tidied += 1

    def idle(self) -> list[Idle]:
        return list(self.awake.values())

    def hibernate(self, key: bytes) -> None:
        del self.awake[key]


def sweep_of(objects: Objects, clock: HandClock, resident: int = 0) -> Sweep:
    return Sweep(
        clock=clock,
        idle_seconds=10,
        memory_bytes_max=1,
        idle=objects.idle,
        hibernate=objects.hibernate,
        tidy=objects.tidy,
        resident=lambda: resident,
    )


def test_the_sweep_goes_on_by_the_clock_until_it_is_stopped() -> None:
    clock = HandClock()
    objects = Objects(1_000, 1_005)
    sweep = sweep_of(objects, clock)
    sweep.start()
    clock.advance(9)
    assert len(objects.awake) == 2
    assert objects.tidied == 9
    clock.advance(2)
    assert len(objects.awake) == 1
    sweep.stop()
    clock.advance(100)
    assert len(objects.awake) == 1


def test_the_sweep_sees_the_pressure() -> None:
    clock = HandClock()
    objects = Objects(1_000, 1_000.5)
    sweep_of(objects, clock, resident=GUESS_BYTES).look()
    assert len(objects.awake) == 1


def test_the_resident_size_is_that_of_this_process() -> None:
    assert resident_bytes() > 1_000_000


def test_the_bound_is_the_configured_one_or_a_share_of_the_machine() -> None:
    assert memory_bound(5) == 5
    assert memory_bound(0) > 100_000_000


def test_the_heap_is_given_back_when_a_crowd_has_fallen_asleep_and_not_for_a_few() -> None:
    clock, given_back, asleep = HandClock(), list[float](), list[bytes]()
    idle: list[Idle] = []
    sweep = Sweep(
        clock=clock,
        idle_seconds=10,
        memory_bytes_max=1,
        idle=lambda: idle,
        hibernate=asleep.append,
        tidy=lambda: None,
        resident=lambda: 0,
        give_back=lambda: given_back.append(clock.monotonic()),
    )
    for count, times in ((GIVEN_BACK_AFTER - 1, 0), (50, 0), (0, 1), (10, 1), (0, 1)):
        idle[:] = [Idle(bytes([n]), clock.monotonic() - 20) for n in range(count)]
        sweep.look()
        assert len(given_back) == times
