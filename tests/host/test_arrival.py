"""The beginning of a peer; what happens when one comes back is in `test_absences.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.link import frames
from roost.link.frames import ObjectRef, RolledSocket
from roost.objects.durable_object import DurableObject

from .scripted import ScriptedGateway, host_of, settle


class Room(DurableObject):
    async def fetch(self, request: Any) -> Any: ...


async def test_a_socket_of_no_class_of_the_app_is_closed_once_and_the_others_are_there(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room) as host:
        gateway = ScriptedGateway(host)
        good, bad = (gateway.incarnation << 32 | n for n in (1, 2))
        ref = ObjectRef("ROOM", host.env.ROOM.id_from_name("x").key, "x")
        gateway.roll(
            RolledSocket(bad, ObjectRef("GONE", b"k" * 32, None), (), None, "", None, None),
            RolledSocket(good, ref, (), None, "", None, None),
        )
        await settle()
        assert [(frame.socket, frame.code) for frame in gateway.take(frames.CloseSocket)] == [(bad, 1012)]
        assert list(host.sockets.by_number) == [good]


async def test_a_count_of_another_host_means_nothing(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room) as host:
        gateway = ScriptedGateway(host).roll(received=(host.incarnation + 1, 500))
        await settle()
        assert gateway.session.sent == 0
