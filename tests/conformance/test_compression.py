"""permessage-deflate through a gateway on a real socket (RFC 7692)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import websockets
from tests.gateway.fake_clock import FakeClock, settle
from tests.gateway.raw_client import CLOSE, TEXT, RawClient, frame, handshake
from tests.gateway.scripted_owner import KEY, Served, serving

from roost.gateway import deflate
from roost.gateway.parking_transport import ParkedTransport
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import Message

WORDS = "the same words again, " * 100
OFFER = "permessage-deflate; client_max_window_bits"
LIMITS = Limits(close_seconds_max=0.5)
KEEPING = Limits(close_seconds_max=0.5, deflate_contexts_bytes_max=1 << 20)


class Member:
    """One open socket: its client, its number, what was agreed on."""

    def __init__(self, served: Served, client: RawClient, number: int, agreed: str) -> None:
        self.served = served
        self.client = client
        self.number = number
        self.agreed = agreed
        self.deflate = zlib.compressobj(wbits=-12)
        self.inflate = zlib.decompressobj(wbits=-15)

    @property
    def keeps(self) -> bool:
        return "no_context_takeover" not in self.agreed

    def compressed(self, data: bytes, *, fin: bool = True) -> bytes:
        payload = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        if not self.keeps:
            self.deflate = zlib.compressobj(wbits=-12)
        return frame(TEXT, payload.removesuffix(b"\0\0\xff\xff"), fin=fin, rsv=4)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the gateway: its first byte and its payload, inflated where that says so."""
        first, size = await self.client.read(2)
        if size == 126:
            size = int.from_bytes(await self.client.read(2), "big")
        payload = await self.client.read(size)
        if not first & 0x40:
            return first, payload
        plain = self.inflate.decompress(payload + b"\0\0\xff\xff")
        if not self.keeps:
            self.inflate = zlib.decompressobj(wbits=-15)
        return first, plain

    async def said(self) -> Message:
        told = await self.served.owner.take(frames.SocketMessage)
        assert told.socket == self.number
        self.served.owner.send(frames.Finished([self.number]))
        return told.data


@asynccontextmanager
async def room(
    *offers: str, limits: Limits = LIMITS, clock: FakeClock | None = None
) -> AsyncIterator[tuple[Served, list[Member]]]:
    """A member for each offer."""
    async with serving(limits, clock=clock) as served, AsyncExitStack() as stack:
        members = []
        for offer in offers:
            client = await stack.enter_async_context(await RawClient.connect(served.port))
            client.send(handshake(sec_websocket_extensions=offer) if offer else handshake())
            number = await served.owner.accept()
            answer = await client.answer()
            assert answer.status == 101
            members.append(Member(served, client, number, answer.headers.get("sec-websocket-extensions", "")))
        yield served, members
        for member in members:
            member.client.writer.transport.abort()


async def test_messages_are_compressed_both_ways() -> None:
    async with room(OFFER) as (served, [member]):
        assert member.agreed == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        for _ in range(3):
            member.client.send(member.compressed(WORDS.encode()))
            assert await member.said() == WORDS
            served.owner.send(frames.Send([member.number], WORDS), frames.Send([member.number], "short"))
            assert await member.frame() == (0xC1, WORDS.encode())
            assert await member.frame() == (0x81, b"short")


async def test_a_client_that_offers_nothing_is_sent_nothing_compressed_and_may_send_nothing_so() -> None:
    async with room("") as (served, [member]):
        assert member.agreed == ""
        served.owner.send(frames.Send([member.number], WORDS))
        assert await member.frame() == (0x81, WORDS.encode())
        member.client.send(member.compressed(b"x"))
        assert (await member.frame())[0] == 0x80 | CLOSE
        assert (await served.owner.take(frames.SocketClosed)).code == 1002


async def test_a_broadcast_is_compressed_once_for_all_with_the_same_window(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed: list[Message] = []
    encode = deflate._Deflater.encode

    def counted(self: deflate._Deflater, message: Message) -> bytes:
        compressed.append(message)
        return encode(self, message)

    monkeypatch.setattr(deflate._Deflater, "encode", counted)
    small = "permessage-deflate; server_max_window_bits=9"
    async with room(OFFER, OFFER, "permessage-deflate", "", small, small) as (served, members):
        message = f"{WORDS} and more"
        served.owner.send(frames.SendToTagged(KEY, None, [], message))
        for member in members:
            assert (await member.frame())[1] == message.encode()
        assert compressed == [message] * 2, "one for each size of the window"


async def test_windows_are_kept_within_their_bound_and_given_back() -> None:
    async with room(OFFER, OFFER, limits=KEEPING) as (served, members):
        assert [member.agreed for member in members] == ["permessage-deflate; client_max_window_bits=12"] * 2
        for n in range(3):
            served.owner.send(frames.SendToTagged(KEY, None, [], f"{WORDS}{n}"))
            for member in members:
                assert (await member.frame()) == (0xC1, f"{WORDS}{n}".encode())
                member.client.send(member.compressed(f"{WORDS}{n}".encode()))
                assert await member.said() == f"{WORDS}{n}"
        shared = served.gateway.shared.deflate
        held = shared.contexts_bytes
        members[0].client.writer.transport.abort()
        await served.owner.take(frames.SocketClosed)
        assert shared.contexts_bytes == held / 2


async def test_a_message_that_inflates_beyond_the_bound_is_too_big_and_costs_the_bound() -> None:
    async with room(OFFER, OFFER, limits=Limits(message_bytes_max=100_000, close_seconds_max=0.5)) as (served, members):
        members[0].client.send(members[0].compressed(bytes(60_000_000)))
        assert (await members[0].frame()) == (
            0x88,
            (1009).to_bytes(2, "big") + b"a message is larger than 100000 bytes",
        )
        assert (await served.owner.take(frames.SocketClosed)).code == 1009
        members[1].client.send(members[1].compressed(WORDS.encode()))
        assert await members[1].said() == WORDS, "the others notice nothing"


@pytest.mark.parametrize("vanishes", [True, False])
async def test_what_waits_inflated_for_its_rest_is_given_back(vanishes: bool) -> None:
    async with room(OFFER) as (served, [member]):
        allowance = served.gateway.shared.allowance
        member.client.send(member.compressed(WORDS.encode(), fin=False))
        await settle()
        assert allowance.bytes_used == len(WORDS)
        if vanishes:
            member.client.writer.transport.abort()
            await served.owner.take(frames.SocketClosed)
        else:
            member.client.send(frame(0))
            await member.said()
        assert allowance.bytes_used == 0


async def test_what_waits_inflated_is_bounded_over_all_clients() -> None:
    limits = Limits(inflated_bytes_max=3_000, close_seconds_max=0.5)
    async with room(OFFER, OFFER, limits=limits) as (served, members):
        for member in members:
            member.client.send(member.compressed(WORDS.encode(), fin=False))
            await settle()
        told = await served.owner.take(frames.SocketClosed)
        assert (told.socket, told.code) == (members[1].number, 1013)


@pytest.mark.parametrize("limits", [LIMITS, KEEPING])
async def test_a_parked_client_may_send_compressed_messages(limits: Limits) -> None:
    clock = FakeClock()
    async with room(OFFER, OFFER, limits=limits, clock=clock) as (served, members):
        for n in range(3):
            for _ in range(12):
                clock.advance(0.5)
                await settle(5)
            for member in members:
                connection = served.gateway.links.sockets.by_number[member.number].connection
                assert isinstance(connection._transport, ParkedTransport)
                member.client.send(member.compressed(f"{WORDS}{n}".encode()))
                assert await member.said() == f"{WORDS}{n}"
                served.owner.send(frames.Send([member.number], f"{WORDS}{n}"))
                assert await member.frame() == (0xC1, f"{WORDS}{n}".encode())


@pytest.mark.parametrize("limits", [LIMITS, KEEPING])
async def test_a_client_that_is_not_ours_agrees(limits: Limits) -> None:
    async with serving(limits) as served, asyncio.TaskGroup() as group:
        accepting = group.create_task(served.owner.accept())
        client = await websockets.connect(served.ws_url, proxy=None)
        number = await accepting
        assert client.response is not None
        assert client.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        for message in (WORDS, WORDS.encode(), WORDS * 100, "short", WORDS):
            await client.send(message)
            assert (await served.owner.take(frames.SocketMessage)).data == message
            served.owner.send(frames.Finished([number]), frames.Send([number], message))
            assert await client.recv() == message
        await client.close()
