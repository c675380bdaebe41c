"""What a WebSocket promises while it is parked: everything that it promises awake."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import ssl
import struct
import subprocess
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from tests.gateway.fake_clock import FakeClock, settle, until
from tests.gateway.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, close_frame, frame, handshake
from tests.gateway.scripted_owner import Served, serving

from roost.gateway.connection import ClientConnection
from roost.gateway.message_reader import MessageReader
from roost.gateway.parking_transport import ParkedTransport
from roost.gateway.websocket import HeldConnection
from roost.limits import Limits
from roost.link import frames

CONTINUATION = 0
LIMITS = Limits(park_seconds=2, ping_seconds=30, pong_seconds_max=10, close_seconds_max=0.5)
LOST = (1006, "disconnected without sending Close", False)


class Member:
    """One open socket of a room: its client, its owner, its number."""

    def __init__(self, served: Served, clock: FakeClock, client: RawClient, number: int) -> None:
        self.served = served
        self.owner = served.owner
        self.clock = clock
        self.client = client
        self.number = number

    @property
    def connection(self) -> HeldConnection:
        return self.served.gateway.links.sockets.by_number[self.number].connection

    @property
    def is_parked(self) -> bool:
        return isinstance(self.connection._transport, ParkedTransport)

    def has_a_reader(self) -> bool:
        return self.connection._reader is not None

    async def fall_silent(self) -> None:
        """Until it is parked."""
        for _ in range(20):
            if self.is_parked and not self.connection._transport.is_waking:  # type: ignore[attr-defined]
                return
            self.clock.advance(0.5)
            await settle(5)
        raise AssertionError("it was not parked")

    async def message(self) -> object:
        told = await self.owner.take(frames.SocketMessage)
        assert told.socket == self.number
        self.owner.send(frames.Finished([self.number]))
        return told.data

    async def closed(self) -> tuple[int, str, bool]:
        told = await self.owner.take(frames.SocketClosed)
        assert told.socket == self.number
        return told.code, told.reason, told.was_clean

    def reset(self) -> None:
        own = self.client.writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(own.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.writer.transport.abort()


async def join(served: Served, clock: FakeClock) -> Member:
    client = await RawClient.connect(served.port)
    client.send(handshake())
    number = await served.owner.accept()
    assert (await client.answer()).status == 101
    return Member(served, clock, client, number)


@asynccontextmanager
async def room(members: int = 1, limits: Limits = LIMITS, *, parked: bool = True) -> AsyncIterator[list[Member]]:
    """So many members, all of them parked or about to be."""
    clock = FakeClock()
    async with serving(limits, clock=clock) as served:
        joined: list[Member] = []
        try:
            for _ in range(members):
                joined.append(await join(served, clock))
            for member in joined if parked else ():
                await member.fall_silent()
            yield joined
        finally:
            for member in joined:
                member.client.writer.transport.abort()


def tls_contexts(path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server for 127.0.0.1 with a certificate signed by itself, and of a client that trusts it."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    own = [str(path.with_suffix(".key")), str(path)]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *names, "-keyout", own[0], "-out", own[1]], check=True, capture_output=True
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, own[0])
    return server, ssl.create_default_context(cafile=str(path))


class TestWhenItIsParked:
    async def test_a_silent_socket_is_parked_and_one_that_speaks_is_not(self) -> None:
        async with room(2, parked=False) as [silent, busy]:
            served, clock = silent.served, silent.clock
            for n in range(8):
                clock.advance(1)
                busy.client.send(frame(TEXT, b"%d" % n))
                assert await busy.message() == str(n)
                await settle(5)
            assert (silent.is_parked, busy.is_parked) == (True, False)
            assert served.gateway.shared.parking.count == 1

    async def test_its_descriptor_is_written_to_past_a_transport_that_is_awake_alone(self) -> None:
        async with room(parked=False) as [member]:
            for _ in range(2):
                assert member.connection._descriptor >= 0
                await member.fall_silent()
                assert member.connection._descriptor == -1
                await say(member, "one")
                await say(member, "two")
                await settle()
                assert not member.is_parked

    async def test_none_is_parked_where_the_limit_is_zero(self) -> None:
        async with room(1, Limits(park_seconds=0, close_seconds_max=0.5), parked=False) as [member]:
            member.clock.advance(20)
            await settle()
            assert not member.is_parked

    async def test_one_with_half_a_frame_is_not_parked_and_nothing_is_lost(self) -> None:
        async with room(parked=False) as [member]:
            clock = member.clock
            whole = frame(TEXT, b"in two halves")
            member.client.send(whole[:7])
            await settle()
            clock.advance(10)
            await settle()
            assert not member.is_parked
            member.client.send(whole[7:])
            assert await member.message() == "in two halves"
            await member.fall_silent()

    async def test_one_with_an_unfinished_message_is_not_parked(self) -> None:
        async with room(parked=False) as [member]:
            clock = member.clock
            member.client.send(frame(TEXT, b"first ", fin=False))
            await settle()
            clock.advance(10)
            await settle()
            assert not member.is_parked
            member.client.send(frame(CONTINUATION, b"last"))
            assert await member.message() == "first last"

    async def test_one_that_flow_control_has_stopped_is_not_parked(self) -> None:
        limits = Limits(park_seconds=2, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        async with room(1, limits, parked=False) as [member]:
            served, clock = member.served, member.clock
            member.client.send(frame(TEXT, b"x" * 200))
            await served.owner.take(frames.SocketMessage)
            for _ in range(5):
                clock.advance(2)
                await settle(5)
            assert not member.is_parked
            served.owner.send(frames.Finished([member.number]))
            await member.fall_silent()

    async def test_one_that_has_not_read_is_parked_when_it_has(self) -> None:
        async with room(parked=False) as [member]:
            served, clock = member.served, member.clock
            member.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            count = 0
            while not member.connection._transport.get_write_buffer_size():
                served.owner.send(frames.Send([member.number], b"x" * 100_000))
                count += 1
                await settle(5)
            for _ in range(5):
                clock.advance(1)
                await settle(5)
            assert not member.is_parked
            member.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(count):
                assert await member.client.frame() == (BINARY, b"x" * 100_000)
            await member.fall_silent()

    async def test_a_socket_over_tls_is_never_parked(self, tmp_path: Path) -> None:
        clock, (server, trusting) = FakeClock(), tls_contexts(tmp_path / "both.pem")
        async with (
            serving(LIMITS, clock=clock, tls=server) as served,
            await RawClient.connect(served.port, tls=trusting) as secure,
        ):
            secure.send(handshake())
            number = await served.owner.accept()
            assert (await secure.answer()).status == 101
            for _ in range(5):
                clock.advance(2)
                await settle(5)
            assert served.gateway.shared.parking.parked_ever == 0
            served.owner.send(frames.Send([number], "still here"))
            assert await secure.frame() == (TEXT, b"still here")
            secure.writer.transport.abort()


class TestWhatAParkedClientSays:
    async def test_a_lone_message_is_read_and_it_stays_parked(self) -> None:
        async with room() as [member]:
            for n in range(3):
                member.client.send(frame(TEXT, b"%d" % n))
                assert await member.message() == str(n)
                assert member.is_parked
                member.clock.advance(3)

    async def test_one_that_goes_on_speaking_gets_a_transport_and_is_parked_again_when_it_is_silent(self) -> None:
        async with room() as [member]:
            for n in range(50):
                member.client.send(frame(TEXT, b"%d" % n))
                assert await member.message() == str(n)
            await until(lambda: not member.is_parked)
            await member.fall_silent()
            member.client.send(frame(TEXT, b"again"))
            assert await member.message() == "again"

    @pytest.mark.parametrize("cut", [1, 2, 5, 6, 9])
    async def test_a_message_in_two_reads_is_whole(self, cut: int) -> None:
        async with room(2) as [member, other]:
            whole = frame(TEXT, b"hello")
            member.client.send(whole[:cut])
            await settle()
            other.client.send(frame(TEXT, b"from another"))
            assert await other.message() == "from another"
            member.client.send(whole[cut:])
            assert await member.message() == "hello"

    async def test_fragments_are_one_message(self) -> None:
        async with room(2) as [member, other]:
            member.client.send(frame(TEXT, b"a", fin=False))
            await settle()
            other.client.send(frame(TEXT, b"whole"))
            assert await other.message() == "whole"
            member.client.send(frame(CONTINUATION, b"b"))
            assert await member.message() == "ab"

    @pytest.mark.parametrize("size", [65_536, 300_000, 3_000_000])
    async def test_a_large_message_is_whole(self, size: int) -> None:
        async with room() as [member]:
            member.client.send(frame(BINARY, b"x" * size) + frame(TEXT, b"behind it"))
            assert await member.message() == b"x" * size
            assert await member.message() == "behind it"

    async def test_many_messages_in_one_read_keep_their_order(self) -> None:
        async with room() as [member]:
            member.client.send(b"".join(frame(TEXT, b"%d" % n) for n in range(2_000)))
            assert [await member.message() for _ in range(2_000)] == [str(n) for n in range(2_000)]

    async def test_a_ping_is_answered_without_waking_anybody(self) -> None:
        async with room() as [member]:
            member.client.send(frame(PING, b"are you there"))
            assert await member.client.frame() == (PONG, b"are you there")
            assert member.is_parked
            assert member.owner.received == []

    async def test_an_automatic_answer_leaves_it_parked(self) -> None:
        async with room() as [member]:
            member.owner.send(frames.AutoRespond(b"k" * 32, ("ping", "pong")))
            await settle()
            member.client.send(frame(TEXT, b"ping"))
            assert await member.client.frame() == (TEXT, b"pong")
            assert member.is_parked

    @pytest.mark.parametrize(("bad", "code"), [(frame(3), 1002), (frame(TEXT, b"\xff"), 1007), (frame(TEXT)[:1], None)])
    async def test_a_breach_closes_it_and_the_others_are_read_on(self, bad: bytes, code: int | None) -> None:
        async with room(2) as [member, other]:
            member.client.send(frame(TEXT, b"good") + bad)
            assert await member.message() == "good"
            if code is not None:
                assert (await member.client.closed_with())[0] == code
                assert (await member.closed())[0] == code
            other.client.send(frame(TEXT, b"undisturbed"))
            assert await other.message() == "undisturbed"

    async def test_flow_control_stops_a_parked_client_and_lets_it_go_on(self) -> None:
        limits = Limits(park_seconds=2, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        async with room(1, limits) as [member]:
            member.client.send(frame(TEXT, b"x" * 200))
            await member.owner.take(frames.SocketMessage)
            member.client.send(frame(TEXT, b"not yet"))
            await settle()
            assert not member.owner.has(frames.SocketMessage)
            member.owner.send(frames.Finished([member.number]))
            assert await member.message() == "not yet"

    async def test_flow_control_stops_one_that_is_woken_meanwhile(self) -> None:
        limits = Limits(park_seconds=2, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        async with room(1, limits) as [member]:
            member.client.send(frame(TEXT, b"x" * 200))
            await member.owner.take(frames.SocketMessage)
            member.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while member.is_parked:
                member.owner.send(frames.Send([member.number], b"y" * 100_000))
                await settle(5)
            member.client.send(frame(TEXT, b"not yet"))
            await settle()
            for _ in range(10):
                member.client.send(frame(TEXT, b"z" * 200))
                await settle(5)
            assert sum(isinstance(told, frames.SocketMessage) for told in member.owner.received) <= 1, (
                "one read slips in"
            )
            member.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            member.owner.send(frames.Finished([member.number]))
            assert await member.message() == "not yet"


class TestWhatIsSentToIt:
    async def test_a_message_to_a_thousand_parked_members_wakes_none(self) -> None:
        async with room(300) as members:
            members[0].owner.send(frames.SendToTagged(b"k" * 32, None, [], "to everybody"))
            for member in members:
                assert await member.client.frame() == (TEXT, b"to everybody")
            assert all(member.is_parked for member in members)

    async def test_only_members_that_do_not_read_get_a_transport_and_all_is_delivered(self) -> None:
        async with room(20) as members:
            slow = members[3]
            slow.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            count = 0
            while slow.is_parked:
                members[0].owner.send(frames.SendToTagged(b"k" * 32, None, [], b"x" * 50_000))
                count += 1
                await settle(10)
                for member in members:
                    if member is not slow:
                        assert await member.client.frame() == (BINARY, b"x" * 50_000)
            assert [member for member in members if not member.is_parked] == [slow]
            slow.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(count):
                assert await slow.client.frame() == (BINARY, b"x" * 50_000)
            await slow.fall_silent()

    async def test_one_that_never_reads_is_closed_with_1013(self) -> None:
        limits = Limits(park_seconds=2, socket_send_bytes_max=100_000, close_seconds_max=0.5)
        async with room(1, limits) as [member]:
            member.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while not member.owner.has(frames.SocketClosed):
                member.owner.send(frames.Send([member.number], b"x" * 50_000))
                await settle(5)
            assert await member.closed() == (1013, "too slow: what was sent to it was not read", False)

    async def test_one_message_above_the_bound_reaches_a_parked_client(self) -> None:
        limits = Limits(park_seconds=2, socket_send_bytes_max=100_000, close_seconds_max=0.5)
        async with room(1, limits) as [member]:
            member.owner.send(frames.Send([member.number], b"x" * 20_000_000), frames.Send([member.number], "then"))
            assert await member.client.frame() == (BINARY, b"x" * 20_000_000)
            assert await member.client.frame() == (TEXT, b"then")


class TestTheEnd:
    @pytest.mark.parametrize("sent", [close_frame(1000), close_frame(4321, b"bye"), close_frame()])
    async def test_a_clients_close_is_answered(self, sent: bytes) -> None:
        async with room() as [member]:
            member.client.send(frame(TEXT, b"last") + sent + frame(TEXT, b"after close"))
            assert await member.message() == "last"
            assert (await member.client.frame())[0] == CLOSE
            assert (await member.closed())[2] is True
            await member.client.ended()
            assert not member.owner.has(frames.SocketMessage)

    async def test_an_objects_close_waits_for_the_client(self) -> None:
        async with room(2) as [member, other]:
            member.owner.send(frames.Send([member.number], "last"), frames.CloseSocket(member.number, 4001, "why"))
            assert await member.client.frame() == (TEXT, b"last")
            assert await member.client.closed_with() == (4001, b"why")
            member.client.send(frame(TEXT, b"too late") + frame(PING))
            await settle()
            other.client.send(frame(TEXT, b"read on"))
            assert await other.message() == "read on"
            member.client.send(close_frame(4001, b"ok"))
            assert await member.closed() == (4001, "ok", True)
            await member.client.ended()
            assert not member.owner.has(frames.SocketMessage)

    async def test_a_client_that_does_not_answer_a_close_is_dropped(self) -> None:
        async with room() as [member]:
            member.owner.send(frames.CloseSocket(member.number, 1000, ""))
            assert (await member.client.closed_with())[0] == 1000
            member.clock.advance(2)
            assert await member.closed() == LOST

    @pytest.mark.parametrize("how", ["reset", "end", "half"])
    async def test_a_client_that_goes_without_a_word_is_1006_at_once(self, how: str) -> None:
        async with room() as [member]:
            if how == "reset":
                member.reset()
            elif how == "end":
                member.client.writer.close()
            else:
                member.client.writer.write_eof()
            assert await member.closed() == LOST

    async def test_a_message_and_an_end_right_behind_it_are_both_told(self) -> None:
        async with room() as [member]:
            member.client.send(frame(TEXT, b"my last words"))
            member.client.writer.close()
            assert await member.message() == "my last words"
            assert await member.closed() == LOST

    async def test_a_client_that_was_reset_while_it_is_sent_to_is_1006(self) -> None:
        async with room(2) as [member, other]:
            member.reset()
            for _ in range(3):
                member.owner.send(frames.Send([member.number, other.number], "x"))
            assert await member.closed() == LOST
            assert await other.client.frame() == (TEXT, b"x")


class TestPing:
    async def test_a_parked_client_is_pinged_and_its_answer_wakes_nobody(self) -> None:
        async with room() as [member]:
            for _ in range(3):
                member.clock.advance(31)
                assert await member.client.frame() == (PING, b"")
                member.client.send(frame(PONG))
                await settle()
                assert member.is_parked
            assert member.owner.received == []
            assert member.served.gateway.shared.parking.parked_ever == 1

    async def test_a_parked_client_that_answers_no_ping_is_lost_and_was_never_woken(self) -> None:
        async with room() as [member]:
            member.clock.advance(29)
            assert await member.client.frame() == (PING, b"")
            member.clock.advance(6)
            await settle()
            assert not member.owner.has(frames.SocketClosed)
            assert member.is_parked
            member.clock.advance(6)
            assert await member.closed() == LOST

    async def test_parking_neither_delays_nor_repeats_the_deadline_of_a_ping(self) -> None:
        limits = Limits(park_seconds=5, ping_seconds=2, pong_seconds_max=20, close_seconds_max=0.5)
        async with room(1, limits, parked=False) as [member]:
            served, clock = member.served, member.clock
            for _ in range(12):
                clock.advance(0.5)
                await settle(5)
            assert member.is_parked, "while a Ping is under way"
            assert await member.client.frame() == (PING, b"")
            clock.advance(15)
            await settle()
            assert not served.owner.has(frames.SocketClosed)
            clock.advance(5)
            assert await member.closed() == LOST
            await member.client.ended()


class TestTheGateway:
    async def test_stopping_closes_parked_sockets_as_it_does_others(self) -> None:
        async with room(5) as members:
            stopping = asyncio.create_task(members[0].served.gateway.stop())
            for member in members:
                assert await member.client.closed_with() == (1001, b"going away")
                member.client.send(close_frame(1001))
                await member.client.ended()
                member.client.writer.close()
            await stopping
            closed = [await member.owner.take(frames.SocketClosed) for member in members]
            assert [(told.code, told.was_clean) for told in closed] == [(1001, True)] * 5
            assert members[0].served.gateway.shared.parking.count == 0

    async def test_stopping_does_not_wait_for_ever_for_parked_clients_that_do_not_answer(self) -> None:
        async with room(3) as members:
            stopping = asyncio.create_task(members[0].served.gateway.stop())
            for member in members:
                assert await member.client.closed_with() == (1001, b"going away")
            while not stopping.done():
                members[0].clock.advance(0.5)
                await settle(5)
            closed = [await member.owner.take(frames.SocketClosed) for member in members]
            assert {told.code for told in closed} == {1006}

    async def test_draining_leaves_parked_sockets_alone(self) -> None:
        async with room() as [member]:
            await member.served.gateway.drain()
            member.client.send(frame(TEXT, b"still here"))
            assert await member.message() == "still here"
            assert member.is_parked

    async def test_parked_sockets_survive_the_loss_of_their_host(self) -> None:
        async with room() as [member]:
            member.owner.crash()
            await settle()
            member.client.send(frame(TEXT, b"while it is away"))
            await settle()
            member.owner.reachable = True
            while not member.owner.has(frames.Roll):
                member.clock.advance(0.5)
                await settle(5)
            roll = await member.owner.take(frames.Roll)
            assert [told.socket for told in roll.sockets] == [member.number]
            assert await member.message() == "while it is away"


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_doubled_or_disordered_whatever_comes_together(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with room(4, Limits(park_seconds=2, ping_seconds=3_600, close_seconds_max=0.5)) as members:
        owner, clock = members[0].owner, members[0].clock
        sent: dict[int, list[str]] = {member.number: [] for member in members}
        got: dict[int, list[str]] = {member.number: [] for member in members}
        expected: dict[int, list[bytes]] = {member.number: [] for member in members}

        def note(told: frames.Frame) -> None:
            if isinstance(told, frames.SocketMessage):
                got[told.socket].append(str(told.data))
                owner.send(frames.Finished([told.socket]))

        owner.answer = note
        for n in range(300):
            member = chance.choice(members)
            do = chance.randrange(5)
            if do == 0:
                text = f"{n} " + "x" * chance.choice((0, 10, 500, 70_000))
                sent[member.number].append(text)
                data = frame(TEXT, text.encode())
                cut = chance.randrange(len(data))
                member.client.send(data[:cut])
                await settle(chance.randrange(3))
                member.client.send(data[cut:])
            elif do == 1:
                owner.send(frames.SendToTagged(b"k" * 32, None, [], f"all {n}"))
                for each in members:
                    expected[each.number].append(b"all %d" % n)
            elif do == 2:
                owner.send(frames.Send([member.number], f"one {n}"))
                expected[member.number].append(b"one %d" % n)
            elif do == 3:
                clock.advance(chance.choice((0.5, 3)))
            await settle(chance.randrange(4))
        await until(lambda: got == sent)
        for member in members:
            received: list[bytes] = []
            while len(received) < len(expected[member.number]):
                opcode, payload = await member.client.frame()
                if opcode == TEXT:
                    received.append(payload)
            assert received == expected[member.number]
        assert members[0].served.gateway.shared.parking.parked_ever > len(members)


async def test_a_deadline_that_falls_due_as_the_client_closes_takes_no_close_frame_away() -> None:
    async with room() as [member]:
        connection = member.connection
        connection.on_close(1000, "bye")
        connection.on_deadline()
        assert await member.client.closed_with() == (1000, b"bye")


class TestWhoHasAReaderOfItsOwn:
    async def test_a_new_client_has_none_until_it_goes_on_speaking(self) -> None:
        async with room(parked=False) as [member]:
            assert not member.has_a_reader()
            member.clock.advance(3)
            for text in ("alone", "and again within two seconds"):
                assert not member.has_a_reader()
                await say(member, text)
            assert member.has_a_reader()

    async def test_they_take_turns_and_none_reads_what_another_said(self) -> None:
        async with room(3, parked=False) as members:
            readers = set()
            for n in range(9):
                member = members[n % 3]
                member.clock.advance(3)  # each is silent for longer than park_seconds
                await say(member, f"message {n}")
                assert not member.has_a_reader()
                readers.add(id(member.served.gateway.shared.reader))
            assert len(readers) == 1

    async def test_a_message_that_did_not_come_whole_keeps_the_reader_that_has_its_part(self) -> None:
        async with room(2, parked=False) as [slow, other]:
            slow.clock.advance(3)
            whole = frame(TEXT, b"in two parts")
            slow.client.send(whole[:9])
            await until(slow.has_a_reader)
            await say(other, "in between")
            slow.client.send(whole[9:])
            assert await slow.message() == "in two parts"

    async def test_nothing_of_the_handshake_is_kept(self) -> None:
        async with room(parked=False) as [member]:
            gc.collect()
            assert not [known for known in gc.get_objects() if isinstance(known, ClientConnection)]
            assert member.connection.is_open

    async def test_over_tls_it_goes_when_its_client_is_silent(self, tmp_path: Path) -> None:
        clock, (server, trusting) = FakeClock(), tls_contexts(tmp_path / "own.pem")
        async with serving(LIMITS, clock=clock, tls=server) as served:
            client = await RawClient.connect(served.port, tls=trusting)
            client.send(handshake())
            member = Member(served, clock, client, await served.owner.accept())
            assert (await client.answer()).status == 101
            for n in range(2):
                await say(member, f"message {n}")
            assert member.has_a_reader()
            for _ in range(4):
                clock.advance(1)
                await settle(5)
            assert not member.has_a_reader()
            await say(member, "still here")
            client.writer.transport.abort()


async def say(member: Member, text: str) -> None:
    member.client.send(frame(TEXT, text.encode()))
    assert await member.message() == text


async def test_what_is_given_back_does_not_wait_for_the_garbage_collector() -> None:
    async with room(2, parked=False) as members:
        for member in members:
            await say(member, "hello")
        readers = [weakref.ref(cast("MessageReader", member.connection._reader)) for member in members]
        gc.collect()
        gc.disable()
        try:
            for member in members:
                await member.fall_silent()
            assert [known() for known in readers] == [None, None]
        finally:
            gc.enable()
