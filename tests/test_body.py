from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from roost.body import Body, BodyReader, BodyStream
from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError


class Source:
    """Chunks that are produced on demand, with what happened to it."""

    def __init__(self, *chunks: bytes | str | Exception) -> None:
        self.chunks = list(chunks)
        self.asked = 0
        self.closed = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> bytes | str:
        self.asked += 1
        if not self.chunks:
            raise StopAsyncIteration
        chunk = self.chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.closed = True


async def drain(reader: Any) -> list[bytes]:
    return [chunk async for chunk in reader]


def chunks_of_sync() -> Iterator[str]:
    yield "a"
    yield "é"


async def chunks_of_async() -> AsyncIterator[bytes]:
    yield b"a"
    yield "é".encode()


@pytest.mark.parametrize(
    "source",
    ["aé", "aé".encode(), bytearray("aé".encode()), memoryview("aé".encode()), ["a", "é"], ("aé",)],
)
async def test_a_body_is_made_of_bytes_text_and_iterables(source: Any) -> None:
    assert await Body(source).bytes() == "aé".encode()
    assert await Body(source).text() == "aé"
    assert b"".join(await drain(Body(source).stream())) == "aé".encode()


async def test_a_body_is_made_of_generators() -> None:
    assert await Body(chunks_of_sync()).text() == "aé"
    assert await Body(chunks_of_async()).text() == "aé"


async def test_no_body_is_empty() -> None:
    assert await Body().bytes() == b""
    assert await drain(Body().stream()) == []
    assert Body().buffered == b""


@pytest.mark.parametrize("source", [5, 1.5, object(), {"a": 1}])
def test_what_is_no_body_is_refused(source: Any) -> None:
    with pytest.raises(WrongTypeError, match="body"):
        Body(source)


async def test_a_chunk_of_another_type_is_refused_where_it_is_read() -> None:
    with pytest.raises(WrongTypeError, match="got int"):
        await Body([b"a", 5]).bytes()  # type: ignore[list-item]


async def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="surrogate at 1"):
        Body("a\ud800")


@pytest.mark.parametrize("read", ["bytes", "text", "json"])
async def test_a_body_is_read_once(read: str) -> None:
    for again in ("bytes", "text", "json"):
        body = Body(b"1")
        await getattr(body, read)()
        assert body.used
        with pytest.raises(InvalidStateError, match="body already read"):
            await getattr(body, again)()
        with pytest.raises(InvalidStateError, match="body already read"):
            body.stream()


async def test_a_body_moves_into_another_one() -> None:
    first = Body("x")
    second = Body(first)
    assert first.used
    assert await second.text() == "x"
    with pytest.raises(InvalidStateError):
        Body(first)


async def test_buffered_shows_a_whole_body_and_does_not_read_it() -> None:
    body = Body("x")
    assert body.buffered == b"x"
    assert not body.used
    assert Body(Source(b"x")).buffered is None


async def test_json_is_read_and_checked() -> None:
    @dataclasses.dataclass
    class Move:
        x: int

    assert await Body('{"x": 1}').json() == {"x": 1}
    assert await Body('{"x": 1}').json(Move) == Move(1)
    with pytest.raises(InvalidArgumentError, match="the body is not JSON"):
        await Body("{").json()
    with pytest.raises(InvalidArgumentError, match=r"expected shape.*\$\.x"):
        await Body('{"x": "1"}').json(Move)


async def test_text_in_another_encoding() -> None:
    assert await Body(b"\xe9").text("latin-1") == "é"
    assert await Body(b"\xef\xbb\xbfx").text() == "x"
    with pytest.raises(InvalidArgumentError, match="not utf-8 at byte 1"):
        await Body(b"a\xff").text()
    with pytest.raises(InvalidArgumentError, match="no encoding is called 'klingon'"):
        await Body(b"a").text("klingon")


async def test_a_stream_is_read_at_the_readers_speed_and_without_empty_chunks() -> None:
    source = Source(b"a", b"", "", "b")
    reader = Body(source).stream()
    assert source.asked == 0
    assert await anext(reader) == b"a"
    assert source.asked == 1
    assert await drain(reader) == [b"b"]


async def test_a_reader_that_stops_lets_the_source_go() -> None:
    source = Source(b"a", b"b")
    reader = Body(source).stream()
    await anext(reader)
    await reader.aclose()
    assert source.closed


async def test_a_generator_that_is_let_go_runs_its_finally() -> None:
    ended: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append("sync")

    reader = BodyReader(chunks())
    await anext(reader)
    await reader.aclose()
    assert ended == ["sync"]


async def test_discard_lets_an_unread_source_go_and_leaves_one_that_is_read() -> None:
    unread, reading = Source(b"a"), Source(b"a")
    body = Body(unread)
    await body.discard()
    assert unread.closed
    assert body.used
    taken = Body(reading)
    taken.stream()
    await taken.discard()
    assert not reading.closed


async def test_a_body_that_breaks_off_never_looks_complete() -> None:
    with pytest.raises(ConnectionError, match="gone"):
        await Body(Source(b"a", ConnectionError("gone"))).bytes()


# -- clones ------------------------------------------------------------------------------------------------------------


async def test_both_copies_have_all_of_it() -> None:
    for body in (Body("abc"), Body(Source(b"a", b"b", b"c"))):
        twin = body.clone()
        assert (await body.text(), await twin.text()) == ("abc", "abc")


async def test_copies_are_read_side_by_side() -> None:
    body = Body(Source(b"a", b"b", b"c"))
    twin = body.clone()
    one, other = await asyncio.gather(drain(body.stream()), drain(twin.stream()))
    assert one == other == [b"a", b"b", b"c"]


async def test_copies_of_copies() -> None:
    body = Body(Source(b"a", b"b"))
    twin = body.clone()
    third = twin.clone()
    assert [await one.text() for one in (third, body, twin)] == ["ab"] * 3


async def test_a_body_that_was_read_cannot_be_cloned() -> None:
    body = Body("x")
    await body.text()
    with pytest.raises(InvalidStateError, match="clone it before"):
        body.clone()


async def test_both_copies_learn_that_it_broke_off() -> None:
    body = Body(Source(b"a", ConnectionError("gone")))
    twin = body.clone()
    for one in (body, twin):
        with pytest.raises(ConnectionError, match="gone"):
            await one.bytes()


async def test_the_source_goes_when_both_copies_are_let_go() -> None:
    source = Source(b"a", b"b")
    body = Body(source)
    twin = body.clone()
    await body.discard()
    assert not source.closed
    await twin.discard()
    assert source.closed


async def test_a_copy_that_lags_too_far_fails_and_the_other_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.body.CLONE_LAG_BYTES_MAX", 5)
    body = Body(Source(b"abc", b"def", b"ghi"))
    twin = body.clone()
    assert await body.text() == "abcdefghi"
    with pytest.raises(LimitExceededError, match="was not read while 5 bytes"):
        await twin.text()


async def test_a_cancelled_read_leaves_the_other_copy_an_error_and_no_short_body() -> None:
    never = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await never.wait()
        yield b"b"

    body = Body(chunks())
    twin = body.clone()
    reading = asyncio.create_task(body.bytes())
    for _ in range(3):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(InvalidStateError, match="cancelled"):
        await twin.bytes()


# -- bodies that are fed -----------------------------------------------------------------------------------------------


async def test_a_fed_body_is_read_as_it_comes() -> None:
    stream = BodyStream()
    reading = asyncio.create_task(drain(Body(stream).stream()))
    await asyncio.sleep(0)
    stream.feed(b"a")
    await asyncio.sleep(0)
    stream.feed(b"b")
    stream.feed(b"")
    stream.end()
    assert await reading == [b"a", b"b"]
    assert stream.finished


async def test_credit_comes_back_as_it_is_read() -> None:
    credit: list[int] = []
    stream = BodyStream(window=10, on_consumed=credit.append)
    stream.feed(b"abc")
    stream.feed(b"de")
    assert (credit, stream.size) == ([], 5)
    await anext(stream)
    assert (credit, stream.size) == ([3], 2)
    await anext(stream)
    assert (credit, stream.size) == ([3, 2], 0)


async def test_a_sender_beyond_its_credit_is_refused() -> None:
    stream = BodyStream(window=4)
    stream.feed(b"abcd")
    with pytest.raises(LimitExceededError, match="5 bytes of a body wait unread, 4 are allowed"):
        stream.feed(b"e")
    await anext(stream)
    stream.feed(b"e")


async def test_a_failure_comes_behind_what_was_fed() -> None:
    stream = BodyStream()
    stream.feed(b"a")
    stream.fail(ConnectionError("gone"))
    assert await anext(stream) == b"a"
    for _ in range(2):
        with pytest.raises(ConnectionError, match="gone"):
            await anext(stream)


async def test_a_failure_wakes_who_waits() -> None:
    stream = BodyStream()
    reading = asyncio.create_task(Body(stream).bytes())
    await asyncio.sleep(0)
    stream.fail(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await reading


async def test_a_complete_body_does_not_fail_afterwards() -> None:
    stream = BodyStream()
    stream.feed(b"a")
    stream.end()
    stream.fail(ConnectionError("too late"))
    assert await drain(stream) == [b"a"]
    with pytest.raises(InvalidStateError, match="nothing can follow"):
        stream.feed(b"b")


async def test_a_reader_that_goes_away_is_told_to_the_sender_once() -> None:
    told: list[str] = []
    stream = BodyStream(on_closed=lambda: told.append("closed"))
    stream.feed(b"a")
    await stream.aclose()
    await stream.aclose()
    assert told == ["closed"]
    stream.feed(b"still under way")
    assert (stream.size, stream.finished) == (0, True)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_reader_that_goes_away_after_the_end_is_nobodys_business() -> None:
    told: list[str] = []
    stream = BodyStream(on_closed=lambda: told.append("closed"))
    stream.end()
    await stream.aclose()
    assert told == []


async def test_a_fed_body_has_one_reader() -> None:
    stream = BodyStream()
    first = asyncio.create_task(drain(stream))
    await asyncio.sleep(0)
    with pytest.raises(InvalidStateError, match="read by somebody else"):
        await anext(stream)
    stream.end()
    assert await first == []


async def test_a_cancelled_reader_loses_nothing() -> None:
    stream = BodyStream()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    stream.feed(b"a")
    assert await anext(stream) == b"a"


async def test_what_is_in_memory_can_be_taken_at_once_up_to_a_size() -> None:
    body = Body("text")
    assert body.take_buffered(3) is None
    assert body.take_buffered(4) == b"text"
    assert body.used
    with pytest.raises(InvalidStateError):
        body.take_buffered(4)
    streamed = Body(iter([b"text"]))
    assert streamed.take_buffered(100) is None
    assert await streamed.text() == "text"
