from __future__ import annotations

import asyncio
import os
import resource

import pytest
from tests.gateway.fake_clock import settle, until
from tests.gateway.sleepers import sockets

from roost.gateway import parking
from roost.gateway.parking import PARKED_PER_TURN, Parking
from roost.gateway.parking_poll import EpollSet, PollSet, SelectorSet


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("make", [EpollSet, SelectorSet])
async def test_one_descriptor_is_left_of_a_parked_socket_and_none_of_one_that_ended(make: type[PollSet]) -> None:
    async with sockets(10, make, parked=False) as all_of_them:
        before = descriptors()
        for one in all_of_them:
            one.park()
        assert all_of_them[0].parking.count == 10
        await settle()
        assert descriptors() == before + 1, "the set of them all has one"
        for one in all_of_them[:4]:
            one.parked.wake()
        await until(lambda: sum(one.is_awake for one in all_of_them) == 4)
        assert (all_of_them[0].parking.count, descriptors()) == (6, before + 1)
        for one in all_of_them:
            one.transport.abort()
        await settle()
        assert (all_of_them[0].parking.count, descriptors()) == (0, before + 1 - 10)


@pytest.mark.parametrize("make", [EpollSet, SelectorSet])
async def test_messages_and_ends_are_noticed_with_every_kind_of_set(make: type[PollSet]) -> None:
    async with sockets(2, make) as [one, other]:
        one.client.send(b"x")
        other.client.close()
        await until(lambda: one.recorder.received == b"x" and other.told == ["eof", "lost"])


async def test_the_protocol_hears_nothing_of_the_transport_that_is_given_back() -> None:
    async with sockets() as [one]:
        await settle()
        assert one.told == []


async def test_where_no_descriptor_is_left_the_socket_stays_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sockets(parked=False) as [one]:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        one.transport.pause_reading()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            assert one.parking.park(one.transport, one.recorder) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not one.transport.is_closing()
        one.transport.resume_reading()
        one.client.send(b"x")
        await until(lambda: one.recorder.received == b"x")


async def test_so_many_are_parked_in_a_turn_and_the_others_in_the_next() -> None:
    own, order = Parking(asyncio.get_running_loop()), list[int]()
    for n in range(PARKED_PER_TURN + 5):
        own.soon(lambda n=n: order.append(n))  # type: ignore[misc]
    assert order == []
    await asyncio.sleep(0)
    assert order == list(range(PARKED_PER_TURN))
    await asyncio.sleep(0)
    assert order == list(range(PARKED_PER_TURN + 5))
    await own.close()


async def test_closing_ends_what_is_parked_and_waits_for_what_wakes() -> None:
    async with sockets(3) as [one, waking, paused]:
        waking.parked.wake()
        paused.parked.pause_reading()
        await one.parking.close()
        await settle()
        assert one.told == ["lost"]
        assert waking.is_awake
        assert paused.told == [], "whoever stopped reading ends it"


async def test_nothing_is_parked_of_a_process_that_parks_nothing() -> None:
    before = descriptors()
    own = parking.Parking(asyncio.get_running_loop())
    await own.close()
    assert (descriptors(), own.count) == (before, 0)


async def test_the_heap_is_given_back_once_for_many_that_were_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[None] = []
    monkeypatch.setattr(parking, "give_back", lambda: given_back.append(None))
    monkeypatch.setattr(parking, "GIVEN_BACK_AFTER", 8)
    monkeypatch.setattr(parking, "GIVEN_BACK_SECONDS", 0.01)
    async with sockets(12, parked=False) as all_of_them:
        own = all_of_them[0].parking
        for one in all_of_them[:7]:
            own.soon(one.park)
        await until(lambda: own.count == 7)
        await settle()
        assert own._timer is None, "too few"
        for one in all_of_them[7:]:
            own.soon(one.park)
        await until(lambda: given_back == [None])
        await settle()
        assert given_back == [None]
