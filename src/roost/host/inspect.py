"""What a host can tell of its objects: who is awake and why, who sleeps with sockets, and what all of them used."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.host.activations import Activations
from roost.host.place import Place


class ObjectView(msgspec.Struct, kw_only=True):
    """An object that is awake, or asleep with sockets."""

    binding: str
    cls: str
    id: str
    name: str | None
    state: str
    pinned_by: list[str]
    """Why it cannot hibernate, in words; empty for one that can."""
    sockets: int
    idle_seconds: float | None
    """None while it has something to do, or sleeps."""
    meter: dict[str, Any]


class ClassView(msgspec.Struct, kw_only=True):
    """All objects of one class."""

    cls: str
    awake: int = 0
    sleeping: int = 0
    """Asleep with sockets; how many sleep without is known to the store alone."""
    sockets: int = 0
    meter: dict[str, Any] = {}


class HostView(msgspec.Struct, kw_only=True):
    """One moment of a host."""

    host: int
    objects: list[ObjectView]
    classes: dict[str, ClassView]
    """By binding."""


def snapshot(host: int, activations: Activations, now: float, *, sleeping: bool = False) -> HostView:
    """What there is now; `sleeping` lists those that sleep with sockets too. Nothing is woken."""
    places = list(activations.places.values())
    shown = [place for place in places if place.activation is not None or (sleeping and place.roll.sockets)]
    return HostView(
        host=host,
        objects=[_object_view(place, now) for place in shown],
        classes={binding: _class_view(binding, cls, activations) for binding, cls in activations.classes.items()},
    )


def _object_view(place: Place, now: float) -> ObjectView:
    activation = place.activation
    since = activation.idle_since if activation is not None else None
    return ObjectView(
        binding=place.object_id.binding,
        cls=place.cls.__name__,
        id=str(place.object_id),
        name=place.object_id.name,
        state=str(activation.state) if activation is not None else "hibernated",
        pinned_by=activation.pinned_by() if activation is not None else [],
        sockets=len(place.roll),
        idle_seconds=None if since is None else round(now - since, 3),
        meter=place.surroundings.meter.snapshot(),
    )


def _class_view(binding: str, cls: type, activations: Activations) -> ClassView:
    view = ClassView(cls=cls.__name__)
    for place in activations.places.values():
        if place.object_id.binding == binding:
            view.awake += place.activation is not None
            view.sleeping += place.activation is None and bool(place.roll.sockets)
            view.sockets += len(place.roll)
    view.meter = activations.meter_of_class(binding).snapshot()
    return view
