from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.gateway.fake_clock import FakeClock, settle
from tests.gateway.raw_client import RawClient, handshake
from tests.gateway.scripted_owner import serving

from roost.gateway import shared_batch
from roost.gateway.coding import PLAIN, Coding
from roost.gateway.cork import Cork
from roost.gateway.framing import encode_message
from roost.gateway.held_sockets import ClientSocket, HeldSockets
from roost.gateway.shared_batch import SharedBatch
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import Message, ObjectRef, SocketGrant

KEY = b"k" * 32


class FakeConnection:
    """What a held connection is to the registry and the cork."""

    def __init__(self, cork: Cork) -> None:
        self.pending: list[bytes] = []
        self.batch: SharedBatch | None = None
        self.coding: Coding = PLAIN
        self.is_open = True
        self.closed_with: tuple[int | None, str] | None = None
        self.writes: list[bytes] = []
        self._cork = cork

    @property
    def sent(self) -> bytes:
        self._cork.flush()
        return b"".join(self.writes)

    def write(self, frame: bytes) -> None:
        if self.is_open:
            self._cork.write(self, frame)

    def close(self, code: int | None, reason: str = "") -> None:
        self.is_open = False
        self.closed_with = (code, reason)

    def flush(self) -> None:
        data = b"".join(self.pending)
        self.pending.clear()
        self.write_joined(data, 1)

    def write_joined(self, data: bytes, count: int) -> None:
        self.writes.append(data)


class FakeOwner:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def socket_message(self, socket: ClientSocket, data: Message, size: int) -> None:
        self.told.append((socket.number, data))

    def socket_auto_answered(self, socket: ClientSocket) -> None:
        self.told.append((socket.number, "auto", socket.auto_response_ms))

    def when_finished(self, socket: ClientSocket, then: Callable[[], None]) -> None:
        then()

    def socket_failed(self, socket: ClientSocket, message: str) -> None:
        self.told.append((socket.number, "failed"))

    def socket_closed(self, socket: ClientSocket, code: int, reason: str, was_clean: bool) -> None:
        self.told.append((socket.number, "closed", code))


class Registry:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cork = Cork(asyncio.get_running_loop(), self.clock, 0.001)
        self.sockets = HeldSockets(7, self.clock, self.cork)
        self.owner = FakeOwner()

    def add(
        self,
        *tags: str,
        key: bytes = KEY,
        hibernating: bool = True,
        auto_response: tuple[str, str] | None = None,
        join: bool = True,
    ) -> tuple[ClientSocket, FakeConnection]:
        grant = SocketGrant(0, 1, 1, ObjectRef("R", key, None), tags, hibernating, None, auto_response)
        socket, connection = self.sockets.add(grant, "", self.owner), FakeConnection(self.cork)
        socket.connection = connection  # type: ignore[assignment]
        if join:
            self.sockets.join(frames.Joined(socket.number))
        return socket, connection

    def tagged(self, tag: str | None, *excluded: int, key: bytes = KEY) -> None:
        self.sockets.send_to_tagged(frames.SendToTagged(key, tag, list(excluded), "x"))


X = encode_message("x")


@pytest.fixture
async def registry() -> Registry:
    return Registry()


async def test_numbers_tell_the_gateway_and_are_never_given_twice(registry: Registry) -> None:
    first, _ = registry.add()
    registry.sockets.remove(first)
    second, _ = registry.add()
    assert first.number >> 32 == second.number >> 32 == 7
    assert first.number != second.number


async def test_a_message_to_some_sockets(registry: Registry) -> None:
    (a, at_a), (_, at_b), (c, at_c) = registry.add(), registry.add(), registry.add()
    registry.sockets.send(frames.Send([a.number, c.number, 12345], "x"))
    registry.sockets.send(frames.Send([c.number], b"y"))
    assert (at_a.sent, at_b.sent, at_c.sent) == (X, b"", X + encode_message(b"y"))


async def test_a_broadcast_is_encoded_once(registry: Registry) -> None:
    members = [registry.add()[1] for _ in range(5)]
    registry.tagged(None)
    registry.cork.flush()
    assert len({id(connection.writes[0]) for connection in members}) == 1


async def test_a_broadcast_by_tag_with_exceptions(registry: Registry) -> None:
    (a, at_a), (_, at_b), (_, at_c) = registry.add("red"), registry.add("red", "blue"), registry.add("blue")
    registry.tagged("red")
    registry.tagged("blue")
    registry.tagged(None, a.number)
    registry.tagged("none")
    assert (at_a.sent, at_b.sent, at_c.sent) == (X, X * 3, X * 2)


async def test_a_broadcast_reaches_only_hibernating_sockets_of_its_object(registry: Registry) -> None:
    _, active = registry.add("red", hibernating=False)
    _, other = registry.add("red", key=b"2" * 32)
    _, member = registry.add("red")
    registry.tagged(None)
    registry.tagged("red")
    registry.tagged("red", key=b"3" * 32)
    assert (active.sent, other.sent, member.sent) == (b"", b"", X + X)


async def test_nothing_is_sent_on_a_socket_that_is_closing(registry: Registry) -> None:
    socket, connection = registry.add("red", auto_response=("ping", "pong"))
    registry.sockets.close_socket(frames.CloseSocket(socket.number, 4000, "bye"))
    registry.tagged(None)
    registry.tagged("red")
    registry.sockets.send(frames.Send([socket.number, 1], "x"))
    registry.sockets.send(frames.Send([socket.number], "x"))
    assert connection.closed_with == (4000, "bye")
    assert connection.sent == b""


async def test_a_socket_that_is_gone_is_forgotten(registry: Registry) -> None:
    told: list[int] = []
    registry.sockets.on_removed = lambda: told.append(len(registry.sockets))
    socket, connection = registry.add("red")
    socket.on_closed(1000, "", True)
    socket.on_closed(1000, "", True)
    registry.tagged("red")
    registry.sockets.send(frames.Send([socket.number], "x"))
    registry.sockets.close_socket(frames.CloseSocket(socket.number, 1000, ""))
    registry.sockets.attach(frames.Attach(socket.number, b"x"))
    assert (connection.sent, connection.closed_with) == (b"", None)
    assert (told, registry.sockets._groups) == ([0], {})


class TestAutomaticResponses:
    async def test_an_equal_text_is_answered_here_and_told(self, registry: Registry) -> None:
        socket, connection = registry.add(auto_response=("ping", "pong"))
        socket.on_message("ping", 4)
        assert connection.sent == encode_message("pong")
        assert registry.owner.told == [(socket.number, "auto", registry.clock.now_ms())]
        assert socket.rolled(1).auto_response_ms == registry.clock.now_ms()

    @pytest.mark.parametrize("data", [b"ping", "ping ", "Ping", "", "pingping"])
    async def test_anything_else_goes_to_the_object(self, registry: Registry, data: Message) -> None:
        socket, connection = registry.add(auto_response=("ping", "pong"))
        socket.on_message(data, len(data))
        assert connection.sent == b""
        assert registry.owner.told == [(socket.number, data)]

    async def test_the_answer_is_in_order_with_what_the_object_sends(self, registry: Registry) -> None:
        socket, connection = registry.add(auto_response=("ping", "pong"))
        registry.sockets.send(frames.Send([socket.number], "x"))
        socket.on_message("ping", 4)
        registry.tagged(None)
        assert connection.sent == X + encode_message("pong") + X

    async def test_the_pair_is_the_objects_and_can_change_and_end(self, registry: Registry) -> None:
        (first, at_first), (second, at_second) = registry.add(), registry.add()
        registry.sockets.auto_respond(frames.AutoRespond(KEY, ("a", "b")))
        first.on_message("a", 1)
        second.on_message("a", 1)
        registry.sockets.auto_respond(frames.AutoRespond(KEY, None))
        first.on_message("a", 1)
        assert at_first.sent == at_second.sent == encode_message("b")
        assert registry.owner.told[-1] == (first.number, "a")
        registry.sockets.auto_respond(frames.AutoRespond(b"unknown", ("a", "b")))

    async def test_a_later_grant_does_not_bring_an_old_pair_back(self, registry: Registry) -> None:
        registry.add(auto_response=("a", "b"))
        registry.sockets.auto_respond(frames.AutoRespond(KEY, None))
        late, _ = registry.add(auto_response=("a", "b"))
        late.on_message("a", 1)
        assert registry.owner.told == [(late.number, "a")]

    async def test_active_sockets_have_none(self, registry: Registry) -> None:
        registry.add(auto_response=("a", "b"))
        active, _ = registry.add(hibernating=False, auto_response=("a", "b"))
        active.on_message("a", 1)
        assert registry.owner.told == [(active.number, "a")]


class TestBeforeJoining:
    async def test_a_message_to_a_set_passes_by(self, registry: Registry) -> None:
        late, at_late = registry.add("red", join=False)
        registry.tagged(None)
        registry.tagged("red")
        assert at_late.sent == b""
        registry.sockets.join(frames.Joined(late.number))
        registry.sockets.join(frames.Joined(late.number))
        registry.tagged("red")
        assert at_late.sent == X
        registry.sockets.join(frames.Joined(12345))

    async def test_everything_else_works(self, registry: Registry) -> None:
        late, at_late = registry.add("red", auto_response=("ping", "pong"), join=False)
        registry.sockets.send(frames.Send([late.number], "x"))
        registry.sockets.auto_respond(frames.AutoRespond(KEY, ("hi", "ho")))
        late.on_message("hi", 2)
        late.on_message("for the object", 14)
        assert at_late.sent == X + encode_message("ho")
        assert registry.owner.told[-1] == (late.number, "for the object")
        registry.sockets.close_socket(frames.CloseSocket(late.number, 4000, "bye"))
        assert at_late.closed_with == (4000, "bye")

    async def test_one_that_closes_first_never_joins(self, registry: Registry) -> None:
        late, at_late = registry.add("red", join=False)
        registry.sockets.close_socket(frames.CloseSocket(late.number, 4000, "bye"))
        registry.sockets.join(frames.Joined(late.number))
        registry.tagged("red")
        assert at_late.sent == b""
        late.on_closed(4000, "bye", True)
        assert registry.sockets._groups == {}

    async def test_a_roll_to_another_host_joins_it_and_one_to_the_same_does_not(self, registry: Registry) -> None:
        late, at_late = registry.add("red", join=False)
        assert late.rolled(1).opening == (1, 1), "the host and the grant of `add`"
        registry.tagged(None)
        assert at_late.sent == b""
        assert late.rolled(2).opening is None
        registry.tagged(None)
        assert at_late.sent == X


async def test_a_member_that_does_not_read_has_a_bound_and_the_others_get_every_byte() -> None:
    bound, size, at_once = 200_000, 1_024, 30
    limits = Limits(socket_send_bytes_max=bound, close_seconds_max=0.5)
    async with serving(limits) as served, AsyncExitStack() as stack:
        clients, numbers = [], []
        for _ in range(shared_batch.FEW + 4):
            client = await stack.enter_async_context(await RawClient.connect(served.port))
            client.send(handshake())
            numbers.append(await served.owner.accept())
            assert (await client.answer()).status == 101
            clients.append(client)
        slow, *others = clients
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        transport = served.gateway.links.sockets.by_number[numbers[0]].connection._transport
        waiting: list[int] = []
        count = 0
        while not served.owner.has(frames.SocketClosed):
            said = [f"{count + n}".ljust(size) for n in range(at_once)]
            count += at_once
            served.owner.send(*(frames.SendToTagged(KEY, None, [], message) for message in said))
            expected = b"".join(map(encode_message, said))
            for client in others:
                assert await client.read(len(expected)) == expected
            waiting.append(transport.get_write_buffer_size())
            assert count < 100_000, "the bound is long passed"
        assert 0 < max(waiting) <= bound + at_once * (size + 4)
        closed = await served.owner.take(frames.SocketClosed)
        assert (closed.socket, closed.code) == (numbers[0], 1013)
        served.owner.send(frames.SendToTagged(KEY, None, [], "on"))
        for client in others:
            assert await client.frame() == (1, b"on")
        assert set(served.gateway.links.sockets.by_number) == set(numbers[1:])
        await settle()
        assert served.owner.received == [], "the owner is told once"
        for client in clients:
            client.writer.transport.abort()
