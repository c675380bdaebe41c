"""What every kind of connection promises: one suite over memory and Unix sockets, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from roost.errors import InvalidStateError, LinkError, UnserialisableError
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection, SessionConnection
from roost.link.frames import Frame, Hello, SocketMessage
from roost.link.memory import memory_pair
from roost.link.stream import StreamConnection, connect_unix, serve_unix

PEER = Hello(frames.VERSION, "gateway", 0, 7)
OWNER = Hello(frames.VERSION, "host", 3, 8)
Pair = tuple[SessionConnection, SessionConnection]


@contextlib.asynccontextmanager
async def joined_in_memory(_: Path, limits: Limits) -> AsyncIterator[Pair]:
    pair = memory_pair(PEER, OWNER, limits)
    yield pair
    for end in pair:
        end.abort()


@contextlib.asynccontextmanager
async def joined_by_unix_socket(directory: Path, limits: Limits) -> AsyncIterator[Pair]:
    accepted: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()
    server = await serve_unix(str(directory / "h.sock"), OWNER, accepted.set_result, limits)
    peer = await connect_unix(str(directory / "h.sock"), PEER, limits)
    owner = await accepted
    yield peer, owner
    for end in (peer, owner):
        end.abort()
    server.close()


JOINS = {"memory": joined_in_memory, "unix": joined_by_unix_socket}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class End:
    """One started end, with what it was told."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.batches: list[list[Frame]] = []
        self.writable: list[bool] = []
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self.again_writable = asyncio.Event()
        connection.start(self._frames, self.lost.set_result, self._writable)

    def _writable(self, writable: bool) -> None:
        assert self.connection.writable is writable
        self.writable.append(writable)
        if writable:
            self.again_writable.set()

    def _frames(self, batch: list[Frame]) -> None:
        assert not self.lost.done(), "frames after the loss"
        self.batches.append(batch)
        self._changed.set()

    @property
    def frames(self) -> list[Frame]:
        return [frame for batch in self.batches for frame in batch]

    async def has(self, count: int) -> list[Frame]:
        while len(self.frames) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.frames


@pytest.fixture(params=[(join, loop) for join in JOINS for loop in LOOPS], ids="-".join)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    join, loop = request.param

    def run_test(test: Callable[..., Any], limits: Limits | None = None) -> None:
        async def main() -> None:
            async with JOINS[join](tmp_path, limits or Limits()) as pair, asyncio.timeout(20):
                await test(*pair)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())

    return run_test


def message(number: int, size: int = 4) -> SocketMessage:
    return SocketMessage(number, "x" * size)


def test_both_ends_greet_first(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        assert await left.has(1) == [OWNER]
        assert await right.has(1) == [PEER]
        assert (peer.other, owner.other) == (OWNER, PEER)
        assert peer.peername
        assert owner.peername

    run(test)


def test_what_is_gathered_until_the_write_goes_behind_all_that_was_sent(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        gathered: list[Frame] = []

        def add() -> None:
            while gathered:
                owner.post(gathered.pop(), 4)

        owner.before_flush(add)
        left, right = End(peer), End(owner)
        await right.has(1)
        gathered.append(frames.Finished([1]))
        owner.post(frames.Send([1], "text"), 4)
        assert await left.has(3) == [OWNER, frames.Send([1], "text"), frames.Finished([1])]
        gathered.append(frames.Finished([2]))
        owner.flush_soon()
        assert (await left.has(4))[3:] == [frames.Finished([2])]

    run(test)


def test_what_could_not_leave_any_more_counts_as_sent(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left = End(peer)
        End(owner)
        peer.send(message(1))
        await left.has(1)
        peer.close()
        peer.send(message(2))
        peer.post(message(3), 4)
        assert peer.sent == 3

    run(test)


def test_a_posted_frame_that_cannot_be_sent_ends_the_link(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        await left.has(1)
        peer.post(SocketMessage(1, "\ud800"), 1)
        assert isinstance(await left.lost, LinkError)
        await right.lost
        assert right.frames == [PEER]

    run(test)


def test_frames_arrive_in_the_order_sent(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        End(peer)
        right = End(owner)
        for number in range(300):
            peer.send(message(number))
            if number % 7 == 0:
                await asyncio.sleep(0)
        assert await right.has(301) == [PEER, *(message(number) for number in range(300))]

    run(test)


def test_frames_of_one_turn_are_one_batch(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        right = End(owner)
        await right.has(1)
        writes: list[int] = []
        write = peer._write
        peer._write = lambda data: writes.append(len(data)) or write(data)  # type: ignore[method-assign, func-returns-value]
        for number in range(50):
            peer.send(message(number))
        assert writes == []
        await right.has(51)
        assert len(writes) == 1
        assert [len(batch) for batch in right.batches] == [1, 50]

    run(test)


def test_what_came_before_start_waits_for_it(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left = End(peer)
        peer.send(message(1))
        owner.send(frames.Goodbye())
        await left.has(2)
        right = End(owner)
        assert right.frames == [], "start itself hands nothing out"
        assert await right.has(2) == [PEER, message(1)]

    run(test)


def test_what_came_before_start_is_told_though_the_link_is_lost(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left = End(peer)
        await left.has(1)
        peer.send(message(1))
        peer.close()
        assert await left.lost is None
        right = End(owner)
        assert await right.lost is None
        assert right.frames == [PEER, message(1)]

    run(test)


def test_start_is_called_once(run: Any) -> None:
    async def test(peer: SessionConnection, _: SessionConnection) -> None:
        End(peer)
        with pytest.raises(InvalidStateError, match="started already"):
            End(peer)

    run(test)


def test_close_sends_what_waits_and_is_a_loss_without_a_reason(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        await right.has(1)
        for number in range(20):
            peer.send(message(number, 50_000))
        peer.close()
        assert peer.closed
        assert not peer.writable
        assert await right.lost is None
        assert len(right.frames) == 21
        assert await left.lost is None

    run(test)


def test_send_after_the_loss_is_ignored(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        owner.abort()
        await left.lost
        await right.lost
        for end in (peer, owner):
            assert end.closed
            end.send(frames.RollEnd())
            end.close()
            end.abort()
        await asyncio.sleep(0)
        assert left.frames in ([], [OWNER])

    run(test)


def test_a_frame_that_cannot_be_sent_harms_no_other(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        right = End(owner)
        peer.send(message(1))
        with pytest.raises(UnserialisableError):
            peer.send(SocketMessage(2, "\ud800"))
        peer.send(message(3))
        assert await right.has(3) == [PEER, message(1), message(3)]

    run(test)


def test_garbage_drops_the_link_and_says_so(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        await right.has(1)
        peer._write(bytearray(b"\xff" * 100))
        assert isinstance(await right.lost, LinkError)
        await left.lost

    run(test)


def test_an_end_inside_a_batch_is_no_good_order(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        End(peer)
        right = End(owner)
        await right.has(1)
        peer._write(bytearray(b"\0\0\0\x09half"))
        peer.close()
        lost = await right.lost
        assert isinstance(lost, LinkError)
        assert "broke off 8 bytes into a batch" in str(lost)

    run(test)


def test_a_receiver_that_raises_drops_the_link(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        left = End(peer)
        lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        broken = RuntimeError("a broken assumption")

        def on_frames(_: list[Frame]) -> None:
            raise broken

        owner.start(on_frames, lost.set_result)
        assert await lost is broken
        assert [context["exception"] for context in told] == [broken]
        await left.lost

    run(test)


def test_a_reader_that_stops_makes_the_link_unwritable_until_it_goes_on(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        await right.has(1)
        pause(owner)
        sent = 0
        while peer.writable:
            peer.send(message(sent, 10_000))
            sent += 1
            await asyncio.sleep(0)
        assert left.writable == [False]
        resume(owner)
        await right.has(sent + 1)
        await left.again_writable.wait()
        assert left.writable == [False, True]

    run(test, Limits(link_send_bytes=100_000))


def test_a_reader_that_never_goes_on_loses_the_link_beyond_the_bound(run: Any) -> None:
    async def test(peer: SessionConnection, owner: SessionConnection) -> None:
        left, right = End(peer), End(owner)
        await right.has(1)
        pause(owner)
        sent = 0
        while not left.lost.done():
            peer.send(message(sent, 10_000))
            sent += 1
            await asyncio.sleep(0)
        assert "does not read" in str(left.lost.result())
        assert sent < 500

    run(test, Limits(link_send_bytes=100_000, link_send_bytes_max=1_000_000))


def pause(end: SessionConnection) -> None:
    end._pause_reading()


def resume(end: SessionConnection) -> None:
    end._resume_reading()
