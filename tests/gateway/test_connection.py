"""A client's HTTP against a gateway on a real socket, the host's part being written by each test."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.gateway.fake_clock import FakeClock, settle
from tests.gateway.raw_client import RawClient, handshake
from tests.gateway.scripted_owner import Owner, serving

from roost.limits import Limits
from roost.link import frames

GET = b"GET /p?q=1 HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n\r\n"


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


async def whole_body(owner: Owner, request: frames.RequestStart) -> bytes:
    """All of a request's body, credit being given for each piece."""
    body, more = request.body, request.more
    while more:
        chunk = await owner.take(frames.BodyChunk)
        assert chunk.stream == request.stream
        body, more = body + chunk.data, chunk.more
        owner.send(frames.BodyCredit(request.stream, len(chunk.data)))
    return body


async def test_a_request_reaches_the_host_as_it_came() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(GET)
        request = await s.owner.take(frames.RequestStart)
        assert request.method == "GET"
        assert request.url == "http://a.example/p?q=1"
        assert request.headers == [("Host", "a.example"), ("X-A", "1")]
        assert (request.body, request.more, request.upgrade, request.target) == (b"", False, False, None)
        own = client.writer.get_extra_info("sockname")
        assert request.client == f"127.0.0.1:{own[1]}"


async def test_an_answer_reaches_the_client_whole() -> None:
    async with serving() as s, await RawClient.connect(s.port) as client:
        client.send(GET)
        request = await s.owner.take(frames.RequestStart)
        s.owner.respond(request, 201, b"made", [("X-B", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        answer = await client.answer()
        assert (answer.status, answer.body) == (201, b"made")
        assert answer.headers["x-b"] == "2"
        assert answer.headers["content-length"] == "4"
        assert answer.headers["date"].endswith(" GMT")
        assert "connection" not in answer.headers


async def test_many_requests_on_one_connection() -> None:
    async with serving() as s, httpx.AsyncClient() as client:
        for n in range(3):
            answer = asyncio.create_task(client.post(f"{s.url}/{n}", content=b"body %d" % n))
            request = await s.owner.take(frames.RequestStart)
            assert await whole_body(s.owner, request) == b"body %d" % n
            s.owner.respond(request, 200, b"%d" % n)
            assert (await answer).content == b"%d" % n
        assert len({stream.client for stream in s.owner.received if isinstance(stream, frames.RequestStart)}) <= 1


class TestPipelining:
    async def test_requests_are_answered_in_order_one_at_a_time(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"".join(post(b"%d" % n, path=f"/{n}") for n in range(5)))
            for n in range(5):
                request = await s.owner.take(frames.RequestStart)
                assert request.url.endswith(f"/{n}")
                assert request.body == b"%d" % n
                await settle()
                assert not s.owner.has(frames.RequestStart)
                s.owner.respond(request, 200, b"%d" % n)
            assert [(await client.answer()).body for _ in range(5)] == [b"%d" % n for n in range(5)]

    async def test_what_waits_is_bounded_by_not_reading(self) -> None:
        async with serving(Limits(client_buffer_bytes_max=10_000)) as s, await RawClient.connect(s.port) as client:
            client.send(GET * 200_000)
            request = await s.owner.take(frames.RequestStart)
            await settle(200)
            connection = next(iter(s.gateway._clients))
            assert connection._reader.buffered < 10_000 + 300_000  # what one read may bring
            assert client.writer.transport.get_write_buffer_size() > 0
            s.owner.answer = lambda frame: s.owner.respond(frame) if isinstance(frame, frames.RequestStart) else None
            s.owner.respond(request)
            await client.answer()
            client.writer.transport.abort()

    async def test_a_bad_request_behind_a_good_one_waits_for_its_turn(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET + b"garbage\r\n\r\n")
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"good")
            assert (await client.answer()).body == b"good"
            answer = await client.answer()
            assert (answer.status, answer.error) == (400, "BadRequest")
            await client.ended()


class TestRequestBodies:
    async def test_a_body_is_sent_on_as_it_comes(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            request = await s.owner.take(frames.RequestStart)
            assert (request.body, request.more) == (b"12345", True)
            client.send(b"678")
            assert (await s.owner.take(frames.BodyChunk)).data == b"678"
            client.send(b"90")
            last = await s.owner.take(frames.BodyChunk)
            assert (last.data, last.more) == (b"90", False)
            s.owner.respond(request, 200, b"ok")
            assert (await client.answer()).body == b"ok"

    async def test_a_chunked_body(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            request = await s.owner.take(frames.RequestStart)
            client.send(b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nT: t\r\n\r\n" + GET)
            assert await whole_body(s.owner, request) == b"hello!"
            s.owner.respond(request)
            assert (await client.answer()).status == 200
            assert (await s.owner.take(frames.RequestStart)).method == "GET"

    async def test_no_more_is_under_way_than_the_host_gave_credit_for(self) -> None:
        async with (
            serving(Limits(body_window_bytes=1_000, client_buffer_bytes_max=1_000)) as s,
            await RawClient.connect(s.port) as client,
        ):
            body = bytes(range(256)) * 40_000
            client.send(post(body))
            request = await s.owner.take(frames.RequestStart)
            got = request.body
            await settle(100)
            while s.owner.has(frames.BodyChunk):
                got += (await s.owner.take(frames.BodyChunk)).data
            assert len(got) == 1_000
            assert client.writer.transport.get_write_buffer_size() > 0, "the client is not read"
            s.owner.send(frames.BodyCredit(request.stream, 20_000_000))
            more = True
            while more:
                chunk = await s.owner.take(frames.BodyChunk)
                got, more = got + chunk.data, chunk.more
            assert got == body

    async def test_100_continue_is_sent_once_a_host_has_the_request(self) -> None:
        async with serving(linked=False) as s, await RawClient.connect(s.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            await settle()
            assert not client.reader._buffer  # type: ignore[attr-defined]
            s.owner.reachable = True
            request = await s.owner.take(frames.RequestStart)
            assert (await client.answer("POST")).status == 100
            client.send(b"ok")
            assert await whole_body(s.owner, request) == b"ok"
            s.owner.respond(request, 204)
            assert (await client.answer("POST")).status == 204

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        ],
    )
    async def test_a_body_that_turns_out_bad_ends_the_request(self, data: bytes, status: int) -> None:
        async with serving(Limits(body_bytes_max=1_000)) as s, await RawClient.connect(s.port) as client:
            client.send(data)
            assert (await client.answer()).status == status
            request = await s.owner.take(frames.RequestStart)
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream
            await client.ended()

    async def test_an_answer_before_the_end_of_the_body_ends_the_connection(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n12345")
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 403, b"no")
            client.send(b"x" * 900_000)
            answer = await client.answer()
            assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"no", "close")
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream
            await client.ended()


class TestResponseBodies:
    async def test_a_streamed_answer_comes_in_chunks(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET + GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"one ", more=True)
            s.owner.send(frames.BodyChunk(request.stream, b"two ", True), frames.BodyChunk(request.stream, b"", True))
            s.owner.send(frames.BodyChunk(request.stream, b"three", False))
            answer = await client.answer()
            assert (answer.body, answer.headers["transfer-encoding"]) == (b"one two three", "chunked")
            await s.owner.take(frames.RequestStart)

    async def test_a_streamed_answer_of_known_length(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"abc", [("Content-Length", "6")], more=True)
            s.owner.send(frames.BodyChunk(request.stream, b"def", False))
            answer = await client.answer()
            assert (answer.body, answer.headers.get("transfer-encoding")) == (b"abcdef", None)

    @pytest.mark.parametrize("sent", [b"short", b"much too long"])
    async def test_an_answer_of_the_wrong_length_never_looks_whole(self, sent: bytes) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"", [("Content-Length", "10")], more=True)
            s.owner.send(frames.BodyChunk(request.stream, sent, False))
            with pytest.raises((AssertionError, ConnectionError, Exception)):
                await client.answer()

    @pytest.mark.parametrize("how", ["reset", "crash"])
    async def test_an_answer_that_breaks_off_never_looks_whole(self, how: str) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"part", more=True)
            await client.until(b"part\r\n")
            if how == "reset":
                s.owner.send(frames.StreamReset(request.stream, "failed"))
            else:
                s.owner.crash()
            await client.ended()

    async def test_http_1_0_hears_the_end_by_the_end_of_the_connection(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            request = await s.owner.take(frames.RequestStart)
            assert request.url == f"http://127.0.0.1:{s.port}/"
            s.owner.respond(request, 200, b"one ", more=True)
            s.owner.send(frames.BodyChunk(request.stream, b"two", False))
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"one two", "close")

    async def test_http_1_0_with_keep_alive(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x")
                assert (await client.answer()).headers["connection"] == "keep-alive"

    async def test_connection_close_is_obeyed(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x")
            assert (await client.answer()).headers["connection"] == "close"
            await client.ended()
            assert not s.owner.has(frames.RequestStart)

    async def test_head_has_the_headers_alone(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET.replace(b"GET", b"HEAD") + GET)
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"twelve bytes")
            answer = await client.answer("HEAD")
            assert (answer.body, answer.headers["content-length"]) == (b"", "12")
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x")
            assert (await client.answer()).body == b"x"

    @pytest.mark.parametrize("status", [204, 304])
    async def test_statuses_without_a_body(self, status: int) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET + GET)
            s.owner.respond(await s.owner.take(frames.RequestStart), status, b"ignored", [("ETag", '"x"')])
            answer = await client.answer()
            assert (answer.status, answer.body, answer.headers["etag"]) == (status, b"", '"x"')
            if status == 204:
                assert "content-length" not in answer.headers
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x")
            assert (await client.answer()).body == b"x"

    async def test_credit_is_given_for_what_the_client_has_taken(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            s.owner.respond(request, 200, b"", more=True)
            given = sent = 0
            while sent - given < 1_000_000:  # until the client's side of the connection is full
                s.owner.send(frames.BodyChunk(request.stream, b"x" * 200_000, True))
                sent += 200_000
                await settle()
                while s.owner.has(frames.BodyCredit):
                    given += (await s.owner.take(frames.BodyCredit)).size
                assert sent < 1 << 28, "a client that does not read must not give credit for ever"
            client.reader._transport.resume_reading()  # type: ignore[attr-defined]
            s.owner.send(frames.BodyChunk(request.stream, b"end", False))
            assert len((await client.answer()).body) == sent + 3

    @pytest.mark.parametrize(
        ("status", "headers"),
        [
            (200, [("Bad Name", "x")]),
            (200, [("X", "a\r\nInjected: b")]),
            (200, [("X", "a\0b")]),
            (200, [("X", "snow ☃")]),
            (100, []),
            (101, []),
            (600, []),
        ],
    )
    async def test_an_answer_that_cannot_be_sent_is_502_and_logged(
        self, status: int, headers: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            told = s.observer.wait_for("gateway.bad_answer")
            client.send(GET + GET)
            s.owner.respond(await s.owner.take(frames.RequestStart), status, b"x", headers)
            answer = await client.answer()
            assert (answer.status, answer.error) == (502, "BadGateway")
            assert (await told)["url"] == "http://a.example/p?q=1"
            assert "GET http://a.example/p?q=1: the application" in caplog.text
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"fine")
            assert (await client.answer()).body == b"fine"

    async def test_header_lines_about_the_connection_are_the_gateways(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            headers = [
                ("Connection", "close"),
                ("Transfer-Encoding", "gzip"),
                ("Content-Length", "99"),
                ("Upgrade", "x"),
            ]
            s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"x", headers)
            answer = await client.answer()
            assert answer.body == b"x"
            assert not {"connection", "transfer-encoding", "upgrade"} & answer.headers.keys()


class TestSlowness:
    async def test_a_slow_head_is_408(self) -> None:
        clock = FakeClock()
        async with serving(Limits(head_seconds_max=10), clock=clock) as s, await RawClient.connect(s.port) as client:
            for byte in GET[:20]:
                client.send(bytes([byte]))
                await settle(5)
                clock.advance(0.4)
            clock.advance(3)
            answer = await client.answer()
            assert (answer.status, answer.error) == (408, "RequestTimeout")
            await client.ended()

    async def test_a_client_that_says_nothing_is_dropped_without_a_word(self) -> None:
        clock = FakeClock()
        async with serving(Limits(head_seconds_max=10), clock=clock) as s, await RawClient.connect(s.port) as client:
            await settle()
            clock.advance(11)
            await client.ended()

    async def test_an_idle_connection_is_kept_for_a_while(self) -> None:
        clock = FakeClock()
        limits = Limits(head_seconds_max=10, keep_alive_seconds=75)
        async with serving(limits, clock=clock) as s, await RawClient.connect(s.port) as client:
            for _ in range(2):
                client.send(GET)
                s.owner.respond(await s.owner.take(frames.RequestStart))
                await client.answer()
                clock.advance(70)
                await settle()
            clock.advance(6)
            await client.ended()

    async def test_a_slow_head_on_a_kept_connection_is_408(self) -> None:
        clock = FakeClock()
        limits = Limits(head_seconds_max=10, keep_alive_seconds=75)
        async with serving(limits, clock=clock) as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            s.owner.respond(await s.owner.take(frames.RequestStart))
            await client.answer()
            client.send(b"GET ")
            await settle()
            clock.advance(11)
            assert (await client.answer()).status == 408

    async def test_a_slow_body_is_408_and_the_host_hears(self) -> None:
        clock = FakeClock()
        async with (
            serving(Limits(body_idle_seconds_max=30), clock=clock) as s,
            await RawClient.connect(s.port) as client,
        ):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            request = await s.owner.take(frames.RequestStart)
            clock.advance(25)
            client.send(b"6")
            await s.owner.take(frames.BodyChunk)
            clock.advance(25)
            await settle()
            assert not s.owner.has(frames.StreamReset)
            clock.advance(6)
            assert (await client.answer()).status == 408
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream

    async def test_an_answer_that_does_not_come_is_504(self) -> None:
        clock = FakeClock()
        async with (
            serving(Limits(response_seconds_max=100), clock=clock) as s,
            await RawClient.connect(s.port) as client,
        ):
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            clock.advance(101)
            answer = await client.answer()
            assert (answer.status, answer.error) == (504, "Timeout")
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream

    async def test_a_handshake_that_is_not_answered_is_504(self) -> None:
        clock = FakeClock()
        async with (
            serving(Limits(handshake_seconds_max=30), clock=clock) as s,
            await RawClient.connect(s.port) as client,
        ):
            client.send(handshake())
            request = await s.owner.take(frames.RequestStart)
            clock.advance(31)
            assert (await client.answer()).status == 504
            s.owner.respond(request, 101, grant=s.owner.grant())
            assert (await s.owner.take(frames.GrantDropped)).grant == 1

    async def test_a_client_that_does_not_read_its_answer_is_dropped(self) -> None:
        clock = FakeClock()
        async with (
            serving(Limits(body_idle_seconds_max=30), clock=clock) as s,
            await RawClient.connect(s.port) as client,
        ):
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            s.owner.respond(request, 200, b"x" * 30_000_000, more=True)
            await settle(50)
            clock.advance(31)
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream

    async def test_a_stream_may_be_silent(self) -> None:
        clock = FakeClock()
        async with serving(clock=clock) as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 200, b"event", more=True)
            await settle()
            clock.advance(10_000)
            s.owner.send(frames.BodyChunk(request.stream, b"!", False))
            assert (await client.answer()).body == b"event!"


class TestClientsThatLeave:
    @pytest.mark.parametrize("answered", [False, True])
    async def test_the_host_hears_that_the_client_is_gone(self, answered: bool) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            if answered:
                s.owner.respond(request, 200, b"part", more=True)
                await client.read(20)
            client.writer.transport.abort()
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream
            s.owner.send(frames.BodyChunk(request.stream, b"late", True))
            await settle()

    async def test_a_grant_for_a_client_that_is_gone_is_dropped(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            request = await s.owner.take(frames.RequestStart)
            client.writer.transport.abort()
            await s.owner.take(frames.StreamReset)
            grant = s.owner.grant()
            s.owner.respond(request, 101, grant=grant)
            assert (await s.owner.take(frames.GrantDropped)).grant == grant.grant
            assert len(s.gateway.links.sockets) == 0


class TestHandshakes:
    async def test_a_refused_handshake_is_an_ordinary_answer(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            request = await s.owner.take(frames.RequestStart)
            assert request.upgrade
            s.owner.respond(request, 403, b"members only")
            answer = await client.answer()
            assert (answer.status, answer.body) == (403, b"members only")
            client.send(GET)
            assert (await s.owner.take(frames.RequestStart)).method == "GET"

    async def test_the_headers_of_the_answer_are_passed_on(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake(sec_websocket_protocol="chat, super"))
            request = await s.owner.take(frames.RequestStart)
            headers = [("X-Room", "7"), ("Sec-WebSocket-Protocol", "super"), ("Sec-WebSocket-Extensions", "x")]
            s.owner.respond(request, 101, headers=headers, grant=s.owner.grant())
            opened = await s.owner.take(frames.SocketOpened)
            assert opened.protocol == "super"
            answer = await client.answer()
            assert answer.headers["x-room"] == "7"
            assert answer.headers["sec-websocket-protocol"] == "super"
            assert "sec-websocket-extensions" not in answer.headers
            client.writer.transport.abort()

    async def test_a_subprotocol_that_was_not_offered_is_502_and_the_grant_is_dropped(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake(sec_websocket_protocol="chat"))
            request = await s.owner.take(frames.RequestStart)
            grant = s.owner.grant()
            s.owner.respond(request, 101, headers=[("Sec-WebSocket-Protocol", "other")], grant=grant)
            answer = await client.answer()
            assert answer.status == 502
            assert b"other" in answer.body
            assert (await s.owner.take(frames.GrantDropped)).grant == grant.grant
            assert len(s.gateway.links.sockets) == 0

    async def test_a_socket_for_a_request_that_was_no_handshake_is_502(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            s.owner.respond(request, 101, grant=s.owner.grant())
            assert (await client.answer()).status == 502
            await s.owner.take(frames.GrantDropped)

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (handshake(sec_websocket_version="12"), 426),
            (handshake(sec_websocket_key="x"), 400),
            (handshake(method="POST"), 400),
        ],
    )
    async def test_a_malformed_handshake_reaches_no_host(self, data: bytes, status: int) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(data)
            answer = await client.answer()
            assert answer.status == status
            if status == 426:
                assert answer.headers["sec-websocket-version"] == "13"
            await client.ended()
            assert s.owner.received == []

    async def test_what_a_client_sends_before_the_answer_is_bounded(self) -> None:
        async with serving(Limits(client_buffer_bytes_max=10_000)) as s, await RawClient.connect(s.port) as client:
            client.send(handshake() + b"\x82" * 20_000_000)
            request = await s.owner.take(frames.RequestStart)
            await settle(200)
            assert client.writer.transport.get_write_buffer_size() > 0
            s.owner.respond(request, 403)
            assert (await client.answer()).status == 403


class TestAddresses:
    @pytest.mark.parametrize(
        ("proxies", "scheme"), [((), "http"), (("127.0.0.0/8",), "https"), (("10.0.0.0/8",), "http")]
    )
    async def test_the_word_of_a_proxy_counts_when_it_is_trusted(self, proxies: tuple[str, ...], scheme: str) -> None:
        async with serving(trusted_proxies=proxies) as s, await RawClient.connect(s.port) as client:
            client.send(GET.replace(b"X-A: 1", b"X-Forwarded-Proto: https"))
            assert (await s.owner.take(frames.RequestStart)).url == f"{scheme}://a.example/p?q=1"

    async def test_an_absolute_target_is_the_url(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(b"GET http://b.example:8/x HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert (await s.owner.take(frames.RequestStart)).url == "http://b.example:8/x"


async def test_hostile_bytes_disturb_nobody_else() -> None:
    async with serving() as s, await RawClient.connect(s.port) as good:
        for data in (b"\x00" * 100, b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\nHost: a\n\n", b"X" * 70_000):
            async with await RawClient.connect(s.port) as bad:
                bad.send(data + b"\r\n\r\n")
                assert 400 <= (await bad.answer()).status < 500
                await bad.ended()
        good.send(GET)
        s.owner.respond(await s.owner.take(frames.RequestStart), 200, b"fine")
        assert (await good.answer()).body == b"fine"
