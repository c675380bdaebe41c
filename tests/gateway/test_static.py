from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.gateway.fake_clock import FakeClock, settle, until
from tests.gateway.raw_client import RawClient
from tests.gateway.scripted_owner import serving

from roost.assets import Assets
from roost.limits import Limits
from roost.link import frames


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    (tmp_path / "large.bin").write_bytes(os.urandom(1_000_000) * 12)
    return Assets(tmp_path)


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


async def test_a_file_is_answered_without_a_host(assets: Assets) -> None:
    async with serving(assets=assets, linked=False) as s, await RawClient.connect(s.port) as client:
        client.send(get("/") + get("/index.html?v=1", method="HEAD") + get("/"))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"<h1>hello</h1>")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        head = await client.answer("HEAD")
        assert (head.body, head.headers["content-length"]) == (b"", "14")
        assert (await client.answer()).body == b"<h1>hello</h1>"


async def test_what_is_no_file_reaches_the_entrypoint(assets: Assets) -> None:
    async with serving(assets=assets) as s, await RawClient.connect(s.port) as client:
        client.send(get("/other") + get("/", "Content-Length: 0", method="POST"))
        for method in ("GET", "POST"):
            request = await s.owner.take(frames.RequestStart)
            assert request.method == method
            s.owner.respond(request)


async def test_conditions_and_ranges_are_kept(assets: Assets) -> None:
    async with serving(assets=assets) as s, await RawClient.connect(s.port) as client:
        client.send(get("/"))
        tag = (await client.answer()).headers["etag"]
        client.send(get("/", f"If-None-Match: {tag}") + get("/", "Range: bytes=4-8"))
        assert (await client.answer()).status == 304
        part = await client.answer()
        assert (part.status, part.body) == (206, b"hello")


async def test_a_large_file_is_sent_as_the_client_reads_it(assets: Assets, tmp_path: Path) -> None:
    async with (
        serving(assets=assets) as s,
        await RawClient.connect(s.port) as client,
        await RawClient.connect(s.port) as b,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(get("/large.bin"))
        b.send(get("/"))
        assert (await b.answer()).body == b"<h1>hello</h1>"
        await until(lambda: any(not c.is_writable for c in s.gateway._clients))
        connection = next(c for c in s.gateway._clients if c._sending is not None)
        assert connection._transport.get_write_buffer_size() < 1_000_000
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.answer()).body == (tmp_path / "large.bin").read_bytes()
        b.writer.close()


async def test_a_client_that_does_not_read_its_file_is_dropped(assets: Assets) -> None:
    clock = FakeClock()
    async with (
        serving(Limits(body_idle_seconds_max=30), clock=clock, assets=assets) as s,
        await RawClient.connect(s.port) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(get("/large.bin"))
        await until(lambda: any(not c.is_writable for c in s.gateway._clients))
        clock.advance(31)
        await settle()
        assert not s.gateway._clients


async def test_a_client_that_leaves_ends_the_reading(assets: Assets) -> None:
    async with serving(assets=assets) as s, await RawClient.connect(s.port) as client:
        client.send(get("/large.bin"))
        await client.read(100)
        client.writer.transport.abort()
        await until(lambda: not s.gateway._clients)


async def test_a_file_that_shrinks_while_it_is_sent_never_looks_whole(assets: Assets, tmp_path: Path) -> None:
    async with serving(assets=assets) as s, await RawClient.connect(s.port) as client:
        told = s.observer.wait_for("gateway.file_failed")
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(get("/large.bin"))
        await until(lambda: any(not c.is_writable for c in s.gateway._clients))
        os.truncate(tmp_path / "large.bin", 1_000)
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert isinstance((await told)["error"], OSError)
        with pytest.raises(Exception):  # noqa: B017, PT011 - h11 says in its own words that it is not whole
            await client.answer()
