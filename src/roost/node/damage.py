"""What a host does about damage: damaged objects are told to whoever listens, a broken journal ends the process."""

from __future__ import annotations

import asyncio
import logging
import os

from roost.errors import StorageError
from roost.ids import ObjectId
from roost.observer import Observer
from roost.storage.store import HostStore

logger = logging.getLogger("roost.node")

BROKEN = 74
"""The status of a host that could not make anything durable any more: an error of input or output, as in sysexits.h."""
_LAST_WORDS_SECONDS = 0.5


def end_when_broken(store: HostStore) -> None:
    """End this process when the store cannot make anything durable any more. Its successor recovers what is durable.

    A little later, so that those who wait for their writes hear why they failed. Called on the loop.
    """
    loop = asyncio.get_running_loop()

    def told(error: StorageError) -> None:
        logger.critical("%s; this host ends, and another takes its place", error)
        loop.call_later(_LAST_WORDS_SECONDS, os._exit, BROKEN)

    store.on_broken = told


def report_damage(store: HostStore, observer: Observer) -> None:
    """Notify with `object.quarantined` of each object that this store finds damaged; its log has it in any case."""

    def told(object_id: ObjectId, reason: str) -> None:
        observer.notify("object.quarantined", id=object_id, reason=reason)

    store.on_quarantined = told
