"""Client ends in hand; whole conversations from object to object are in `test_peers.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from roost.held_socket import CLOSED, HeldSocket
from roost.host.client_ends import RemoteEnd
from roost.link import frames
from roost.link.frames import ObjectRef, SocketGrant
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .scripted import host_of, settle


class Echo(DurableObject):
    """The other end."""

    async def fetch(self, request: Any) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["t"])
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


class Client(DurableObject):
    """Says many things at once, and keeps what it hears."""

    heard: list[Any]

    async def fetch(self, request: Any) -> Response:
        stub = self.env.ECHO.get_by_name("x")
        socket = (await stub.fetch("http://x/", headers={"Upgrade": "websocket"})).web_socket
        socket.accept()
        await self.ctx.storage.put("said", True)  # what follows waits until this is durable
        for n in range(50):
            socket.send(str(n))
        socket.send(b"bytes")
        socket.close(1000, "done")
        async for message in socket:
            self.heard.append(message)
        return Response("heard")


async def test_messages_arrive_in_order_and_before_the_close(tmp_path: Path) -> None:
    Client.heard = []
    async with host_of(tmp_path, Echo, Client) as host:
        await host.env.CLIENT.get_by_name("y").fetch("http://x/")
        await settle()
        assert host.sockets.by_number == {}
        assert host.activations.meter_of_class("ECHO").messages_in == 51
        assert Client.heard == []  # its own close ended the reading


async def test_a_grant_of_a_life_that_is_over_opens_nothing(tmp_path: Path) -> None:
    async with host_of(tmp_path, Echo, Client) as host:
        object_id = host.env.ECHO.id_from_name("x")
        place = host.activations.place(object_id)
        grant = SocketGrant(0, 999, host.incarnation, ObjectRef("ECHO", object_id.key, "x"), (), True, None, None)
        socket = HeldSocket(hibernating=False)
        host.ends.open(grant, object_id, socket)
        assert socket.ready_state == CLOSED
        assert host.sockets.by_number == {}
        host.activations.release(place)


async def test_frames_for_ends_that_are_gone_change_nothing(tmp_path: Path) -> None:
    async with host_of(tmp_path, Echo, Client) as host:
        gone = host.incarnation << 32 | 5
        for frame in (
            frames.Send([gone], "m"),
            frames.SendToTagged(b"k" * 32, None, [], "m"),
            frames.CloseSocket(gone, None, ""),
            frames.Attach(gone, b"x"),
            frames.AutoRespond(b"k" * 32, None),
            frames.Finished([gone]),
        ):
            host.ends.take(frame)
            host.ends.send(frame)
        host.ends.finished(gone)
        await settle()
        assert host.ends.rolled(0) == []


async def test_a_message_to_a_set_reaches_an_end_once_its_owner_has_counted_it_in(tmp_path: Path) -> None:
    async with host_of(tmp_path, Echo, Client) as host:
        owner = ObjectRef("ECHO", b"k" * 32, "x")
        grants = [SocketGrant(1, grant, 77, owner, ("t",), True, None, None) for grant in (1, 2)]
        place = host.activations.place(host.env.CLIENT.id_from_name("y"))
        heard: list[Any] = []
        place.activation = SimpleNamespace(deliver=lambda event: heard.append(event.data))  # type: ignore[assignment]
        for number, grant in enumerate(grants, 1):
            host.ends._remote[number] = RemoteEnd(number, grant, None, None)
            host.sockets.by_number[number] = (place, HeldSocket(hibernating=False))
        to_all = frames.SendToTagged(b"k" * 32, None, [], "to all")
        host.ends.take(to_all)
        assert heard == []
        host.ends.take(frames.Joined(1))
        host.ends.take(to_all)
        assert heard == ["to all"]
        host.ends.owner_is(1, 77)
        assert [told.opening for told in host.ends.rolled(1)] == [None, (77, 2)]
        host.ends.take(to_all)
        assert heard == ["to all"] * 2
        host.ends.owner_is(1, 78)
        host.ends.take(to_all)
        assert heard == ["to all"] * 4
        place.activation = None
        host.ends._remote.clear()
        host.sockets.by_number.clear()
