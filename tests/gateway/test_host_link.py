"""What happens to sockets and messages when the host goes, and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.gateway.fake_clock import FakeClock, settle, until
from tests.gateway.raw_client import TEXT, RawClient, close_frame, frame, handshake
from tests.gateway.scripted_owner import KEY, Owner, Served, serving

from roost.gateway import host_link
from roost.limits import Limits
from roost.link import frames
from roost.link.connection import Connection
from roost.link.frames import RolledSocket

LIMITS = Limits(close_seconds_max=0.5, socket_away_bytes_max=1_000)


class Rooms:
    """A gateway and whatever clients the test opens."""

    def __init__(self, served: Served, stack: AsyncExitStack) -> None:
        self.served = served
        self.owner: Owner = served.owner
        self._stack = stack

    async def open(self, **grant: Any) -> tuple[RawClient, int]:
        client = await self._stack.enter_async_context(await RawClient.connect(self.served.port))
        self._stack.callback(client.writer.transport.abort)
        client.send(handshake(sec_websocket_protocol="chat"))
        number = await self.owner.accept(protocol="chat", **grant)
        assert (await client.answer()).status == 101
        return client, number

    async def say(self, client: RawClient, text: str) -> None:
        client.send(frame(TEXT, text.encode()))
        assert (await self.owner.take(frames.SocketMessage)).data == text

    async def back(self) -> list[RolledSocket]:
        """Let the host come back; what it is told of sockets."""
        self.owner.received.clear()
        self.owner.reachable = True
        await self.owner.take(frames.RollEnd)
        rolls = [told for told in self.owner.received if isinstance(told, frames.Roll)]
        self.owner.received[:] = [
            told for told in self.owner.received if not isinstance(told, frames.Roll | frames.Hello)
        ]
        return [socket for roll in rolls for socket in roll.sockets]

    async def leave(self) -> None:
        """A drain to its end."""
        lost = self.served.observer.wait_for("link.lost", clean=True)
        self.owner.send(frames.Drain())
        await self.owner.take(frames.Drained)
        self.owner.leave()
        await lost


@asynccontextmanager
async def rooms(limits: Limits = LIMITS, **options: Any) -> AsyncIterator[Rooms]:
    async with serving(limits, **options) as served, AsyncExitStack() as stack:
        yield Rooms(served, stack)


async def lose(r: Rooms) -> None:
    lost = r.served.observer.wait_for("link.lost")
    r.owner.crash()
    await lost


async def test_sockets_stay_open_when_their_host_dies_and_it_is_told_of_them() -> None:
    async with rooms() as r:
        client, number = await r.open(tags=("a", "b"), attachment=b"att", auto_response=("ping", "pong"))
        _, second = await r.open(key=b"2" * 32)
        r.owner.send(frames.Attach(second, b"changed"), frames.AutoRespond(b"2" * 32, ("x", "y")))
        await r.say(client, "done")
        r.owner.send(frames.Finished([number]))
        await settle()
        await lose(r)
        told = {socket.socket: socket for socket in await r.back()}
        assert told[number] == RolledSocket(
            number, frames.ObjectRef("ROOM", KEY, "room"), ("a", "b"), b"att", "chat", None, ("ping", "pong")
        )
        assert (told[second].attachment, told[second].auto_response) == (b"changed", ("x", "y"))
        await r.say(client, "next")
        r.owner.send(frames.Send([number], "still here"))
        assert await client.frame() == (TEXT, b"still here")


async def test_a_socket_whose_message_was_not_finished_closes_with_1012_and_the_next_host_hears() -> None:
    async with rooms() as r:
        client, number = await r.open()
        quiet, quiet_number = await r.open()
        await r.say(client, "unfinished")
        await lose(r)
        assert (await client.closed_with())[0] == 1012
        client.send(close_frame(1012))
        await client.ended()
        assert {socket.socket for socket in await r.back()} == {number, quiet_number}
        closed = await r.owner.take(frames.SocketClosed)
        assert (closed.socket, closed.code, closed.was_clean) == (number, 1012, True)
        await r.say(quiet, "nothing noticed")
        await lose(r)
        assert {socket.socket for socket in await r.back()} == {quiet_number}, "it was told of the other one already"


async def test_a_broadcast_from_before_a_socket_was_accepted_does_not_reach_it() -> None:
    """The grant comes over the link of another host, and overtakes what its own host had sent before."""
    async with rooms(owners=2) as r, await RawClient.connect(r.served.port) as client:
        owner, other = r.served.owners
        client.send(handshake())
        await settle()
        front = next(one for one in (owner, other) if one.has(frames.RequestStart))
        room = next(one for one in (owner, other) if one is not front)
        assert room.gateway_end is not None
        room.gateway_end.hold()
        room.send(frames.SendToTagged(KEY, None, [], "before its time"))
        front.respond(await front.take(frames.RequestStart), 101, grant=room.grant())
        number = (await room.take(frames.SocketOpened)).socket
        room.send(
            frames.SendToTagged(KEY, None, [], "still before"),
            frames.Send([number], "waited"),
            frames.Joined(number),
            frames.SendToTagged(KEY, None, [], "after"),
        )
        room.gateway_end.release()
        assert (await client.answer()).status == 101
        assert [await client.frame() for _ in range(2)] == [(TEXT, b"waited"), (TEXT, b"after")]
        client.writer.transport.abort()


async def test_a_socket_whose_host_dies_before_it_joined_joins_with_the_next() -> None:
    async with rooms() as r:
        client, number = await r.open(join=False)
        await lose(r)
        (told,) = await r.back()
        assert (told.socket, told.opening) == (number, None)
        r.owner.send(frames.SendToTagged(KEY, None, [], "to all"))
        assert await client.frame() == (TEXT, b"to all")


def break_link(r: Rooms) -> None:
    """Both processes live."""
    assert r.owner.end is not None
    r.owner.end.lose()


async def test_after_a_broken_link_the_host_learns_what_arrived_and_which_sockets_are_kept() -> None:
    async with rooms() as r:
        client, number = await r.open()
        unfinished, unfinished_number = await r.open()
        _, opening = await r.open(join=False)
        await r.say(unfinished, "unfinished")
        r.owner.send(frames.Send([number], "before"), frames.Send([number], "too"))
        assert [await client.frame() for _ in range(2)] == [(TEXT, b"before"), (TEXT, b"too")]
        for _ in range(2):
            arrived = 3 + 2 + 2  # answers to the requests, Joined, messages
            r.owner.received.clear()
            lost = r.served.observer.wait_for("link.lost")
            break_link(r)
            await lost
            assert (await r.owner.take(frames.RollEnd)).received == (r.owner.incarnation, arrived)
            rolled = {
                one.socket: one for told in r.owner.received if isinstance(told, frames.Roll) for one in told.sockets
            }
            assert set(rolled) == {number, unfinished_number, opening}
            assert [rolled[n].opening is None for n in (number, opening)] == [True, False]
        assert (await unfinished.closed_with())[0] == 1012
        r.owner.send(frames.SendToTagged(KEY, None, [], "to all"))
        assert await client.frame() == (TEXT, b"to all")
        await lose(r)
        r.owner.reachable = True
        assert (await r.owner.take(frames.RollEnd)).received == (r.owner.incarnation, 0)


async def test_nothing_behind_an_unfinished_message_reaches_the_next_host() -> None:
    async with rooms() as r:
        client, number = await r.open()
        await r.say(client, "first")
        r.owner.send(frames.Drain())
        await r.owner.take(frames.Drained)
        client.send(frame(TEXT, b"second, held"))
        await settle()
        await lose(r)
        assert (await client.closed_with())[0] == 1012
        await r.back()
        await settle()
        assert not r.owner.has(frames.SocketMessage)
        client.send(close_frame(1012))
        assert (await r.owner.take(frames.SocketClosed)).socket == number


async def test_active_sockets_close_with_1012_and_nobody_is_told() -> None:
    async with rooms() as r:
        client, _ = await r.open(hibernating=False)
        await lose(r)
        assert (await client.closed_with())[0] == 1012
        client.send(frame(TEXT, b"too late") + close_frame(1012))
        await client.ended()
        assert await r.back() == []
        await settle()
        assert r.owner.received == []


async def test_a_goodbye_loses_nothing_but_active_sockets() -> None:
    async with rooms() as r:
        client, number = await r.open()
        active, _ = await r.open(hibernating=False)
        await r.say(client, "finished by the goodbye")
        await r.leave()
        assert (await active.closed_with())[0] == 1012
        assert [socket.socket for socket in await r.back()] == [number]
        await r.say(client, "next")


async def test_messages_of_the_time_away_arrive_in_order_after_the_roll() -> None:
    async with rooms() as r:
        client, number = await r.open()
        other, other_number = await r.open()
        await lose(r)
        client.send(frame(TEXT, b"1"))
        await settle()
        other.send(frame(TEXT, b"2"))
        await settle()
        client.send(frame(TEXT, b"3") + close_frame(4000, b"bye"))
        await client.closed_with()
        assert {socket.socket for socket in await r.back()} == {number, other_number}
        await settle()
        assert r.owner.received == [
            frames.SocketMessage(number, "1"),
            frames.SocketMessage(other_number, "2"),
            frames.SocketMessage(number, "3"),
            frames.SocketClosed(number, 4000, "bye", True),
        ]
        r.owner.send(frames.Finished([number, other_number, number]))
        await settle()
        await lose(r)
        assert [socket.socket for socket in await r.back()] == [other_number]


async def test_messages_held_and_then_handed_over_count_as_unfinished() -> None:
    async with rooms() as r:
        client, _ = await r.open()
        await lose(r)
        client.send(frame(TEXT, b"held"))
        await settle()
        await r.back()
        await r.owner.take(frames.SocketMessage)
        await lose(r)
        assert (await client.closed_with())[0] == 1012


async def test_a_host_that_dies_before_it_is_linked_takes_nothing_with_it() -> None:
    async with rooms() as r:
        client, number = await r.open()
        await lose(r)
        client.send(frame(TEXT, b"held"))
        await settle()
        connect = r.owner.connect

        async def connect_and_die(hello: frames.Hello, limits: Limits) -> Connection:
            end = await connect(hello, limits)
            r.owner.crash()
            return end

        for _ in range(3):
            tried = r.served.observer.wait_for("link.unreachable")
            r.owner.connect = connect_and_die  # type: ignore[method-assign]
            r.owner.reachable = True
            await tried  # the try after the one that was lost before a word
            r.owner.connect = connect  # type: ignore[method-assign]
        assert [socket.socket for socket in await r.back()] == [number]
        assert (await r.owner.take(frames.SocketMessage)).data == "held"


async def test_while_the_host_is_away_a_client_is_read_up_to_a_small_bound() -> None:
    async with rooms() as r:
        client, _ = await r.open()
        await lose(r)
        sent = [f"{n}".ljust(100_000).encode() for n in range(200)]
        client.send(b"".join(frame(TEXT, text) for text in sent))
        await settle(100)
        link = r.served.gateway.links._links[0]
        assert len(link._held) < 10
        assert client.writer.transport.get_write_buffer_size() > 1_000_000
        r.owner.answer = lambda told: (
            r.owner.send(frames.Finished([told.socket])) if isinstance(told, frames.SocketMessage) else None
        )
        await r.back()
        got = [(await r.owner.take(frames.SocketMessage)).data.encode() for _ in sent]
        assert got == sent


async def test_rolls_are_cut_into_frames() -> None:
    async with rooms() as r:
        link = r.served.gateway.links._links[0]
        clients = [await r.open() for _ in range(7)]
        patch = pytest.MonkeyPatch()
        patch.setattr(host_link, "ROLL_SOCKETS_MAX", 3)
        await lose(r)
        r.owner.reachable = True
        await r.owner.take(frames.RollEnd)
        patch.undo()
        rolls = [len(told.sockets) for told in r.owner.received if isinstance(told, frames.Roll)]
        assert rolls == [3, 3, 1]
        assert len(clients) == len(link._owned)


async def test_auto_answers_of_the_time_away_are_in_the_roll() -> None:
    async with rooms() as r:
        client, _ = await r.open(auto_response=("ping", "pong"))
        await lose(r)
        client.send(frame(TEXT, b"ping"))
        assert await client.frame() == (TEXT, b"pong")
        (told,) = await r.back()
        assert told.auto_response_ms is not None
        assert r.owner.received == []


async def test_a_host_of_another_number_is_refused() -> None:
    async with rooms() as r:
        await lose(r)
        refused = r.served.observer.wait_for("link.refused")
        r.owner.number = 5
        r.owner.reachable = True
        assert "host 5 answered where host 0 was expected" in (await refused)["reason"]
        r.owner.number = 0
        await r.back()


class TestLeaving:
    async def test_after_drain_new_things_wait_and_begun_ones_go_on(self) -> None:
        async with rooms() as r, await RawClient.connect(r.served.port) as upload:
            client, number = await r.open()
            upload.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
            request = await r.owner.take(frames.RequestStart)
            r.owner.send(frames.Drain())
            await r.owner.take(frames.Drained)
            client.send(frame(TEXT, b"new"))
            upload.send(b"cd")
            assert (await r.owner.take(frames.BodyChunk)).data == b"cd"
            r.owner.respond(request, 200, b"done")
            assert (await upload.answer()).body == b"done"
            r.owner.send(frames.Send([number], "last words"))
            assert await client.frame() == (TEXT, b"last words")
            assert not r.owner.has(frames.SocketMessage)
            r.owner.leave()
            await r.back()
            assert (await r.owner.take(frames.SocketMessage)).data == "new"

    async def test_a_grant_made_before_leaving_is_opened(self) -> None:
        async with rooms() as r, await RawClient.connect(r.served.port) as client:
            client.send(handshake())
            request = await r.owner.take(frames.RequestStart)
            r.owner.send(frames.Drain())
            r.owner.respond(request, 101, grant=r.owner.grant())
            opened = await r.owner.take(frames.SocketOpened)
            r.owner.send(frames.Send([opened.socket], "welcome"))
            assert (await client.answer()).status == 101
            assert await client.frame() == (TEXT, b"welcome")
            client.writer.transport.abort()

    async def test_requests_of_the_time_away_wait_for_the_next_host(self) -> None:
        async with rooms() as r, await RawClient.connect(r.served.port) as client:
            await r.leave()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await settle()
            await r.back()
            r.owner.respond(await r.owner.take(frames.RequestStart), 200, b"new")
            assert (await client.answer()).body == b"new"


class TestWaitingForMore:
    async def test_a_broadcast_waits_for_what_the_host_has_of_its_object_and_has_not_finished(self) -> None:
        async with rooms(clock=FakeClock()) as r:
            (one, first), (two, second) = await r.open(), await r.open()
            batch = r.served.gateway.links.sockets.by_number[first].group.batch
            await r.say(one, "a")
            await r.say(two, "b")
            r.owner.send(frames.SendToTagged(KEY, None, [], "a"), frames.Finished([first]))
            await settle()
            assert (batch.held, batch.messages) == (True, ["a"])
            r.owner.send(frames.SendToTagged(KEY, None, [], "b"), frames.Finished([second]))
            for client in (one, two):
                assert [await client.frame(), await client.frame()] == [(TEXT, b"a"), (TEXT, b"b")]
            assert batch.unfinished == 0

    async def test_it_does_not_wait_for_a_host_that_is_lost(self) -> None:
        async with rooms(clock=FakeClock()) as r:
            (one, _), (two, second) = await r.open(), await r.open()
            await r.say(one, "a")
            await r.say(two, "b")
            r.owner.send(frames.SendToTagged(KEY, None, [], "b"), frames.Finished([second]))
            await settle()
            await lose(r)
            assert await two.frame() == (TEXT, b"b")
            assert [await one.frame(), await one.closed_with()] == [(TEXT, b"b"), (1012, b"service restart")]
            one.writer.transport.abort()


class TestFlow:
    async def test_a_socket_is_not_read_above_its_bound_and_read_again_below_half(self) -> None:
        async with rooms(Limits(socket_unfinished_bytes_max=10_000, close_seconds_max=0.5)) as r:
            client, number = await r.open()
            sent = [f"{n}".ljust(3_000).encode() for n in range(3_000)]
            client.send(b"".join(frame(TEXT, text) for text in sent))
            await settle(100)
            taken = [told for told in r.owner.received if isinstance(told, frames.SocketMessage)]
            assert len(taken) < 200
            assert client.writer.transport.get_write_buffer_size() > 1_000_000
            r.owner.send(frames.Finished([number] * len(taken)))
            r.owner.answer = lambda told: (
                r.owner.send(frames.Finished([told.socket])) if isinstance(told, frames.SocketMessage) else None
            )
            got = [(await r.owner.take(frames.SocketMessage)).data.encode() for _ in sent]
            assert got == sent

    async def test_the_bound_of_the_link_holds_for_all_sockets_together(self) -> None:
        async with rooms(Limits(link_unfinished_bytes_max=100_000, close_seconds_max=0.5)) as r:
            clients = [await r.open() for _ in range(4)]
            for client, _ in clients:
                client.send(frame(TEXT, b"x" * 2_000) * 3_000)
            await settle(300)
            size = sum(len(told.data) for told in r.owner.received if isinstance(told, frames.SocketMessage))
            assert size < 2_000_000, "one read of each client beyond the bound at most"
            assert all(client.writer.transport.get_write_buffer_size() > 0 for client, _ in clients)

    async def test_a_link_that_does_not_drain_stops_its_clients(self) -> None:
        limits = Limits(link_send_bytes=50_000, close_seconds_max=0.5)
        async with rooms(limits) as r:
            client, _ = await r.open()
            assert r.owner.end is not None
            r.owner.end.hold()
            client.send(frame(TEXT, b"x" * 2_000) * 10_000)
            await settle(300)
            assert client.writer.transport.get_write_buffer_size() > 0
            r.owner.end.release()
            for _ in range(50):
                await r.owner.take(frames.SocketMessage)

    async def test_nothing_is_left_in_the_books_after_any_loss(self) -> None:
        async with rooms() as r:
            ledger = r.served.gateway.links._links[0]._ledger
            client, _ = await r.open()
            gone, gone_number = await r.open()
            active, _ = await r.open(hibernating=False)
            for one in (client, gone, active):
                await r.say(one, "unfinished")
            gone.send(close_frame(1000))
            await r.owner.take(frames.SocketClosed)
            r.owner.send(frames.Drain())
            await r.owner.take(frames.Drained)
            client.send(frame(TEXT, b"held"))
            active.send(frame(TEXT, b"held"))
            await settle()
            await lose(r)
            assert ledger.unfinished == 0
            await r.back()
            late, late_number = await r.open()
            await lose(r)
            late.send(frame(TEXT, b"held") + close_frame(1000))
            await late.closed_with()
            await r.back()
            assert (await r.owner.take(frames.SocketMessage)).socket == late_number
            assert ledger.unfinished > 0
            r.owner.send(frames.Finished([late_number, gone_number]))
            await settle()
            assert ledger.unfinished == 0


async def test_a_client_that_asks_for_automatic_answers_without_end_costs_the_link_one_frame_a_read() -> None:
    async with rooms() as r:
        client, number = await r.open(auto_response=("ping", "pong"))
        client.send(frame(TEXT, b"ping") * 1_000 + frame(TEXT, b"real"))
        assert (await r.owner.take(frames.SocketMessage)).data == "real"
        told = [one for one in r.owner.received if isinstance(one, frames.AutoAnswered)]
        assert 1 <= len(told) < 50
        assert {one.socket for one in told} == {number}
        assert [await client.frame() for _ in range(1_000)] == [(TEXT, b"pong")] * 1_000


class NumberedClient:
    """Sends numbers, one after the other, and notes what comes back until it is closed."""

    def __init__(self, client: RawClient, number: int) -> None:
        self.client = client
        self.number = number
        self.sent = 0
        self.got: list[int] = []
        self.code: int | None = None

    def say(self) -> None:
        if self.code is None:
            self.client.send(frame(TEXT, b"%d" % self.sent))
            self.sent += 1

    async def listen(self) -> None:
        while True:
            opcode, payload = await self.client.frame()
            if opcode != TEXT:
                self.code = int.from_bytes(payload[:2], "big")
                self.client.send(close_frame(self.code))
                return
            self.got.append(int(payload))


@pytest.mark.parametrize("seed", range(6))
async def test_what_open_sockets_say_is_handled_once_and_in_order_through_any_crashes(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with rooms(Limits(close_seconds_max=2, socket_away_bytes_max=400)) as r:
        clients = [NumberedClient(*await r.open()) for _ in range(24)]
        handled: dict[int, list[int]] = {one.number: [] for one in clients}
        waiting: list[frames.SocketMessage] = []

        def finish(told: frames.SocketMessage) -> None:
            handled[told.socket].append(int(told.data))
            r.owner.send(frames.Send([told.socket], told.data), frames.Finished([told.socket]))

        def answer(told: frames.Frame) -> None:
            if isinstance(told, frames.SocketMessage):
                waiting.append(told)
            while waiting and chance.random() < 0.7:
                finish(waiting.pop(0))

        r.owner.answer = answer
        listeners = [asyncio.create_task(one.listen()) for one in clients]
        for turn in range(60):
            for _ in range(chance.randrange(30)):
                chance.choice(clients).say()
            await settle(chance.randrange(12))
            if turn % 15 == 14:
                await settle(40)
                spared = chance.randrange(4)
                while len(waiting) > spared:
                    finish(waiting.pop(0))
                await settle(chance.choice((5, 30)))
                for _ in range(chance.randrange(3)):
                    chance.choice(clients).say()  # perhaps on its way when the host dies
                await lose(r)
                waiting.clear()
                await settle(chance.randrange(30))
                r.owner.reachable = True
                await r.owner.take(frames.RollEnd)
        r.owner.answer = lambda told: finish(told) if isinstance(told, frames.SocketMessage) else None
        for told in waiting:
            finish(told)
        stayed = [one for one in clients if one.code is None]
        for one in stayed:
            one.say()
        await until(lambda: all(one.code is not None or len(one.got) == one.sent for one in stayed))
        for one in clients:
            assert handled[one.number] == list(range(len(handled[one.number]))), "once, in order, without a gap"
            assert one.got == list(range(len(one.got)))
            if one.code is None:
                assert handled[one.number] == one.got == list(range(one.sent))
            else:
                assert one.code == 1012
        assert len(stayed) > 0
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
