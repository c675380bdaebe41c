from __future__ import annotations

import asyncio
import gc
import random
import socket

import pytest
from tests.gateway.fake_clock import settle, until
from tests.gateway.sleepers import sockets

from roost.gateway.parking_transport import ParkedTransport


class TestReading:
    async def test_what_comes_is_read_where_it_lies(self) -> None:
        async with sockets() as [one]:
            one.client.send(b"hello")
            await until(lambda: one.recorder.received == b"hello")
            assert not one.is_awake

    async def test_what_came_before_it_was_parked_and_while_it_was_is_read_in_order(self) -> None:
        async with sockets(parked=False) as [one]:
            one.transport.pause_reading()
            one.client.send(b"before ")
            await settle()
            assert one.recorder.received == b""
            one.park()
            one.client.send(b"while")
            await until(lambda: one.recorder.received == b"before while")

    async def test_one_that_is_paused_is_not_read_and_goes_on_where_it_stopped(self) -> None:
        async with sockets() as [one]:
            one.parked.pause_reading()
            one.client.send(b"x")
            await settle()
            assert (one.recorder.received, one.parked.is_reading()) == (b"", False)
            one.parked.resume_reading()
            await until(lambda: one.recorder.received == b"x")

    async def test_pausing_and_resuming_twice_changes_nothing(self) -> None:
        async with sockets() as [one]:
            for _ in range(2):
                one.parked.pause_reading()
            for _ in range(2):
                one.parked.resume_reading()
            one.client.send(b"x")
            await until(lambda: one.recorder.received == b"x")

    async def test_a_readiness_that_was_none_changes_nothing(self) -> None:
        async with sockets() as [one]:
            one.parked.read()
            assert (one.recorder.received, one.told) == (b"", [])


class TestWriting:
    async def test_what_the_kernel_takes_is_written_at_once_and_wakes_nobody(self) -> None:
        async with sockets() as [one]:
            for n in range(100):
                one.transport.write(b"%02d" % n)
            assert one.client.recv(200) == b"".join(b"%02d" % n for n in range(100))
            assert not one.parked.is_waking

    async def test_what_the_kernel_does_not_take_wakes_it_and_arrives_in_order(self) -> None:
        async with sockets() as [one]:
            written = one.fill()
            assert one.told == ["behind"]
            one.transport.write(b"behind it")
            await until(lambda: one.is_awake)
            one.transport.write(b", and after")
            assert await one.read(len(written) + 20) == written + b"behind it, and after"
            await until(lambda: one.told[-1] == "caught up")

    async def test_one_that_catches_up_while_it_wakes_is_told_so(self) -> None:
        async with sockets() as [one]:
            written = one.fill()
            assert await asyncio.wait_for(one.read(len(written) - one.transport.get_write_buffer_size()), 5)
            await until(lambda: "caught up" in one.told)
            assert one.is_awake
            assert one.transport.get_write_buffer_size() == 0

    async def test_what_is_written_while_it_wakes_and_nothing_waits_arrives_at_once(self) -> None:
        async with sockets() as [one]:
            one.parked.wake()
            one.transport.write(b"now")
            assert one.client.recv(3) == b"now"
            await until(lambda: one.is_awake)

    async def test_a_write_to_a_client_that_has_gone_ends_it(self) -> None:
        async with sockets() as [one]:
            one.client.close()
            one.transport.write(b"x")
            assert one.told == [], "not from within its own call"
            await until(lambda: one.told == ["lost BrokenPipeError"])

    async def test_the_write_side_can_end_alone(self) -> None:
        async with sockets() as [one]:
            one.transport.write_eof()
            assert one.client.recv(1) == b""
            one.client.send(b"still read")
            await until(lambda: one.recorder.received == b"still read")

    async def test_the_write_side_ends_behind_what_waits(self) -> None:
        async with sockets() as [one]:
            written = one.fill()
            one.transport.write_eof()
            assert await one.read(len(written)) == written
            await until(lambda: one.is_awake)
            assert await asyncio.get_running_loop().sock_recv(one.client, 1) == b""

    async def test_a_thousand_are_written_to_and_only_those_that_would_block_get_a_transport_back(self) -> None:
        async with sockets(1_000) as all_of_them:
            slow = all_of_them[::250]
            for one in slow:
                one.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                one.fill()
            for one in all_of_them:
                one.transport.write(b"to everybody")
            await until(lambda: all(one.is_awake for one in slow))
            assert [one for one in all_of_them if one.is_awake] == slow
            for one in all_of_them:
                if one not in slow:
                    assert one.client.recv(100) == b"to everybody"


class TestWaking:
    async def test_nothing_is_lost_or_doubled_when_it_wakes_in_the_middle_of_traffic(self) -> None:
        async with sockets() as [one]:
            sent = b""
            for n in range(200):
                one.client.send(b"%03d" % n)
                sent += b"%03d" % n
                if n % 20 == 10 and not one.is_awake:
                    one.parked.wake()
                if n % 20 == 15 and one.is_awake:
                    one.park()
                if n % 3 == 0:
                    await asyncio.sleep(0)
            await until(lambda: len(one.recorder.received) >= len(sent))
            assert one.recorder.received == sent

    async def test_waking_twice_makes_one_transport(self) -> None:
        async with sockets() as [one]:
            parked = one.parked
            parked.wake()
            parked.wake()
            await until(lambda: one.is_awake)
            parked.wake()
            await settle()
            assert one.told == ["made"]

    async def test_from_the_start_of_waking_until_it_is_told_nothing_is_read(self) -> None:
        async with sockets() as [one]:
            one.client.send(b"x")
            one.parked.wake()
            parked = one.parked
            while not one.is_awake:
                assert one.recorder.received == b""
                await asyncio.sleep(0)
            assert parked.is_closing()
            await until(lambda: one.recorder.received == b"x")

    async def test_an_end_while_it_wakes_is_told_once(self) -> None:
        async with sockets() as [one]:
            one.parked.wake()
            one.transport.abort()
            one.transport.abort()
            await settle()
            assert one.told == ["lost"]
            assert await asyncio.get_running_loop().sock_recv(one.client, 1) == b""

    async def test_a_client_that_goes_while_it_wakes_is_lost_once_and_its_last_words_are_read(self) -> None:
        async with sockets() as [one]:
            one.parked.wake()
            one.client.send(b"bye")
            one.client.close()
            await until(lambda: one.told[-1:] == ["lost"])
            assert (one.told, one.recorder.received) == (["made", "eof", "lost"], b"bye")

    async def test_where_no_transport_can_be_made_it_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with sockets() as [one]:

            async def fail(*_: object) -> None:
                raise OSError("no more of them")

            loop = asyncio.get_running_loop()

            class Refusing:
                connect_accepted_socket = staticmethod(fail)
                create_task, call_soon, remove_reader = loop.create_task, loop.call_soon, loop.remove_reader

            monkeypatch.setattr(one.parking, "loop", Refusing())
            one.parked.wake()
            await until(lambda: one.told == ["lost OSError"])
            assert await loop.sock_recv(one.client, 1) == b""


class TestTheEnd:
    async def test_an_end_of_the_client_is_told(self) -> None:
        async with sockets() as [one]:
            one.client.close()
            await until(lambda: one.told == ["eof", "lost"])

    async def test_half_an_end_is_told_and_the_protocol_may_go_on_writing(self) -> None:
        async with sockets() as [one]:
            one.recorder.keeps_open = True
            one.client.shutdown(socket.SHUT_WR)
            await until(lambda: one.told == ["eof"])
            one.transport.write(b"still written")
            assert await one.read(13) == b"still written"
            await settle()
            assert one.told == ["eof"], "told once"

    async def test_its_protocol_is_let_go_of_once_it_has_been_told(self) -> None:
        """Which has it: both would wait for the garbage collector."""
        async with sockets() as [one]:
            one.reset()
            await until(lambda: bool(one.told))
            assert one.recorder not in gc.get_referents(one.parked)

    async def test_a_reset_is_told(self) -> None:
        async with sockets(tcp=True) as [one]:
            one.reset()
            await until(lambda: one.told == ["lost ConnectionResetError"])

    @pytest.mark.parametrize("end", ["close", "abort"])
    async def test_an_end_from_here_closes_the_descriptor_and_is_told_once(self, end: str) -> None:
        async with sockets() as [one]:
            getattr(one.transport, end)()
            assert one.transport.is_closing()
            assert one.told == []
            one.transport.write(b"never")
            getattr(one.transport, end)()
            assert one.client.recv(10) == b""
            await settle()
            assert one.told == ["lost"]

    async def test_one_that_is_closed_with_something_waiting_ends_behind_it(self) -> None:
        async with sockets() as [one]:
            written = one.fill()
            one.transport.close()
            assert await one.read(len(written)) == written
            assert await asyncio.get_running_loop().sock_recv(one.client, 1) == b""
            one.client.close()
            await until(lambda: one.told[-1] == "lost")

    async def test_one_that_raises_is_lost_and_the_others_are_read(self) -> None:
        async with sockets(3) as all_of_them:
            told: list[dict[str, object]] = []
            loop = asyncio.get_running_loop()
            before = loop.get_exception_handler()
            loop.set_exception_handler(lambda _, context: told.append(context))

            def fail() -> None:
                raise ValueError("from the protocol")

            all_of_them[1].recorder.on_data = fail
            for one in all_of_them:
                one.client.send(b"x")
            await until(lambda: all_of_them[1].told == ["lost ValueError"])
            await until(lambda: all(one.recorder.received == b"x" for one in all_of_them))
            assert all_of_them[0].told == all_of_them[2].told == []
            assert [str(context["exception"]) for context in told] == ["from the protocol"]
            loop.set_exception_handler(before)

    async def test_one_that_another_ends_in_the_same_turn_is_not_read(self) -> None:
        async with sockets(2) as [one, other]:
            one.recorder.on_data = other.transport.abort
            other.recorder.on_data = one.transport.abort
            one.client.send(b"x")
            other.client.send(b"x")
            await until(lambda: len(one.told + other.told) == 1)
            assert len(one.recorder.received + other.recorder.received) == 1


async def test_it_says_which_descriptor_it_has() -> None:
    async with sockets() as [one]:
        assert one.transport.get_extra_info("socket").fileno() > 2
        assert one.transport.get_extra_info("peername", "unknown") == "unknown"
        assert one.transport.get_protocol() is one.recorder
        assert isinstance(one.transport, ParkedTransport)


@pytest.mark.parametrize("seed", range(5))
async def test_bytes_keep_their_order_both_ways_whatever_happens(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with sockets() as [one]:
        up = down = got = b""
        for _ in range(400):
            do = chance.randrange(6)
            if do == 0:
                data = chance.randbytes(chance.randrange(1, 100))
                up += data[: one.client.send(data)]
            elif do == 1:
                data = chance.randbytes(chance.choice((10, 1_000, 300_000)))
                one.transport.write(data)
                down += data
            elif do == 2:
                try:
                    got += one.client.recv(chance.choice((10, 100_000)))
                except BlockingIOError:
                    await asyncio.sleep(0)
            elif do == 3 and one.is_awake and not one.transport.get_write_buffer_size():
                one.park()
            elif do == 4 and not one.is_awake:
                one.parked.wake()
            else:
                await settle(chance.randrange(4))
        got += await one.read(len(down) - len(got))
        await until(lambda: len(one.recorder.received) >= len(up))
        assert (got, one.recorder.received) == (down, up)
