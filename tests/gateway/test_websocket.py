"""RFC 6455 by section, against a gateway on a real socket."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.gateway.fake_clock import FakeClock, settle
from tests.gateway.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, close_frame, frame, handshake
from tests.gateway.scripted_owner import Owner, Served, serving

from roost.gateway import websocket
from roost.limits import Limits
from roost.link import frames

CONTINUATION = 0


class Room:
    """One open socket: its client, its owner, its number."""

    def __init__(self, served: Served, client: RawClient, number: int) -> None:
        self.served = served
        self.owner: Owner = served.owner
        self.client = client
        self.number = number

    async def message(self) -> object:
        frame_in = await self.owner.take(frames.SocketMessage)
        assert frame_in.socket == self.number
        return frame_in.data

    async def closed(self) -> tuple[int, str, bool]:
        told = await self.owner.take(frames.SocketClosed)
        assert told.socket == self.number
        return told.code, told.reason, told.was_clean

    async def failed(self) -> tuple[int | None, tuple[int, str, bool]]:
        """After a breach: the code that the client saw, and what the owner was told."""
        code, _ = await self.client.closed_with()
        told = await self.owner.take(frames.SocketFailed)
        assert told.socket == self.number
        closed = await self.closed()
        assert self.served.gateway.links.sockets.by_number == {}
        return code, closed


@asynccontextmanager
async def room(limits: Limits | None = None, *, clock: FakeClock | None = None) -> AsyncIterator[Room]:
    async with serving(limits, clock=clock) as served, await RawClient.connect(served.port) as client:
        client.send(handshake())
        number = await served.owner.accept()
        assert (await client.answer()).status == 101
        yield Room(served, client, number)
        client.writer.transport.abort()


class TestData:  # sections 5.4 to 5.6
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000, 3_000_000])
    async def test_messages_of_any_size_both_ways(self, size: int) -> None:
        async with room() as r:
            r.client.send(frame(TEXT, b"x" * size) + frame(BINARY, b"\xfe" * size))
            assert await r.message() == "x" * size
            r.owner.send(frames.Finished([r.number]))
            assert await r.message() == b"\xfe" * size
            r.owner.send(frames.Send([r.number], "y" * size))
            assert await r.client.frame() == (TEXT, b"y" * size)

    async def test_many_messages_in_one_read_keep_their_order(self) -> None:
        async with room() as r:
            r.client.send(b"".join(frame(TEXT, b"%d" % n) for n in range(500)))
            assert [await r.message() for _ in range(500)] == [str(n) for n in range(500)]

    async def test_a_frame_may_come_byte_by_byte(self) -> None:
        async with room() as r:
            for byte in frame(TEXT, b"h\xc3\xa9llo") + frame(BINARY, b"\0"):
                r.client.send(bytes([byte]))
                await settle(2)
            assert await r.message() == "héllo"
            assert await r.message() == b"\0"

    async def test_fragments_are_one_message(self) -> None:
        async with room() as r:
            smile = "😀".encode()
            r.client.send(frame(TEXT, smile[:1], fin=False) + frame(CONTINUATION, smile[1:3], fin=False))
            r.client.send(frame(CONTINUATION, smile[3:]))
            r.client.send(frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"", fin=False))
            r.client.send(frame(CONTINUATION, b"b"))
            assert await r.message() == "😀"
            assert await r.message() == b"ab"

    async def test_control_frames_come_between_fragments(self) -> None:
        async with room() as r:
            r.client.send(frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(PONG, b"q"))
            assert await r.client.frame() == (PONG, b"p")
            r.client.send(frame(CONTINUATION, b"b"))
            assert await r.message() == "ab"

    async def test_a_large_buffer_is_let_go_and_nothing_is_lost(self) -> None:
        async with room() as r:
            for n in range(3):
                r.client.send(frame(BINARY, b"x" * 400_000))
                r.client.send(frame(TEXT, b"%d" % n))
                assert await r.message() == b"x" * 400_000
                assert await r.message() == str(n)
                r.owner.send(frames.Finished([r.number, r.number]))


PINGING = Limits(ping_seconds=10, pong_seconds_max=4, close_seconds_max=0.5)


async def pinged(r: Room, clock: FakeClock) -> None:
    """The client was silent, and has been asked."""
    clock.advance(11)
    assert await r.client.frame() == (PING, b"")


class TestPing:  # sections 5.5.2 and 5.5.3
    async def test_a_ping_is_answered_and_wakes_nobody(self) -> None:
        async with room() as r:
            r.client.send(frame(PING, b"x" * 125) + frame(PING))
            assert await r.client.frame() == (PONG, b"x" * 125)
            assert await r.client.frame() == (PONG, b"")
            assert r.owner.received == []

    async def test_a_silent_client_is_pinged_and_stays_when_it_answers(self) -> None:
        clock = FakeClock()
        async with room(PINGING, clock=clock) as r:
            for _ in range(3):
                await pinged(r, clock)
                r.client.send(frame(PONG) + frame(TEXT, b"here"))
                assert await r.message() == "here"
            clock.advance(6)
            await settle()
            assert not r.owner.has(frames.SocketClosed)

    async def test_a_client_that_answers_no_ping_is_lost(self) -> None:
        clock = FakeClock()
        async with room(PINGING, clock=clock) as r:
            await pinged(r, clock)
            clock.advance(3)
            await settle()
            assert not r.owner.has(frames.SocketClosed)
            clock.advance(2)
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    async def test_a_client_that_answers_while_the_gateway_stands_still_stays(self) -> None:
        clock = FakeClock()
        async with room(PINGING, clock=clock) as r:
            await pinged(r, clock)
            clock.stand_still(1_000)
            clock.advance(1)
            await settle()
            assert not r.owner.has(frames.SocketClosed)
            r.client.send(frame(PONG))
            await settle()
            clock.advance(4)
            await settle()
            assert not r.owner.has(frames.SocketClosed)

    async def test_a_client_whose_answer_is_still_to_be_read_stays(self) -> None:
        clock = FakeClock()
        async with room(PINGING, clock=clock) as r:
            await pinged(r, clock)
            r.client.send(frame(PONG) + frame(TEXT, b"here"))
            clock.advance(6)  # and nothing is read meanwhile
            assert await r.message() == "here"
            assert connection_of(r).is_open

    async def test_a_client_that_is_not_read_is_not_held_to_be_silent(self) -> None:
        clock = FakeClock()
        limits = Limits(ping_seconds=10, pong_seconds_max=4, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        async with room(limits, clock=clock) as r:
            r.client.send(frame(TEXT, b"x" * 200))
            await r.message()
            for _ in range(20):
                clock.advance(5)
                await settle(5)
            assert not r.owner.has(frames.SocketClosed)
            r.owner.send(frames.Finished([r.number]))
            r.client.send(frame(TEXT, b"y"))
            assert await r.message() == "y"

    @pytest.mark.parametrize("reset", [True, False])
    async def test_a_client_that_is_not_read_and_goes_is_lost_by_the_deadline_of_a_ping(self, reset: bool) -> None:
        clock = FakeClock()
        limits = Limits(ping_seconds=10, pong_seconds_max=4, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        async with room(limits, clock=clock) as r:
            r.client.send(frame(TEXT, b"x" * 200) + frame(TEXT, b"never read") * 100)
            await r.message()
            await settle()
            if reset:
                own = r.client.writer.get_extra_info("socket")
                with socket.socket(fileno=os.dup(own.fileno())) as same:
                    same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                r.client.writer.transport.abort()
            else:
                r.client.writer.close()
            await settle()
            assert not r.owner.has(frames.SocketClosed)
            clock.advance(15)
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    async def test_a_client_that_is_not_read_and_acknowledges_nothing_is_lost(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = FakeClock()
        limits = Limits(ping_seconds=10, pong_seconds_max=4, socket_unfinished_bytes_max=100, close_seconds_max=0.5)
        asked: list[float | None] = []

        def dead_once_pinged(_: object, silent_seconds: float | None) -> bool:
            asked.append(silent_seconds)
            return silent_seconds is None

        monkeypatch.setattr(websocket, "is_there", dead_once_pinged)
        async with room(limits, clock=clock) as r:
            r.client.send(frame(TEXT, b"x" * 200))
            await r.message()
            await pinged(r, clock)
            assert asked == [None]
            clock.advance(5)
            assert await r.closed() == (1006, "disconnected without sending Close", False)
            assert asked[1:] == [pytest.approx(4, abs=0.6)]

    async def test_a_client_that_speaks_is_not_pinged(self) -> None:
        clock = FakeClock()
        async with room(PINGING, clock=clock) as r:
            for _ in range(6):
                clock.advance(8)
                r.client.send(frame(TEXT, b"here"))
                assert await r.message() == "here"
            r.owner.send(frames.Send([r.number], "next"))
            assert await r.client.frame() == (TEXT, b"next")


BREACHES = {
    "unmasked": (frame(TEXT, b"x", masked=False), 1002),
    "reserved bit 1": (frame(TEXT, b"x", rsv=4), 1002),
    "reserved bit 2": (frame(TEXT, b"x", rsv=2), 1002),
    "reserved bit 3": (frame(TEXT, b"x", rsv=1), 1002),
    "reserved bit of a ping": (frame(PING, b"x", rsv=4), 1002),
    **{f"opcode {n}": (frame(n, b"x"), 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "fragmented close": (frame(CLOSE, b"", fin=False), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "unfinished message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "empty unfinished message": (frame(TEXT, b"", fin=False) + frame(BINARY, b"b"), 1002),
    "invalid text": (frame(TEXT, b"\xff"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong": (frame(TEXT, b"\xc0\xaf"), 1007),
    "cut character": (frame(TEXT, b"\xe2\x82"), 1007),
    "invalid text in the first fragment": (frame(TEXT, b"\xff", fin=False), 1007),
    "character cut at the end of fragments": (frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82"), 1007),
    "large frame": (frame(BINARY, b"x" * 1_001), 1009),
    "frame that says it is huge": (struct.pack("!BBQ", 0x82, 0xFF, 1 << 40), 1009),
    "large message in fragments": (frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600), 1009),
    "length not minimal": (struct.pack("!BBH", 0x82, 0xFE, 5) + b"\0" * 9, 1002),
    "long length not minimal": (struct.pack("!BBQ", 0x82, 0xFF, 5) + b"\0" * 9, 1002),
    "length with the top bit": (struct.pack("!BBQ", 0x82, 0xFF, 1 << 63), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "reason that is no text": (close_frame(1000, b"\xff"), 1007),
    **{f"close {n}": (close_frame(n), 1002) for n in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)},
}


class TestBreaches:  # sections 5.1, 5.2, 5.5, 7.1.7, 8.1
    @pytest.mark.parametrize(("data", "code"), BREACHES.values(), ids=BREACHES.keys())
    async def test_a_breach_closes_with_its_code_and_the_owner_is_told(self, data: bytes, code: int) -> None:
        async with room(Limits(message_bytes_max=1_000, close_seconds_max=0.5)) as r:
            r.client.send(data)
            seen, (told, _, was_clean) = await r.failed()
            assert (seen, told, was_clean) == (code, code, False)

    async def test_good_messages_before_a_breach_in_the_same_read_are_handed_over(self) -> None:
        async with room() as r:
            r.client.send(frame(TEXT, b"1") + frame(TEXT, b"2") + frame(3, b"x") + frame(TEXT, b"never"))
            assert await r.message() == "1"
            assert await r.message() == "2"
            r.owner.send(frames.Finished([r.number, r.number]))
            assert (await r.failed())[0] == 1002
            assert not r.owner.has(frames.SocketMessage)

    @pytest.mark.parametrize("bad", [frame(TEXT, b"\xff"), frame(TEXT, b"x", rsv=4), frame(CONTINUATION, b"x")])
    async def test_nothing_behind_a_breach_in_the_same_read_is_handed_over(self, bad: bytes) -> None:
        async with room() as r:
            r.client.send(frame(TEXT, b"1") + bad + frame(TEXT, b"never") + close_frame(1000) + frame(PING))
            assert await r.message() == "1"
            r.owner.send(frames.Finished([r.number]))
            assert (await r.failed())[0] in (1002, 1007)
            assert not r.owner.has(frames.SocketMessage)
            await r.client.ended()

    async def test_what_is_answered_to_messages_before_a_breach_arrives_before_the_close_frame(self) -> None:
        async with room(clock=FakeClock()) as r:
            r.client.send(frame(TEXT, b"1") + frame(TEXT, b"2") + frame(3) + frame(TEXT, b"never"))
            assert (await r.message(), await r.message()) == ("1", "2")
            r.owner.send(frames.Send([r.number], "to 1"), frames.Finished([r.number]))
            assert await r.client.frame() == (TEXT, b"to 1")
            await settle()
            assert not r.owner.has(frames.SocketFailed)
            r.owner.send(frames.Send([r.number], "to 2"), frames.Finished([r.number]))
            assert await r.client.frame() == (TEXT, b"to 2")
            assert await r.failed() == (1002, (1002, "Received frame with invalid opcode=0x3", False))

    async def test_a_breach_waits_for_an_owner_that_does_not_finish_as_long_as_for_a_close(self) -> None:
        clock = FakeClock()
        async with room(Limits(close_seconds_max=5), clock=clock) as r:
            r.client.send(frame(TEXT, b"1") + frame(3))
            await r.message()
            await settle()
            clock.advance(4)
            await settle()
            assert not r.owner.has(frames.SocketFailed)
            clock.advance(2)
            assert (await r.failed())[0] == 1002

    async def test_a_breach_is_told_when_the_host_that_had_its_messages_is_lost(self) -> None:
        async with room(clock=FakeClock()) as r:
            r.client.send(frame(TEXT, b"1") + frame(3))
            await r.message()
            await settle()
            r.owner.crash()
            assert (await r.client.closed_with())[0] == 1002

    async def test_an_owner_that_closes_after_a_breach_need_not_wait_for_the_client(self) -> None:
        async with room(clock=FakeClock()) as r:
            r.client.send(frame(TEXT, b"1") + frame(3))
            await r.message()
            await settle()
            r.owner.send(frames.CloseSocket(r.number, 4000, ""))
            assert (await r.failed())[0] == 1002

    async def test_a_client_that_goes_after_a_breach_is_lost(self) -> None:
        async with room(clock=FakeClock()) as r:
            r.client.send(frame(TEXT, b"1") + frame(3))
            await r.message()
            await settle()
            r.client.writer.transport.abort()
            await settle()
            r.owner.send(frames.Send([r.number], "nobody hears it"), frames.Finished([r.number]))
            assert (await r.closed())[2] is False

    async def test_a_breach_while_closing_sends_no_second_close_frame(self) -> None:
        async with room() as r:
            r.owner.send(frames.CloseSocket(r.number, 1000, ""))
            assert (await r.client.closed_with())[0] == 1000
            r.client.send(frame(3) + frame(PING))
            assert await r.owner.take(frames.SocketFailed)
            assert (await r.closed())[::2] == (1002, False)
            await r.client.ended()

    async def test_what_was_sent_before_arrives_before_the_close_frame(self) -> None:
        async with room() as r:
            r.client.send(frame(PING, b"p") + frame(3))
            assert await r.client.frame() == (PONG, b"p")
            assert (await r.failed())[0] == 1002

    async def test_a_client_that_goes_on_sending_still_reads_the_close_frame(self) -> None:
        async with room() as r:
            r.client.send(frame(3) + frame(BINARY, b"x" * 500_000))
            assert (await r.failed())[0] == 1002

    async def test_other_sockets_notice_nothing(self) -> None:
        async with room() as r, await RawClient.connect(r.served.port) as other:
            other.send(handshake())
            number = await r.owner.accept()
            assert (await other.answer()).status == 101
            r.client.send(frame(3))
            assert (await r.client.closed_with())[0] == 1002
            other.send(frame(TEXT, b"still here"))
            told = await r.owner.take(frames.SocketMessage)
            assert (told.socket, told.data) == (number, "still here")


class TestClosing:  # section 7
    @pytest.mark.parametrize(
        ("sent", "answered", "told"),
        [
            (close_frame(1000), (1000, b""), (1000, "")),
            (close_frame(1001, b"bye"), (1001, b"bye"), (1001, "bye")),
            (close_frame(4321, "é".encode()), (4321, "é".encode()), (4321, "é")),
            (close_frame(), (None, b""), (1005, "")),
        ],
    )
    async def test_a_clients_close_is_answered_with_the_same_code(
        self, sent: bytes, answered: tuple[int | None, bytes], told: tuple[int, str]
    ) -> None:
        async with room() as r:
            r.client.send(sent + frame(TEXT, b"after close"))
            assert await r.client.closed_with() == answered
            assert await r.closed() == (*told, True)
            await r.client.ended()
            assert not r.owner.has(frames.SocketMessage)

    @pytest.mark.parametrize(("code", "seen"), [(4001, (4001, b"why")), (None, (None, b""))])
    async def test_an_objects_close_waits_for_the_client(
        self, code: int | None, seen: tuple[int | None, bytes]
    ) -> None:
        async with room() as r:
            r.owner.send(frames.Send([r.number], "last"), frames.CloseSocket(r.number, code, "why" if code else ""))
            r.owner.send(frames.Send([r.number], "never"))
            assert await r.client.frame() == (TEXT, b"last")
            assert await r.client.closed_with() == seen
            await settle()
            assert not r.owner.has(frames.SocketClosed)
            r.client.send(frame(TEXT, b"too late") + frame(PING) + close_frame(4001, b"ok"))
            assert await r.closed() == (4001, "ok", True)
            await r.client.ended()
            assert not r.owner.has(frames.SocketMessage)

    async def test_both_close_at_once(self) -> None:
        async with room() as r:
            r.owner.send(frames.CloseSocket(r.number, 1000, ""))
            r.client.send(close_frame(3001))
            assert await r.client.closed_with() in ((1000, b""), (3001, b""))
            assert await r.closed() == (3001, "", True)

    async def test_a_client_that_does_not_answer_is_dropped(self) -> None:
        clock = FakeClock()
        async with room(Limits(close_seconds_max=5), clock=clock) as r:
            r.owner.send(frames.CloseSocket(r.number, 1000, ""))
            assert (await r.client.closed_with())[0] == 1000
            clock.advance(4)
            await settle()
            assert not r.owner.has(frames.SocketClosed)
            clock.advance(2)
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    async def test_a_second_close_of_the_object_is_ignored(self) -> None:
        async with room() as r:
            r.owner.send(frames.CloseSocket(r.number, 1000, ""), frames.CloseSocket(r.number, 4000, ""))
            assert (await r.client.closed_with())[0] == 1000
            r.client.send(close_frame(1000))
            assert await r.closed() == (1000, "", True)
            await r.client.ended()

    @pytest.mark.parametrize("closing", [False, True])
    async def test_a_client_that_vanishes_is_1006(self, closing: bool) -> None:
        async with room() as r:
            if closing:
                r.owner.send(frames.CloseSocket(r.number, 1000, ""))
                await r.client.closed_with()
            r.client.writer.transport.abort()
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    async def test_a_client_that_ends_without_close_is_1006(self) -> None:
        async with room() as r:
            r.client.writer.write_eof()
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    async def test_nothing_is_told_after_the_close(self) -> None:
        async with room() as r:
            r.client.send(close_frame(1000))
            await r.closed()
            await r.client.closed_with()
            await r.client.ended()
            await settle()
            assert r.owner.received == []


class TestSlowConsumers:
    async def test_a_client_that_does_not_read_is_closed_with_1013_and_the_owner_told_once(self) -> None:
        clock = FakeClock()
        async with room(Limits(socket_send_bytes_max=100_000, close_seconds_max=5), clock=clock) as r:
            r.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            sent = 0
            while not r.owner.has(frames.SocketClosed):
                r.owner.send(frames.Send([r.number], b"x" * 50_000))
                sent += 1
                await settle(5)
                assert sent < 1_000, "the bound is long passed"
            assert await r.closed() == (1013, "too slow: what was sent to it was not read", False)
            r.owner.send(frames.Send([r.number], b"never"))
            clock.advance(7)
            await settle()
            assert r.owner.received == []
            r.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            with pytest.raises(AssertionError, match="ended after"):  # it was dropped, a Close frame still waiting
                await r.client.read(sent * 60_000)

    async def test_a_client_that_reads_late_gets_all_and_then_1013(self) -> None:
        async with room(Limits(socket_send_bytes_max=100_000, close_seconds_max=5)) as r:
            r.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while not r.owner.has(frames.SocketClosed):
                r.owner.send(frames.Send([r.number], b"x" * 50_000))
                await settle(5)
            r.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            while (got := await r.client.frame())[0] == BINARY:
                assert got[1] == b"x" * 50_000
            assert got == (CLOSE, (1013).to_bytes(2, "big") + b"too slow")

    async def test_one_message_above_the_bound_reaches_a_client_that_reads(self) -> None:
        async with room(Limits(socket_send_bytes_max=100_000, close_seconds_max=0.5)) as r:
            for _ in range(3):
                r.owner.send(frames.Send([r.number], b"x" * 20_000_000))
                assert await r.client.frame() == (BINARY, b"x" * 20_000_000)

    async def test_others_of_the_room_notice_nothing(self) -> None:
        async with (
            room(Limits(socket_send_bytes_max=100_000, close_seconds_max=0.5)) as r,
            await RawClient.connect(r.served.port) as other,
        ):
            other.send(handshake())
            number = await r.owner.accept()
            await other.answer()
            r.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while not r.owner.has(frames.SocketClosed):
                r.owner.send(frames.Send([r.number, number], b"x" * 50_000))
                assert await other.frame() == (BINARY, b"x" * 50_000)
            assert (await r.closed())[0] == 1013


async def test_all_frames_of_a_turn_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room() as r:
        descriptor = connection_of(r)._descriptor
        written: list[bytes] = []
        write = os.write

        def count(number: int, data: bytes) -> int:
            if number == descriptor:
                written.append(data)
            return write(number, data)

        monkeypatch.setattr(os, "write", count)
        r.owner.send(*[frames.Send([r.number], str(n)) for n in range(10)])
        assert [await r.client.frame() for _ in range(10)] == [(TEXT, b"%d" % n) for n in range(10)]
        assert written == [b"".join(b"\x81\x01%d" % n for n in range(10))]


def connection_of(r: Room) -> websocket.HeldConnection:
    return r.served.gateway.links.sockets.by_number[r.number].connection


class TestWritingPastTheTransport:
    async def test_what_the_kernel_does_not_take_leaves_in_order(self) -> None:
        async with room(Limits(socket_send_bytes_max=64_000_000)) as r:
            connection = connection_of(r)
            assert connection._descriptor >= 0
            r.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            sizes: list[int] = []
            while connection._descriptor >= 0 or len(sizes) % 5:  # some of them behind what waits
                sizes.append(random.Random(len(sizes)).randrange(50_000, 300_000))
                r.owner.send(frames.Send([r.number], b"%c" % (len(sizes) % 256) * sizes[-1]))
                await settle(5)
            r.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for number, size in enumerate(sizes, 1):
                assert await r.client.frame() == (BINARY, b"%c" % (number % 256) * size)
            await settle()
            assert connection._descriptor >= 0, "nothing waits any more"
            r.owner.send(frames.Send([r.number], "last"))
            assert await r.client.frame() == (TEXT, b"last")

    async def test_an_error_of_the_kernel_is_told_as_a_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with room() as r:
            descriptor = connection_of(r)._descriptor
            write = os.write

            def fail(number: int, data: bytes) -> int:
                if number != descriptor:
                    return write(number, data)
                r.client.writer.transport.abort()
                raise ConnectionResetError

            monkeypatch.setattr(os, "write", fail)
            r.owner.send(frames.Send([r.number], "x"))
            assert await r.closed() == (1006, "disconnected without sending Close", False)

    @pytest.mark.parametrize("end", ["close", "breach", "abort"])
    async def test_the_descriptor_of_a_socket_that_is_gone_is_forgotten(self, end: str) -> None:
        async with room(Limits(close_seconds_max=0.5)) as r:
            connection = connection_of(r)
            if end == "abort":
                r.client.writer.transport.abort()
            else:
                r.client.send(close_frame(1000) if end == "close" else b"\xff\xff\xff\xff\xff\xff")
            await r.owner.take(frames.SocketClosed)
            await settle()
            assert connection._descriptor == -1
            connection.resume_writing()
            assert connection._descriptor == -1


async def test_frames_sent_with_the_handshake_are_the_first_messages() -> None:
    async with serving() as served, await RawClient.connect(served.port) as client:
        client.send(handshake() + frame(TEXT, b"early") + frame(TEXT, b"bird"))
        await served.owner.accept()
        assert (await served.owner.take(frames.SocketMessage)).data == "early"
        assert (await served.owner.take(frames.SocketMessage)).data == "bird"
        assert (await client.answer()).status == 101
        client.writer.transport.abort()
        await served.owner.take(frames.SocketClosed)


async def test_flow_control_counts_what_came_with_the_handshake() -> None:
    limits = Limits(socket_unfinished_bytes_max=1_000, close_seconds_max=0.5)
    async with serving(limits) as served, await RawClient.connect(served.port) as client:
        client.send(handshake() + frame(TEXT, b"x" * 600) * 4)
        number = await served.owner.accept()
        await client.answer()
        client.send(frame(TEXT, b"more"))
        await settle(50)
        taken = [told for told in served.owner.received if isinstance(told, frames.SocketMessage)]
        assert len(taken) == 4
        served.owner.send(frames.Finished([number] * 4))
        await settle(50)
        assert served.owner.received[-1] == frames.SocketMessage(number, "more")
        client.writer.transport.abort()


@pytest.mark.parametrize("seed", range(10))
async def test_no_bytes_disturb_anybody_else(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with room(Limits(message_bytes_max=10_000, close_seconds_max=0.2)) as r:
        for _ in range(20):
            async with await RawClient.connect(r.served.port) as hostile:
                hostile.send(handshake())
                number = await r.owner.accept()
                opcodes = [chance.choice((0, 1, 2, 8, 9, 10)) for _ in range(9)]
                data = bytearray(b"".join(frame(opcode, chance.randbytes(opcode)) for opcode in opcodes))
                for _ in range(chance.randrange(4)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                hostile.send(bytes(data))
                await settle(chance.randrange(8))
                hostile.writer.transport.abort()
                assert (await r.owner.take(frames.SocketClosed)).socket == number, "only this one has closed"
        r.client.send(frame(TEXT, b"undisturbed"))
        while (told := await r.owner.take(frames.SocketMessage)).socket != r.number:
            continue
        assert told.data == "undisturbed"
