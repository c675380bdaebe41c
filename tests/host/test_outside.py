from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from roost.host.outside import leave, outside
from roost.objects.durable_object import DurableObject
from roost.objects.tasks import current_activation
from roost.response import Response

from .scripted import ScriptedGateway, host_of


def test_outside_of_objects_it_is_a_plain_call() -> None:
    departed: list[int] = []
    leave(lambda: departed.append(1))
    assert departed == [1]
    assert outside(lambda: 5) == 5


async def test_a_task_that_the_host_makes_for_an_object_is_not_the_objects_own(tmp_path: Path) -> None:
    inside: list[object] = []
    departed: list[object] = []

    class Room(DurableObject):
        async def fetch(self, request: Any) -> Response:
            inside.append(current_activation())
            inside.append(outside(current_activation))
            outside(lambda: asyncio.ensure_future(asyncio.Event().wait())).cancel()
            await self.ctx.storage.put("a", 1)
            leave(lambda: departed.append(current_activation()))
            assert departed == []  # its write is not durable yet
            return Response("left")

    async def enter(request: Any, env: Any) -> Any:
        return await env.ROOM.get_by_name("x").fetch(request)

    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        assert (await gateway.request("/")).text == "left"
        assert inside[0] is not None
        assert inside[1] is None
        assert departed == [None]
