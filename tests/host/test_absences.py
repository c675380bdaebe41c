"""Links that break while both processes live, seen from the host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from roost.host.absences import AbsentPeer
from roost.host.host import Host
from roost.limits import Limits
from roost.link import frames
from roost.link.frames import ObjectRef, RolledSocket
from roost.objects.auto_response import WebSocketRequestResponsePair
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .parts import HandClock
from .scripted import ScriptedGateway, host_of, settle


class Room(DurableObject):
    """Sends to all what it hears and what it is asked to, and notes which sockets ended."""

    async def fetch(self, request: Any) -> Response:
        if request.is_upgrade:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            server.send("welcome")
            return Response(None, status=101, web_socket=client)
        if request.path == "/change":
            self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))
            first, *_ = self.ctx.get_web_sockets()
            first.serialize_attachment("changed")
        if request.path == "/close":
            self.ctx.get_web_sockets()[0].close(4000, "bye")
        self.ctx.broadcast(request.path)
        return Response(self.ended)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        self.ctx.broadcast(message)

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.ended += f"{code} "

    ended = ""


async def enter(request: Any, env: Any) -> Any:
    return await env.ROOM.get_by_name("x").fetch(request)


class Broken:
    """A room with two clients at a gateway whose link is about to break, and another gateway that stays."""

    def __init__(self, host: Host, clock: HandClock) -> None:
        self.host = host
        self.clock = clock
        self.other = ScriptedGateway(host, 1).roll()
        self.gateway = ScriptedGateway(host, 0).roll()
        self.arrived = 0
        self.known: dict[int, str] = {}

    def told(self, number: int, **changes: Any) -> RolledSocket:
        object_id = self.host.env.ROOM.id_from_name("x")
        facts: dict[str, Any] = {
            "socket": number,
            "object": ObjectRef("ROOM", object_id.key, "x"),
            "tags": (),
            "attachment": None,
            "protocol": "",
            "auto_response_ms": None,
            "auto_response": None,
        }
        return RolledSocket(**(facts | changes))

    async def lose(self, lost: int = 0) -> None:
        """The link breaks, and with it so many frames that were under way."""
        await settle()
        self.arrived = self.gateway.received - lost
        self.gateway.connection.lose()
        await settle()

    async def back(self, *rolled: RolledSocket) -> ScriptedGateway:
        gateway = ScriptedGateway(self.host, 0, incarnation=self.gateway.incarnation)
        gateway.roll(*rolled, received=(self.host.incarnation, self.arrived))
        await settle()
        return gateway

    async def ask(self, path: str) -> str:
        return (await self.other.request(path)).text


@asynccontextmanager
async def broken(tmp_path: Path, **options: Any) -> AsyncIterator[Broken]:
    clock = HandClock()
    async with host_of(tmp_path, Room, entrypoint=enter, clock=clock, **options) as host:
        yield Broken(host, clock)


def sent(gateway: ScriptedGateway) -> list[Any]:
    return [frame for frame in gateway.frames if not isinstance(frame, frames.Hello)]


async def test_a_gateway_that_comes_back_in_time_is_not_noticed(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        first, second = await b.gateway.connect("/"), await b.gateway.connect("/")
        await b.lose()
        assert await b.ask("/while away") == ""
        b.clock.advance(0.9)
        gateway = await b.back(b.told(first), b.told(second))
        key = b.host.env.ROOM.id_from_name("x").key
        assert sent(gateway) == [frames.SendToTagged(key, None, [], "/while away")]
        b.clock.advance(5)
        assert await b.ask("/afterwards") == ""
        await settle()
        assert sent(gateway)[1:] == [frames.SendToTagged(key, None, [], "/afterwards")]
        gateway.send(frames.SocketMessage(first, "mine"))
        assert await gateway.expect(frames.Finished) == frames.Finished([first])


async def test_sockets_that_vanished_meanwhile_are_lost_and_the_others_are_not(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        first, _ = await b.gateway.connect("/"), await b.gateway.connect("/")
        await b.lose()
        await b.back(b.told(first))
        assert await b.ask("/") == "1006 "
        assert list(b.host.sockets.by_number) == [first]


async def test_a_gateway_that_does_not_come_back_in_time_is_lost_and_closes_what_it_brings_later(
    tmp_path: Path,
) -> None:
    async with broken(tmp_path) as b:
        number = await b.gateway.connect("/")
        await b.lose()
        b.clock.advance(1.1)
        assert await b.ask("/") == "1006 "
        gateway = await b.back(b.told(number))
        (closed,) = sent(gateway)
        assert (closed.socket, closed.code) == (number, 1012)
        gateway.send(frames.SocketClosed(number, 1012, "", True))
        assert await b.ask("/") == "1006 "


async def test_a_gateway_that_was_replaced_is_lost_at_once(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        await b.gateway.connect("/")
        await b.lose()
        assert await b.ask("/") == ""
        ScriptedGateway(b.host, 0).roll()
        await settle()
        assert await b.ask("/") == "1006 "


async def test_no_socket_goes_on_with_a_gap(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        numbers = [await b.gateway.connect("/") for _ in range(2)]
        await b.ask("/lost with the link")
        await b.lose(lost=1)
        await b.ask("/while away")
        gateway = await b.back(*map(b.told, numbers))
        closed = sent(gateway)[:2]
        assert sorted((frame.socket, frame.code) for frame in closed) == [(number, 1012) for number in numbers]
        gateway.send(*[frames.SocketClosed(number, 1012, "", True) for number in numbers])
        await settle()
        assert await b.ask("/") == "1012 1012 "


async def test_what_was_done_to_a_socket_is_told_again_where_the_gateway_does_not_know_it(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        first, second = await b.gateway.connect("/"), await b.gateway.connect("/")
        await b.ask("/change")
        await b.lose()
        gateway = await b.back(b.told(first, auto_response_ms=77), b.told(second, attachment=b"old"))
        attached = {frame.socket: frame.attachment for frame in gateway.take(frames.Attach)}
        assert attached[first] is not None
        assert attached[second] is None
        assert gateway.take(frames.AutoRespond)[0].pair == ("ping", "pong")
        assert b.host.sockets.by_number[first][1].auto_response_ms == 77


async def test_a_close_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        number = await b.gateway.connect("/")
        await b.ask("/close")
        await b.lose()
        gateway = await b.back(b.told(number))
        assert await gateway.expect(frames.CloseSocket) == frames.CloseSocket(number, 4000, "bye")
        gateway.send(frames.SocketClosed(number, 4000, "bye", True))
        await settle()
        assert await b.ask("/") == "4000 "
        assert next(iter(b.host.activations.places.values())).parting == {}


async def test_a_socket_that_was_opened_while_the_link_broke_gets_what_waited_for_it_once(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        await b.gateway.connect("/")
        grant = await b.gateway.granted("/")
        await b.lose()
        await b.ask("/meanwhile")
        number = b.gateway.incarnation << 32 | 99
        gateway = await b.back(b.told(number, opening=(grant.incarnation, grant.grant)))
        mine = [one for one in sent(gateway) if isinstance(one, frames.Send)]
        assert mine == [frames.Send([number], "welcome"), frames.Send([number], "/meanwhile")]
        assert sent(gateway)[-1] == frames.Joined(number)
        assert b.host.sockets.grants == {}


async def test_a_socket_that_was_about_to_join_is_told_so_again(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        grant = await b.gateway.granted("/")
        number = b.gateway.open(grant)
        await b.lose()
        gateway = await b.back(b.told(number, opening=(grant.incarnation, grant.grant)))
        assert sent(gateway) == [frames.Joined(number)]


async def test_a_grant_of_before_that_is_over_is_closed(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        grant = await b.gateway.granted("/")
        b.gateway.send(frames.GrantDropped(grant.grant))
        await b.lose()
        number = b.gateway.incarnation << 32 | 99
        gateway = await b.back(b.told(number, opening=(grant.incarnation, grant.grant)))
        assert [(frame.socket, frame.code) for frame in sent(gateway)] == [(number, 1012)]


async def test_grants_on_their_way_are_dropped_when_the_gateway_is_lost(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        await b.gateway.granted("/")
        await b.lose()
        assert len(b.host.sockets.grants) == 1
        b.clock.advance(1.1)
        assert b.host.sockets.grants == {}
        assert await b.ask("/") == "1006 "


async def test_a_link_that_breaks_again_before_the_roll_changes_nothing(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        number = await b.gateway.connect("/")
        await b.lose()
        again = ScriptedGateway(b.host, 0, incarnation=b.gateway.incarnation)
        await settle()
        again.connection.lose()
        await settle()
        gateway = await b.back(b.told(number))
        assert sent(gateway) == []
        assert await b.ask("/") == ""


async def test_a_gateway_that_comes_before_its_loss_was_noticed_is_taken_as_back(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        number = await b.gateway.connect("/")
        await settle()
        b.arrived = b.gateway.received
        gateway = await b.back(b.told(number))
        b.gateway.connection.lose()
        await settle()
        assert await b.ask("/to all") == ""
        await settle()
        (to_all,) = sent(gateway)
        assert to_all.data == "/to all"


async def test_what_is_kept_for_an_absent_gateway_is_bounded(tmp_path: Path) -> None:
    async with broken(tmp_path, limits=Limits(link_send_bytes_max=10_000)) as b:
        await b.gateway.connect("/")
        await b.lose()
        given_up = b.host.observer.wait_for("peer.given_up")
        for _ in range(100):
            await b.ask("/" + "x" * 500)
            if given_up.done():
                break
        assert (await given_up)["number"] == 0
        assert await b.ask("/") == "1006 "


async def test_a_drain_waits_for_absent_gateways(tmp_path: Path) -> None:
    async with broken(tmp_path) as b:
        number = await b.gateway.connect("/")
        await b.lose()
        await b.ask("/while away")
        gateway = ScriptedGateway(b.host, 0, incarnation=b.gateway.incarnation)
        draining = b.host.absences.all_settled()
        assert draining is not None
        gateway.roll(b.told(number), received=(b.host.incarnation, b.arrived))
        await draining
        await gateway.expect(frames.SendToTagged)
        assert b.host.absences.all_settled() is None


async def test_a_host_that_ends_leaves_the_sockets_of_absent_gateways_to_its_successor(tmp_path: Path) -> None:
    async with broken(tmp_path, crash=True) as b:
        await b.gateway.connect("/")
        await b.lose()
        await b.host.close()
        b.clock.advance(5)
        assert len(b.host.sockets.by_number) == 1


def test_a_stand_in_knows_the_size_of_what_it_keeps() -> None:
    absent = AbsentPeer("gateway", 0, 1, 0, {})
    absent.size_max = 1_000
    absent.send(frames.Send([1], "x" * 100))
    absent.send(frames.Attach(1, None))
    assert absent.size == 100 + 2 * 64
    assert len(absent.kept) == 2
