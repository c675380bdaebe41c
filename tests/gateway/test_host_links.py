from __future__ import annotations

import asyncio
import itertools

import pytest
from tests.gateway.fake_clock import FakeClock, settle
from tests.gateway.raw_client import RawClient, close_frame, handshake
from tests.gateway.scripted_owner import serving

from roost.errors import LinkError
from roost.gateway.host_links import HostLinks
from roost.limits import DEFAULTS, Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.frames import Hello
from roost.observer import Observer

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_requests_go_round_the_hosts_that_are_up() -> None:
    async with serving(owners=3) as s, await RawClient.connect(s.port) as client:
        lost = s.observer.wait_for("link.lost", host=1)
        s.owners[1].crash()
        await lost
        asked = []
        for _ in range(6):
            client.send(GET)
            await settle()
            (owner,) = [owner for owner in s.owners if owner.has(frames.RequestStart)]
            owner.respond(await owner.take(frames.RequestStart))
            await client.answer()
            asked.append(owner.number)
        assert sorted(asked) == [0, 0, 0, 2, 2, 2]
        assert asked[:3] != asked[3:] or asked[0] != asked[1]


async def test_a_request_waits_for_the_first_host() -> None:
    async with serving(linked=False) as s, await RawClient.connect(s.port) as client:
        client.send(GET)
        await settle()
        s.owner.reachable = True
        s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"at last")
        assert (await client.answer()).body == b"at last"


async def test_a_request_waits_only_so_long() -> None:
    clock = FakeClock()
    limits = Limits(host_wait_seconds_max=10)
    async with serving(limits, linked=False, clock=clock) as s, await RawClient.connect(s.port) as client:
        client.send(GET + GET)
        await settle()
        clock.advance(9)
        await settle()
        assert not client.reader._buffer  # type: ignore[attr-defined]
        clock.advance(2)
        answer = await client.answer()
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "Unavailable", "1")
        s.owner.reachable = True
        clock.advance(1)
        request = await s.owner.take(frames.RequestStart)  # the second one; the first is forgotten
        await settle()
        assert not s.owner.has(frames.RequestStart)
        s.owner.respond(request)
        assert (await client.answer()).status == 200


async def test_a_socket_belongs_to_the_host_of_its_grant_not_to_the_one_that_answered() -> None:
    async with serving(owners=2) as s, await RawClient.connect(s.port) as client:
        client.send(handshake())
        await settle()
        (front,) = [owner for owner in s.owners if owner.has(frames.RequestStart)]
        (back,) = [owner for owner in s.owners if owner is not front]
        front.respond(await front.take(frames.RequestStart), 101, grant=back.grant())
        opened = await back.take(frames.SocketOpened)
        assert (await client.answer()).status == 101
        client.send(close_frame(1000))
        assert (await back.take(frames.SocketClosed)).socket == opened.socket
        assert front.received == []


async def test_a_grant_waits_for_the_link_to_its_host() -> None:
    async with serving(owners=2) as s, await RawClient.connect(s.port) as client:
        back = s.owners[1]
        lost = s.observer.wait_for("link.lost", host=1)
        back.crash()
        await lost
        client.send(handshake())
        request = await s.owner.take(frames.RequestStart)
        s.owner.respond(request, 101, grant=back.grant())
        await settle()
        back.reachable = True
        await back.take(frames.SocketOpened)
        assert (await client.answer()).status == 101
        client.writer.transport.abort()


async def test_a_grant_of_a_host_that_is_gone_ends_in_1012() -> None:
    async with serving(owners=2) as s:
        for reachable in (True, False):
            async with await RawClient.connect(s.port) as client:
                back = s.owners[1]
                old = back.grant()
                lost = s.observer.wait_for("link.lost", host=1)
                back.crash()
                await lost
                up = s.observer.wait_for("link.up", host=1)
                if reachable:
                    back.reachable = True
                    await up
                client.send(handshake())
                await settle()
                (front,) = [owner for owner in s.owners if owner.has(frames.RequestStart)]
                front.respond(await front.take(frames.RequestStart), 101, grant=old)
                await settle()
                back.reachable = True
                await up
                assert (await client.answer()).status == 101
                assert (await client.closed_with())[0] == 1012
                client.send(close_frame(1012))
                await client.ended()
                assert not back.has(frames.SocketOpened)
                assert len(s.gateway.links.sockets) == 0


async def test_a_host_is_tried_again_soon_and_then_less_often() -> None:
    clock, tried = FakeClock(), []

    async def connect(number: int, hello: Hello) -> Connection:
        tried.append(clock.monotonic() - 1_000)
        raise LinkError("nobody there") if len(tried) % 2 else ConnectionRefusedError

    links = HostLinks([0], connect, limits=DEFAULTS, clock=clock, observer=Observer())
    links.start()
    for _ in range(200):
        await settle(3)
        clock.advance(0.01)
    await links.stop()
    gaps = [b - a for a, b in itertools.pairwise(tried)]
    wanted = [0.01, 0.02, 0.04] + [0.05] * (len(gaps) - 3)
    assert gaps == pytest.approx(wanted, abs=0.0101), "to the step by which the test moves the clock"


async def test_each_gateway_has_an_incarnation_of_its_own() -> None:
    async def connect(number: int, hello: Hello) -> Connection:
        raise LinkError("nobody there")

    made = {
        HostLinks([], connect, limits=DEFAULTS, clock=FakeClock(), observer=Observer()).incarnation for _ in range(20)
    }
    assert len(made) == 20
    assert all(0 <= incarnation < 1 << 31 for incarnation in made)


async def test_stopping_lets_go_of_every_link_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(owners=2) as s:
        pass
    await asyncio.sleep(0)
    await settle()
    assert all(owner.end is None for owner in s.owners)
    assert caplog.text == ""
