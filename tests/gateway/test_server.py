from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import websockets
from tests.gateway.fake_clock import settle, until
from tests.gateway.raw_client import TEXT, RawClient, close_frame, frame, handshake
from tests.gateway.scripted_owner import Served, serving

from roost.errors import ConfigurationError
from roost.gateway import descriptors
from roost.limits import Limits
from roost.link import frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEALTH = b"GET /_roost/health?x HTTP/1.1\r\nHost: a\r\n\r\n"


class TestHealth:
    async def test_serving(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(HEALTH + HEALTH.replace(b"GET", b"HEAD"))
            answer = await client.answer()
            assert answer.status == 200
            assert json.loads(answer.body) == {"status": "serving", "hosts": 1, "sockets": 0}
            assert (await client.answer("HEAD")).status == 200
            assert s.owner.received == []

    async def test_unavailable_without_a_host(self) -> None:
        async with serving(linked=False) as s, await RawClient.connect(s.port) as client:
            client.send(HEALTH)
            answer = await client.answer()
            assert (answer.status, json.loads(answer.body)["status"]) == (503, "unavailable")

    async def test_it_can_be_off(self) -> None:
        async with serving(health_path=None) as s, await RawClient.connect(s.port) as client:
            client.send(HEALTH)
            s.owner.respond(await s.owner.take(frames.RequestStart), 404)
            assert (await client.answer()).status == 404

    async def test_other_methods_are_the_applications(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(HEALTH.replace(b"GET", b"DELETE"))
            s.owner.respond(await s.owner.take(frames.RequestStart), 405)
            assert (await client.answer()).status == 405


class TestConnections:
    async def test_above_the_bound_a_client_hears_503(self) -> None:
        async with serving(Limits(connections_max=2)) as s, await RawClient.connect(s.port) as first:
            first.send(handshake())
            number = await s.owner.accept()
            await first.answer()
            async with await RawClient.connect(s.port) as second, await RawClient.connect(s.port) as third:
                answer = await third.answer()
                assert (answer.status, answer.headers["connection"]) == (503, "close")
                await third.ended()
                second.send(HEALTH)
                assert (await second.answer()).status == 200
            await until(lambda: not s.gateway._clients)
            async with await RawClient.connect(s.port) as fourth:
                fourth.send(HEALTH)
                assert (await fourth.answer()).status == 200
            s.owner.send(frames.Send([number], "here"))
            assert await first.frame() == (TEXT, b"here")
            first.writer.transport.abort()

    async def test_near_the_limit_of_descriptors_a_client_hears_503_and_beyond_it_the_end(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(descriptors, "raise_descriptor_limit", lambda: 4)
        monkeypatch.setattr(descriptors, "REFUSED_AT_ONCE_MAX", 1)
        async with serving() as s, await RawClient.connect(s.port) as first, await RawClient.connect(s.port) as second:
            for client in (first, second):
                client.send(HEALTH)
                assert (await client.answer()).status == 200
            async with await RawClient.connect(s.port) as told:
                answer = await told.answer()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                async with await RawClient.connect(s.port) as untold:
                    await untold.ended()
            assert caplog.text.count("allows this process 4 open files and sockets") == 1
            await until(lambda: not s.gateway.shared.lingerers)
            first.writer.close()
            await until(lambda: len(s.gateway._clients) == 1)
            async with await RawClient.connect(s.port) as later:
                later.send(HEALTH)
                assert (await later.answer()).status == 200

    async def test_a_proxy_that_is_no_address_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="trusted_proxies: 'proxy' is no address or network"):
            async with serving(trusted_proxies=["proxy"]):
                pass

    async def test_a_port_in_use_is_an_error_of_start(self) -> None:
        async with serving() as s:
            with pytest.raises(OSError, match="in use"):
                await s.gateway.start(port=s.port)

    async def test_it_listens_at_a_given_socket(self) -> None:
        async with serving() as s:
            given = socket.create_server(("127.0.0.1", 0))
            s.gateway._server.close()  # type: ignore[union-attr]
            for task in s.gateway.links._tasks:
                task.cancel()
            assert await s.gateway.start(sock=given) == given.getsockname()
            async with await RawClient.connect(given.getsockname()[1]) as client:
                client.send(HEALTH)
                await client.answer()


class TestStopping:
    async def test_idle_connections_end_and_requests_under_way_finish(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as idle, await RawClient.connect(s.port) as busy:
            idle.send(HEALTH)
            await idle.answer()
            busy.send(GET + GET)
            request = await s.owner.take(frames.RequestStart)
            draining = asyncio.create_task(s.gateway.drain())
            await idle.ended()
            with pytest.raises(ConnectionRefusedError):
                await RawClient.connect(s.port)
            assert not draining.done()
            s.owner.respond(request, 200, b"finished")
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"finished", "close")
            await busy.ended()
            busy.writer.close()
            await draining
            assert not s.owner.has(frames.RequestStart)

    async def test_a_request_that_does_not_finish_is_cut_in_the_end(self) -> None:
        async with serving(Limits(drain_seconds_max=0.05)) as s, await RawClient.connect(s.port) as client:
            client.send(GET)
            request = await s.owner.take(frames.RequestStart)
            await s.gateway.drain()
            assert (await s.owner.take(frames.StreamReset)).stream == request.stream
            await client.ended()

    @pytest.mark.parametrize(("code", "reason"), [(1001, b"going away"), (1012, b"service restart")])
    async def test_sockets_close_and_their_owners_hear(self, code: int, reason: bytes) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            number = await s.owner.accept()
            await client.answer()
            stopping = asyncio.create_task(s.gateway.stop(code))
            assert await client.closed_with() == (code, reason)
            assert not stopping.done()
            client.send(close_frame(code))
            await client.ended()
            client.writer.close()
            await stopping
            assert s.owner.received == [frames.SocketClosed(number, code, "", True)]

    async def test_a_client_that_does_not_answer_does_not_hold_it_up(self) -> None:
        async with serving(Limits(close_seconds_max=0.3)) as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            number = await s.owner.accept()
            await client.answer()
            await s.gateway.stop()
            assert s.owner.received[-1] == frames.SocketClosed(
                number, 1006, "disconnected without sending Close", False
            )

    async def test_sockets_do_not_wait_for_a_request_that_takes_long(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client, await RawClient.connect(s.port) as busy:
            client.send(handshake())
            await s.owner.accept()
            await client.answer()
            busy.send(GET)
            request = await s.owner.take(frames.RequestStart)
            stopping = asyncio.create_task(s.gateway.stop())
            assert (await client.closed_with())[0] == 1001
            client.send(close_frame(1001))
            await s.owner.take(frames.SocketClosed)
            s.owner.respond(request, 200, b"finished")
            assert (await busy.answer()).body == b"finished"
            client.writer.close()
            busy.writer.close()
            await stopping

    async def test_a_handshake_under_way_is_answered_and_its_socket_closed(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            request = await s.owner.take(frames.RequestStart)
            stopping = asyncio.create_task(s.gateway.stop())
            await settle()
            s.owner.respond(request, 101, grant=s.owner.grant())
            assert (await client.answer()).status == 101
            assert (await client.closed_with())[0] == 1001
            client.send(close_frame(1001))
            await client.ended()
            client.writer.close()
            await stopping

    async def test_sockets_stay_while_it_drains(self) -> None:
        async with serving() as s, await RawClient.connect(s.port) as client:
            client.send(handshake())
            await s.owner.accept()
            await client.answer()
            await s.gateway.drain()
            client.send(frame(TEXT, b"still here"))
            assert (await s.owner.take(frames.SocketMessage)).data == "still here"
            client.writer.transport.abort()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    outputs = ["-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *outputs], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(str(path) + ".crt").read_bytes())
    return path


class TestTls:
    @staticmethod
    def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate)
        return server, ssl.create_default_context(cafile=str(certificate))

    async def test_http_and_websocket_over_tls(self, certificate: Path) -> None:
        server, trusting = self.contexts(certificate)
        async with serving(tls=server) as s:
            async with await RawClient.connect(s.port, tls=trusting) as client:
                client.send(GET)
                request = await s.owner.take(frames.RequestStart)
                assert request.url == "https://a/"
                s.owner.respond(request, 200, b"x" * 1_000_000)
                assert (await client.answer()).body == b"x" * 1_000_000
            await self._speak(s, trusting)

    async def _speak(self, s: Served, trusting: ssl.SSLContext) -> None:
        accepting = asyncio.create_task(s.owner.accept())
        async with websockets.connect(f"wss://127.0.0.1:{s.port}/", ssl=trusting, compression=None) as client:
            number = await accepting
            await client.send("x" * 500_000)
            assert (await s.owner.take(frames.SocketMessage)).data == "x" * 500_000
            s.owner.send(frames.Send([number], b"y" * 500_000), frames.CloseSocket(number, 4000, "done"))
            assert await client.recv() == b"y" * 500_000
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4000, "done")
        closed = await s.owner.take(frames.SocketClosed)
        assert (closed.code, closed.was_clean) == (4000, True)

    async def test_a_breach_over_tls_is_read_by_its_client(self, certificate: Path) -> None:
        server, trusting = self.contexts(certificate)
        async with serving(tls=server) as s, await RawClient.connect(s.port, tls=trusting) as client:
            client.send(handshake())
            await s.owner.accept()
            await client.answer()
            client.send(frame(3))
            assert (await client.closed_with())[0] == 1002

    async def test_plain_bytes_where_tls_is_expected_disturb_nobody(self, certificate: Path) -> None:
        server, trusting = self.contexts(certificate)
        async with serving(tls=server) as s, await RawClient.connect(s.port) as plain:
            plain.send(GET)
            await plain.reader.read()
            async with await RawClient.connect(s.port, tls=trusting) as client:
                client.send(HEALTH)
                assert (await client.answer()).status == 200
            await settle()
