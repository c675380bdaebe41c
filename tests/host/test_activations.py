from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roost.errors import InvalidArgumentError, UnknownBindingError
from roost.host import activations
from roost.host.host import Host
from roost.link.frames import ObjectRef
from roost.objects.durable_object import DurableObject
from roost.response import Response

from .parts import HandClock
from .scripted import ScriptedGateway, host_of, settle


class Room(DurableObject):
    """Can be told to fail, or to wait."""

    hold = asyncio.Event()

    async def fetch(self, request: Any) -> Response:
        if request.path == "/abort":
            self.ctx.abort("enough")
        if request.path == "/hold":
            await self.hold.wait()
        return Response(self.ctx.id.name or "nameless")


async def enter(request: Any, env: Any) -> Any:
    return await env.ROOM.get_by_name(request.query["room"]).fetch(request)


def ref(host: Host, name: str, *, told: str | None = None) -> ObjectRef:
    return ObjectRef("ROOM", host.env.ROOM.id_from_name(name).key, told)


async def test_an_id_has_one_place_and_one_activation(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.request("/?room=a")
        (place,) = host.activations.places.values()
        alive = place.activation
        assert host.activations.find(ref(host, "a")) is place
        await gateway.request("/?room=a")
        assert place.activation is alive


async def test_a_name_that_becomes_known_later_is_kept(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        nameless = host.activations.find(ref(host, "a"))
        assert repr(nameless.object_id.name) == "None"
        assert host.activations.find(ref(host, "a", told="a")) is nameless
        assert nameless.object_id.name == "a"
        host.activations.release(nameless)
        assert host.activations.places == {}


async def test_what_is_none_of_this_app_is_refused_and_makes_no_place(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        with pytest.raises(UnknownBindingError, match="'GONE'; it has: ROOM"):
            host.activations.find(ObjectRef("GONE", b"k" * 32, None))
        for key in (b"k" * 32, b"short"):
            with pytest.raises(InvalidArgumentError, match="not valid for this namespace, ROOM"):
                host.activations.find(ObjectRef("ROOM", key, None))
        assert host.activations.places == {}


async def test_a_reset_object_is_made_anew_by_the_next_event(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter) as host:
        gateway = ScriptedGateway(host).roll()
        reset = host.observer.wait_for("object.reset")
        assert (await gateway.request("/abort?room=a")).status == 500
        assert (await reset)["id"].name == "a"
        assert host.activations.places == {}
        assert (await gateway.request("/?room=a")).text == "a"


async def test_an_object_that_got_something_to_do_does_not_sleep(tmp_path: Path) -> None:
    async with host_of(tmp_path, Room, entrypoint=enter, clock=HandClock()) as host:
        gateway = ScriptedGateway(host).roll()
        await gateway.request("/?room=a")
        (idle,) = host.activations.idle()
        (place,) = host.activations.places.values()
        stream = gateway.begin("/hold?room=a")
        await settle()
        host.activations.hibernate(idle.key)
        assert place.activation is not None
        host.activations.hibernate(b"no such object")
        Room.hold.set()
        assert (await gateway.answer(stream)).text == "a"


async def test_meters_outlive_their_objects_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "METERS_MAX", 10)
    clock = HandClock()
    async with host_of(tmp_path, Room, entrypoint=enter, clock=clock) as host:
        gateway = ScriptedGateway(host).roll()
        for n in range(25):
            await gateway.request(f"/?room={n}")
            await gateway.request(f"/?room={n}")
            await settle()
            clock.advance(12)
        assert len(host.activations.meters) <= 11
        assert host.view().classes["ROOM"].meter["events"] == {"fetch": 50}
