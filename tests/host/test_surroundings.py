from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from roost.host.place import Place
from roost.host.surroundings import HostSurroundings
from roost.limits import DEFAULTS
from roost.meter import Meter
from roost.observer import Observer

from .parts import HandClock, RecordingOutlet, Room, object_id


def test_an_object_is_given_its_own_roll_and_storage_and_says_when_it_ends() -> None:
    place = Place(object_id(), Room)
    storage: Any = SimpleNamespace()
    opened: list[Place] = []
    ended: list[Any] = []

    def open_storage(asked: Place) -> Any:
        opened.append(asked)
        return storage

    surroundings = HostSurroundings(
        place,
        clock=HandClock(),
        limits=DEFAULTS,
        observer=Observer(),
        outlet=RecordingOutlet(),
        meter=Meter(),
        open_storage=open_storage,
        ended=lambda *facts: ended.append(facts),
    )
    assert surroundings.roll is place.roll
    assert surroundings.open_storage() is storage
    assert opened == [place]
    activation: Any = object()
    error = RuntimeError()
    surroundings.ended(activation, error)
    assert ended == [(place, activation, error)]
