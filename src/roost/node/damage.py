"""Damaged objects, told to whoever listens."""

from __future__ import annotations

from roost.ids import ObjectId
from roost.observer import Observer
from roost.storage.store import HostStore


def report_damage(store: HostStore, observer: Observer) -> None:
    """Notify with `object.quarantined` of each object that this store finds damaged; its log has it in any case."""

    def told(object_id: ObjectId, reason: str) -> None:
        observer.notify("object.quarantined", id=object_id, reason=reason)

    store.on_quarantined = told
