"""What a request lives through when its host goes. The rest of an exchange is in test_connection."""

from __future__ import annotations

import pytest
from tests.gateway.fake_clock import settle
from tests.gateway.raw_client import RawClient, handshake
from tests.gateway.scripted_owner import Served, serving

from roost.link import frames


async def lose(s: Served) -> None:
    lost = s.observer.wait_for("link.lost")
    s.owner.crash()
    await lost


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_that_changes_nothing_is_given_to_the_next_host(method: str) -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(f"{method} /p HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await s.owner.take(frames.RequestStart)
        await lose(s)
        s.owner.reachable = True
        again = await s.owner.take(frames.RequestStart)
        assert (again.method, again.url) == (method, "http://a/p")
        s.owner.respond(again, 200, b"second")
        assert (await client.answer(method)).status == 200


async def test_a_request_that_kills_its_host_twice_is_not_tried_again() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(2):
            await s.owner.take(frames.RequestStart)
            await lose(s)
            s.owner.reachable = True
        answer = await client.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_handshake_is_given_to_the_next_host() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(handshake())
        await s.owner.take(frames.RequestStart)
        await lose(s)
        s.owner.reachable = True
        await s.owner.accept()
        assert (await client.answer()).status == 101
        client.writer.transport.abort()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_any_other_request_is_503_and_not_made_twice(request_bytes: bytes) -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(request_bytes)
        await s.owner.take(frames.RequestStart)
        await lose(s)
        s.owner.reachable = True
        answer = await client.answer()
        assert (answer.status, answer.error) == (503, "Unavailable")
        client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        request = await s.owner.take(frames.RequestStart)
        assert request.url == "http://a/next", "the connection is good for the next request"
        s.owner.respond(request)
        await client.answer()


async def test_a_request_whose_body_is_under_way_ends_with_its_connection() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        await s.owner.take(frames.RequestStart)
        await lose(s)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        await client.ended()


async def test_an_answer_that_never_began_is_502() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request = await s.owner.take(frames.RequestStart)
        s.owner.send(frames.StreamReset(request.stream, "the object was reset"))
        assert (await client.answer()).status == 502


async def test_a_streamed_answer_to_head_is_not_wanted() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request = await s.owner.take(frames.RequestStart)
        s.owner.respond(request, 200, b"part", more=True)
        assert (await s.owner.take(frames.StreamReset)).stream == request.stream
        s.owner.send(frames.BodyChunk(request.stream, b"late", False))
        assert (await client.answer("HEAD")).body == b""
        s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x")
        assert (await client.answer()).body == b"x"


async def test_frames_of_a_stream_that_is_over_are_ignored() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request = await s.owner.take(frames.RequestStart)
        s.owner.respond(request, 200, b"x")
        s.owner.send(
            frames.BodyChunk(request.stream, b"x", True),
            frames.BodyCredit(request.stream, 1),
            frames.StreamReset(request.stream, "x"),
            frames.ResponseStart(request.stream, 200, [], b"x", False, None),
        )
        assert (await client.answer()).body == b"x"
        await settle()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"y")
        assert (await client.answer()).body == b"y"
