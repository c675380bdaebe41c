"""Restores that were planned: begun as soon as nothing lives that they would take back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from roost.errors import StorageError
from roost.ids import ObjectId
from roost.storage.recovery.restores import Restores
from roost.storage.store import HostStore

logger = logging.getLogger("roost.node")


def begin_restore(store: HostStore, object_id: ObjectId) -> None:
    """Take an object back that does not live now, without waiting for somebody to call it: it may have alarms."""

    def ready(error: StorageError | None) -> None:
        if error is not None:
            logger.error(
                "%r was not taken back to its past; it is tried again when it next begins: %s", object_id, error
            )

    store.prepare(object_id, ready)


def begin_restores(store: HostStore, data: Path | str, owns: Callable[[bytes], bool]) -> None:
    """Begin those that a host finds when it starts."""
    restores = Restores(Path(data))
    for digits in restores.all():
        key = bytes.fromhex(digits)
        try:
            plan = restores.pending(key) if owns(key) else None
        except StorageError as error:
            logger.error("%s", error)
            continue
        if plan is not None:
            begin_restore(store, ObjectId(key, plan.binding))
