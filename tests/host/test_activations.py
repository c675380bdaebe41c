from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from roost.errors import InvalidArgumentError, ObjectResetError, StorageError, UnknownBindingError
from roost.host import activations
from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.ids import ObjectId
from roost.link import frames
from roost.link.frames import ObjectRef
from roost.objects.activation import Activation
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket_pair import WebSocketPair
from roost.request import Request
from roost.response import Response
from roost.storage.store import HostStore

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


# -- what goes wrong inside roost --------------------------------------------------------------------------------------


class Deaf(Room):
    """Has a socket."""

    async def fetch(self, request: Any) -> Response:
        if not request.is_upgrade:
            return Response("heard")
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


async def enter_deaf(request: Any, env: Any) -> Any:
    return await env.DEAF.get_by_name("x").fetch(request)


@asynccontextmanager
async def deaf(tmp_path: Path) -> AsyncIterator[tuple[Host, ScriptedGateway, int, list[str]]]:
    """A host with a sleeping object and its socket, and what is reported."""
    clock = HandClock()
    async with host_of(tmp_path, Deaf, entrypoint=enter_deaf, clock=clock) as host:
        gateway = ScriptedGateway(host).roll()
        number = await gateway.connect("/")
        await settle()
        clock.advance(12)
        assert host.view().objects == []
        reported: list[str] = []
        for name in ("object.undelivered", "object.failed", "object.uncalled"):
            host.observer.subscribe(name, lambda name, facts: reported.append(name))
        yield host, gateway, number, reported


@pytest.mark.parametrize("at", ["construction", "delivery"])
async def test_what_cannot_be_delivered_is_answered_and_reported_once_and_the_next_event_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    async with deaf(tmp_path) as (host, gateway, number, reported):
        fails = {"construction": (Activation, "__init__"), "delivery": (Activation, "deliver")}[at]
        for broken in (StorageError("the disk is gone"), ZeroDivisionError("a mistake")):

            def fail(*_: Any, broken: Exception = broken) -> None:
                raise broken

            with monkeypatch.context() as patch:
                patch.setattr(*fails, fail)
                assert (await gateway.request("/")).status == 500
                with pytest.raises((StorageError, ObjectResetError), match=str(broken)):
                    await host.env.DEAF.get_by_name("x").fetch("http://x/")
                gateway.send(frames.SocketMessage(number, "lost"))
                assert (await gateway.expect(frames.CloseSocket)).code == 1011
                assert await gateway.expect(frames.Finished) == frames.Finished([number])
            assert reported == ["object.undelivered"] * 3
            reported.clear()
            (place,) = host.activations.places.values()
            assert (place.activation, place.requests) == (None, 0)
            assert (await gateway.request("/")).text == "heard"
            assert await gateway.say(number, "again") == [frames.Send([number], "again")]
            await asleep(host)


async def asleep(host: Host) -> None:
    for place, _ in host.activations.awake():
        host.activations.hibernate(place.key)
    assert list(host.activations.awake()) == []


async def test_a_life_that_sleeps_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    async with deaf(tmp_path) as (host, gateway, number, _):
        await gateway.say(number, "hello")
        (known,) = [weakref.ref(activation) for _, activation in host.activations.awake()]
        gc.collect()
        gc.disable()
        try:
            await asleep(host)
            await settle()
            assert known() is None
        finally:
            gc.enable()
        assert await gateway.say(number, "again") == [frames.Send([number], "again")]


async def test_the_end_of_a_socket_that_cannot_be_told_is_the_end_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deaf, "web_socket_close", lambda *_: None, raising=False)
    async with deaf(tmp_path) as (host, gateway, number, reported):

        def fail(*_: Any) -> None:
            raise StorageError("the disk is gone")

        with monkeypatch.context() as patch:
            patch.setattr(Activation, "deliver", fail)
            gateway.send(frames.SocketClosed(number, 1000, "", True))
            await settle()
        assert reported == ["object.undelivered"]
        assert host.activations.places == {}


async def test_an_object_that_cannot_even_end_leaves_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with deaf(tmp_path) as (_, gateway, number, reported):

        def fail(*_: Any) -> None:
            raise ZeroDivisionError("a mistake")

        with monkeypatch.context() as patch:
            patch.setattr(Activation, "deliver", fail)
            patch.setattr(Activation, "stop", fail)
            assert (await gateway.request("/")).status == 500
        assert reported == ["object.undelivered"] * 2
        assert await gateway.say(number, "again") == [frames.Send([number], "again")]


async def test_a_request_is_answered_once_whatever_is_said_afterwards(tmp_path: Path) -> None:
    async with deaf(tmp_path) as (host, _, _, _):
        answers: list[Any] = []
        events: list[Any] = []
        place = next(iter(host.activations.places.values()))
        place.activation = SimpleNamespace(deliver=events.append)  # type: ignore[assignment]
        host.activations.fetch(place, Request("http://x/"), answers.append, answers.append)
        (event,) = events
        first = Response("first")
        event.reply(first)
        event.fail(ValueError("second"))
        event.reply(Response("third"))
        assert answers == [first]
        assert place.requests == 0
        place.activation = None


async def test_a_taker_of_an_answer_that_fails_does_not_keep_the_place(tmp_path: Path) -> None:
    async with deaf(tmp_path) as (host, _, _, _):
        place = next(iter(host.activations.places.values()))
        events: list[Any] = []
        place.activation = SimpleNamespace(deliver=events.append)  # type: ignore[assignment]

        def fail(_: object) -> None:
            raise ZeroDivisionError

        for call in ("reply", "fail"):
            host.activations.fetch(place, Request("http://x/"), fail, fail)
            with pytest.raises(ZeroDivisionError):
                getattr(events.pop(), call)(None)
        assert place.requests == 0
        assert host.activations.all_answered() is None
        place.activation = None


# -- alarms ------------------------------------------------------------------------------------------------------------


class Bell(DurableObject):
    """Rings."""

    rung: ClassVar[list[tuple[str | None, int]]] = []

    async def fetch(self, request: Any) -> Response:
        await self.ctx.storage.set_alarm(int(request.query["at"]))
        return Response("set")

    async def alarm(self, info: Any) -> None:
        self.rung.append((self.ctx.id.name, info.scheduled_time))


@asynccontextmanager
async def bells(tmp_path: Path) -> AsyncIterator[tuple[Host, ScriptedGateway, HandClock]]:
    async def ring(request: Any, env: Any) -> Any:
        return await env.BELL.get_by_name(request.query["bell"]).fetch(request)

    Bell.rung.clear()
    clock = HandClock()
    store = HostStore(tmp_path, clock=clock)
    host = Host(app_of_classes(Bell, entrypoint=ring), store, clock=clock)
    await host.start()
    try:
        yield host, ScriptedGateway(host).roll(), clock
    finally:
        await host.drain()
        await host.close()
        store.close()


async def rung(count: int) -> None:
    while len(Bell.rung) < count:  # noqa: ASYNC110 - the write becomes durable on the journal's thread
        await asyncio.sleep(0)


async def test_an_alarm_rings_an_object_that_is_awake_and_one_that_sleeps(tmp_path: Path) -> None:
    async with bells(tmp_path) as (host, gateway, clock):
        await gateway.request("/?bell=a&at=1010000")
        clock.advance(9.9)
        await settle()
        assert Bell.rung == []
        clock.advance(0.1)
        await rung(1)
        await gateway.request("/?bell=b&at=1090000")
        clock.advance(40)
        assert host.activations.places == {}
        clock.advance(41)
        await rung(2)
        assert Bell.rung == [("a", 1_010_000), ("b", 1_090_000)]


async def test_who_rings_is_told_whether_that_woke_the_object(tmp_path: Path) -> None:
    async with bells(tmp_path) as (host, _, _):
        over: list[bool] = []
        one = host.env.BELL.id_from_name("a")
        assert host.activations.ring(one, over.append)
        assert not host.activations.ring(one, over.append)
        while len(over) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        assert over == [True, True]


async def test_an_object_that_is_rung_by_its_id_alone_has_its_name_from_its_file(tmp_path: Path) -> None:
    async with bells(tmp_path) as (host, gateway, clock):
        await gateway.request("/?bell=a&at=5000000")
        clock.advance(40)
        assert host.activations.places == {}
        nameless = ObjectId(host.env.BELL.id_from_name("a").key, "BELL")
        host.activations.ring(nameless, lambda done: None)
        (place,) = host.activations.places.values()
        assert place.object_id.name == "a"


async def test_nothing_is_rung_on_a_host_that_has_stopped(tmp_path: Path) -> None:
    async with bells(tmp_path) as (host, _, _):
        over: list[bool] = []
        one = host.env.BELL.id_from_name("a")
        await host.drain()
        assert not host.activations.ring(one, over.append)
        assert over == [False]
        assert host.activations.places == {}


async def test_nothing_is_rung_while_a_host_drains(tmp_path: Path) -> None:
    async with bells(tmp_path) as (host, gateway, clock):
        await gateway.request("/?bell=a&at=1010000")
        draining = asyncio.create_task(host.drain())
        await settle()
        clock.advance(20)
        await draining
        assert Bell.rung == []
