from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from benchmarks import load

Handler = Callable[[ServerConnection], Awaitable[None]]
QUICK: dict[str, Any] = {"seconds": 0.05, "warm_up": 0, "drain": 0.2}


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    async with serve(handler, "127.0.0.1", 0, compression=None) as running:
        yield next(iter(running.sockets)).getsockname()[1]


async def run(handler: Handler, mode: str = "echo", **options: Any) -> load.Result:
    async with server(handler) as port:
        return await asyncio.to_thread(load.run, mode, port, "/", **{**QUICK, **options})


async def echo(client: ServerConnection) -> None:
    async for message in client:
        await client.send(message)


class Room:
    """A room of the test's own. It waits for a message of each of its senders, then sends all to every member."""

    def __init__(self, senders: int, *, torn: bool = False) -> None:
        self.senders = senders
        self.members: list[ServerConnection] = []
        self.waiting: dict[ServerConnection, str] = {}
        self.torn = torn

    async def __call__(self, client: ServerConnection) -> None:
        self.members.append(client)
        with suppress(ConnectionClosedError):  # the generator leaves without a closing handshake
            async for message in client:
                assert isinstance(message, str)
                self.waiting[client] = message
                if len(self.waiting) == self.senders:
                    await self.deliver()

    async def deliver(self) -> None:
        turn, self.waiting = list(self.waiting.items()), {}
        listeners = [member for member in self.members if member not in dict(turn)]
        for member in self.members:
            order = turn[::-1] if self.torn and member is listeners[0] else turn
            for sender, message in order:
                if member is not sender:
                    await member.send(message)


async def test_every_message_of_a_correct_echo_is_counted_once() -> None:
    result = await run(echo, connections=3, window=4)
    assert result.held
    assert result.delivered == result.latency_us.count
    assert result.arrived >= result.delivered > 0


async def test_a_lost_message_is_an_error() -> None:
    async def forgetful(client: ServerConnection) -> None:
        await client.recv()
        await echo(client)

    with pytest.raises(load.LoadError, match="before an earlier one"):
        await run(forgetful, window=2)


async def test_a_message_that_never_comes_is_lost() -> None:
    async def silent(client: ServerConnection) -> None:
        async for _ in client:
            pass

    with pytest.raises(load.LoadError, match="lost"):
        await run(silent)


async def test_a_doubled_message_is_an_error() -> None:
    async def stammering(client: ServerConnection) -> None:
        async for message in client:
            await client.send(message)
            await client.send(message)

    with pytest.raises(load.LoadError, match="came twice"):
        await run(stammering)


async def test_an_altered_message_is_an_error() -> None:
    async def altering(client: ServerConnection) -> None:
        async for message in client:
            assert isinstance(message, str)
            await client.send(message[:-1] + "y")

    with pytest.raises(load.LoadError, match="nobody sent"):
        await run(altering)


async def test_a_closed_connection_is_an_error_that_names_the_code() -> None:
    async def closing(client: ServerConnection) -> None:
        await client.recv()
        await client.close(4321)

    with pytest.raises(load.LoadError, match="4321"):
        await run(closing)


async def test_a_correct_room_delivers_to_all_but_the_sender() -> None:
    result = await run(Room(1), "broadcast", connections=4, senders=1)
    assert result.arrived == 3 * (result.arrived // 3) > 0


async def test_members_that_see_two_senders_in_different_orders_are_an_error() -> None:
    with pytest.raises(load.LoadError, match=r'"disordered": [1-9]'):
        await run(Room(2, torn=True), "broadcast", connections=4, senders=2)


async def test_the_first_message_after_sleep_is_told_from_the_second() -> None:
    async def sleeper(client: ServerConnection) -> None:
        count = 0
        async for message in client:
            assert isinstance(message, str)
            await client.send(("1" if count % 2 else "0") + message)
            count += 1

    result = await run(sleeper, "wake", seconds=1, sleep=0, connections=2)
    assert result.latency_us.count == 2
    assert result.latency_awake_us is not None
    assert result.latency_awake_us.count == 2


async def test_a_refused_handshake_is_an_error_that_says_the_answer() -> None:
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as refusing:
        port = refusing.sockets[0].getsockname()[1]
        with pytest.raises(load.LoadError, match=r"HTTP/1\.1 404"):
            await asyncio.to_thread(load.run, "echo", port, "/")


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_only_this_machine_is_loaded() -> None:
    with pytest.raises(load.LoadError, match="127"):
        load.run("echo", 9, "/", host="192.0.2.1")


async def test_idle_connections_stay_open_until_the_end_of_the_block_and_then_all_hear_one_of_them() -> None:
    room = Room(1)
    async with server(room) as port:
        held = load.Idle(port, "/", connections=5)
        await asyncio.to_thread(held.__enter__)
        assert len(room.members) == 5
        await asyncio.to_thread(held.__exit__, None)


async def test_an_idle_connection_that_was_lost_meanwhile_is_an_error() -> None:
    room = Room(1)
    async with server(room) as port:
        held = load.Idle(port, "/", connections=3)
        await asyncio.to_thread(held.__enter__)
        await room.members.pop().close(4321)
        with pytest.raises(load.LoadError, match="4321"):
            await asyncio.to_thread(held.__exit__, None)


async def test_the_first_message_of_each_connection_is_timed_from_its_dialling() -> None:
    result = await run(echo, "cold", connections=7, rooms=7)
    assert result.delivered == result.latency_us.count == result.arrived == 7


async def test_handshakes_are_counted() -> None:
    result = await run(echo, "dial", connections=9)
    assert result.delivered == result.latency_us.count == 9


async def test_every_connection_of_a_room_asks_for_its_rooms_path() -> None:
    asked: list[str] = []

    async def noting(client: ServerConnection) -> None:
        assert client.request is not None
        asked.append(client.request.path)
        await echo(client)

    async with server(noting) as port:
        await asyncio.to_thread(load.run, "cold", port, "/r*", connections=4, rooms=2, first_room=10)
    assert sorted(asked) == ["/r10", "/r10", "/r11", "/r11"]


async def test_the_path_of_each_room_can_come_from_a_file(tmp_path: Path) -> None:
    asked: list[str] = []

    async def noting(client: ServerConnection) -> None:
        assert client.request is not None
        asked.append(client.request.path)
        await echo(client)

    listed = tmp_path / "paths"
    listed.write_text("/one?key=a\n/two\n")
    async with server(noting) as port:
        await asyncio.to_thread(load.run, "cold", port, "/", connections=3, rooms=2, paths=listed)
    assert sorted(asked) == ["/one?key=a", "/one?key=a", "/two"]


async def test_a_deaf_member_reads_nothing_and_is_not_waited_for() -> None:
    room = Room(1)
    result = await run(room, "broadcast", connections=4, senders=1, deaf=1)
    assert result.arrived == 2 * (result.arrived // 2) > 0
    assert result.latency_last_us is not None
    assert result.latency_last_us.count > 0


@asynccontextmanager
async def counting(step: int) -> AsyncIterator[int]:
    """An HTTP server that says `step` more to each request of a connection."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                body = str(number).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                number += step
        writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1]


async def test_every_answer_over_http_is_one_more_than_the_last() -> None:
    async with counting(1) as port:
        result = await asyncio.to_thread(load.run, "http", port, "/", connections=3, **QUICK)
    assert result.delivered == result.latency_us.count > 0


@pytest.mark.parametrize(("step", "trouble"), [(0, "twice"), (2, "another number of requests")])
async def test_a_request_that_was_not_counted_once_is_an_error(step: int, trouble: str) -> None:
    async with counting(step) as port:
        with pytest.raises(load.LoadError, match=trouble):
            await asyncio.to_thread(load.run, "http", port, "/", connections=1, **QUICK)
